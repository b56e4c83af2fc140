"""Test how names are joined in sentences."""

import re
from pathlib import Path

import pytest

from infisical_iac.core.wording import join_names


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["api"], "api"),
        (["api", "web"], "api and web"),
        (["api", "web", "worker"], "api, web and worker"),
    ],
)
def test_names_are_joined_by_commas_and_a_last_and(names: list[str], text: str) -> None:
    assert join_names(iter(names)) == text


def test_no_other_module_joins_names_by_itself() -> None:
    by_hand = re.compile(r"""(['"]) and \1\.join""")
    found = {
        path for path in Path("infisical_iac").rglob("*.py") if by_hand.search(path.read_text())
    }
    # Entries of `accepted` in project files repeat the names of service tokens.
    assert found == {Path("infisical_iac/workspace/foreign.py")}
