"""Test the notes below a plan."""

import pytest

from infisical_iac.cli.workspace import unnamed_notes
from infisical_iac.core.change import Change, together
from infisical_iac.workspace.api_change import ApiChange
from infisical_iac.workspace.prune import Removal


@pytest.mark.parametrize(
    ("whats", "counts"),
    [
        (["folder /a in qa"], "1 folder is "),
        (["environment qa", "folder /a in pp", "folder /b in pp"], "2 folders and 1 environment "),
        (
            ["credentials a.qa", "import of /b into /c in qa", "folder /d in qa"],
            "1 credentials, 1 import and 1 folder ",
        ),
    ],
)
def test_unnamed_objects_are_counted_by_kind(whats: list[str], counts: str) -> None:
    (note,) = unnamed_notes([Removal(each, ApiChange("-", each)) for each in whats])
    assert note.startswith(counts)
    assert "--prune" in note


def test_equal_changes_of_several_hosts_are_one_line_and_of_one_host_two() -> None:
    def item(what: str, host: str) -> Change:
        return Change("+", what, host=host)

    items = [item("a", "one"), item("b", "one"), item("a", "two"), item("a", "two")]
    assert [str(each) for each in together(items)] == ["+ one, two: a", "+ one: b", "+ two: a"]
    assert together([Change("+", "a"), Change("+", "a")]) == [Change("+", "a")] * 2
