"""Test the order of the steps of a rotation, on a fake host that only records them."""

from collections.abc import Sequence

import pytest

from infisical_iac.core.errors import RunFailed
from tests.unit.change.steps import NotingHost, recover, rotate

_USE = ["keys derive", "rotation alter", "up"]
_SWITCH = ["rotation switch", *_USE, "checks"]
_BACK = ["rotation back", *_USE, "rotation end"]


def test_the_next_password_is_stored_before_it_is_used(host: NotingHost) -> None:
    assert rotate("database") == ["Read as before: 1 secret."]
    assert host.steps == ["rotation prepare postgres_password", *_SWITCH, "rotation end"]


def test_only_the_database_key_is_given_to_postgresql(host: NotingHost) -> None:
    rotate("redis")
    assert "rotation alter" not in host.steps


@pytest.mark.parametrize("failing", ["rotation alter", "up", "checks"])
def test_a_failing_new_password_is_replaced_by_the_old_one(host: NotingHost, failing: str) -> None:
    host.failing = [failing] * 2
    output = "could not be put" if failing in _USE else "is in use again"
    with pytest.raises(RunFailed, match=output):
        rotate("database")
    at = host.steps.index("rotation back")
    assert host.steps[at:] == (_BACK if failing == "checks" else _BACK[: _BACK.index(failing) + 1])


@pytest.mark.parametrize(
    ("phase", "steps"),
    [
        ("prepared", ["rotation end"]),
        ("switching", [*_SWITCH, "rotation end"]),
        ("switched", [*_SWITCH, "rotation end"]),
        ("backing", _BACK),
        ("back", _BACK),
        ("proven", ["rotation end"]),
    ],
)
def test_the_phase_decides_how_an_interrupted_rotation_is_ended(
    host: NotingHost, phase: str, steps: Sequence[str]
) -> None:
    recover("database", phase)
    assert host.steps == steps
