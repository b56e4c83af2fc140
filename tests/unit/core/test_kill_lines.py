"""Test that the lines after which end-to-end tests kill the agent are in its source."""

from pathlib import Path

import pytest

import infisical_iac
from tests.e2e import dying_rotation, dying_script, upgrading

_SOURCE = Path(infisical_iac.__file__).parent
_LINES = {
    (module.__name__, name): value
    for module in (dying_script, upgrading)
    for name, value in vars(module).items()
    if isinstance(value, tuple) and len(value) == 2 and str(value[0]).startswith("agent/")
} | {
    ("dying_rotation", name): value
    for group in (dying_rotation.EARLY, dying_rotation.LATE, dying_rotation.BACK)
    for name, value in group.items()
}


@pytest.mark.parametrize("where", _LINES)
def test_a_line_after_which_the_agent_is_killed_is_in_its_source_once(
    where: tuple[str, str],
) -> None:
    script, line = _LINES[where]
    lines = (_SOURCE / f"{script}.py").read_text().splitlines()
    assert sum(each.endswith(line) for each in lines) == 1


def test_there_are_such_lines() -> None:
    assert len(_LINES) > 5
