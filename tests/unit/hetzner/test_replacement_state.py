"""The stage that a replacement goes on with, decided by what is at Hetzner Cloud."""

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
        # A run died between the two addresses: the old server gives up both first.
        (replace(_MOVED, addresses=("none", "old")), "unassign"),
        (replace(_MOVED, addresses=("new", "none")), "assign"),
        (replace(_MOVED, running=False), "start"),
        (_MOVED, "retire"),
        (replace(_MOVED, old=False), "rename"),
    ],
)
def test_replacement_goes_on_from_wherever_it_is(state: ReplacementState, stage: Stage) -> None:
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
def test_undo_gives_the_old_server_back_what_it_had(
    state: ReplacementState, stage: UndoStage
) -> None:
    assert state.next_undo() == stage


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (replace(_MOVED, old=False), "the old server is gone: there is nothing to go back to"),
        (_OLD, "no replacement is under way: there is nothing to undo"),
        (replace(_MOVED, addresses=("new", "none")), "the new server has the addresses already"),
    ],
)
def test_undo_is_refused_where_there_is_no_way_back(state: ReplacementState, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        state.next_undo()


def test_nothing_is_replaced_where_there_is_no_server() -> None:
    with pytest.raises(UserError, match="there is no server to replace"):
        replace(_OLD, old=False).next_stage()
