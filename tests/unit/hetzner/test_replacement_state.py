"""Test that the next stage of a replacement follows from the state at Hetzner Cloud."""

from dataclasses import replace

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.hetzner.replacement import ReplacementState, Stage, UndoStage

_OLD = ReplacementState(
    old=True,
    new=False,
    ready=False,
    proven=False,
    volume="old",
    addresses=("old", "old"),
    running=False,
    old_running=True,
)
_NEW = replace(_OLD, new=True, ready=True, running=True)
_MOVED = replace(_NEW, volume="new", proven=True, addresses=("new", "new"))


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (_OLD, "make"),
        (replace(_NEW, ready=False), "ready"),
        (_NEW, "release"),
        (replace(_NEW, volume="none"), "attach"),
        (replace(_NEW, volume="new"), "prove"),
        (replace(_NEW, volume="new", proven=True), "unassign"),
        # A run was interrupted between the two addresses: first, the old server loses both.
        (replace(_MOVED, addresses=("none", "old")), "unassign"),
        (replace(_MOVED, addresses=("new", "none")), "assign"),
        (replace(_MOVED, running=False), "start"),
        (_MOVED, "retire"),
        (replace(_MOVED, old=False), "rename"),
    ],
)
def test_a_replacement_continues_from_its_current_stage(
    state: ReplacementState, stage: Stage
) -> None:
    assert state.next_stage() == stage


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (replace(_NEW, volume="new"), "release"),
        (replace(_NEW, volume="none"), "attach"),
        (replace(_NEW, addresses=("old", "none"), old_running=False), "assign"),
        (replace(_NEW, old_running=False), "start"),
        (_NEW, "apply"),
    ],
)
def test_undo_returns_volume_and_addresses_to_the_old_server(
    state: ReplacementState, stage: UndoStage
) -> None:
    assert state.next_undo() == stage


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (replace(_MOVED, old=False), "refused.old_server_gone"),
        (_OLD, "refused.nothing_to_undo"),
        (replace(_MOVED, addresses=("new", "none")), "refused.addresses_moved"),
    ],
)
def test_undo_is_refused_if_there_is_no_rollback(state: ReplacementState, code: str) -> None:
    with pytest.raises(UserError) as refused:
        state.next_undo()
    assert refused.value.code == code


def test_a_missing_server_is_not_replaced() -> None:
    with pytest.raises(UserError) as refused:
        replace(_OLD, old=False).next_stage()
    assert refused.value.code == "refused.no_server"
