"""Test the wording of messages of the command line. Other tests assert facts."""

import pytest

from infisical_iac.cli.workspace import unnamed_notes
from infisical_iac.workspace.plan import Removal
from infisical_iac.workspace.state import ApiChange


@pytest.mark.parametrize(
    ("whats", "sentence"),
    [
        (["folder /a in qa"], "1 folder is no longer in the file: --prune removes it"),
        (
            ["environment qa", "folder /a in pp", "folder /b in pp"],
            "2 folders and 1 environment are no longer in the file: --prune removes them",
        ),
    ],
)
def test_wording_of_the_note_on_unnamed_objects(whats: list[str], sentence: str) -> None:
    assert unnamed_notes([Removal(each, ApiChange("-", each)) for each in whats]) == [sentence]
