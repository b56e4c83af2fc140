"""Test the notes below a plan."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from infisical_iac.cli import workspace
from infisical_iac.cli.main import main
from infisical_iac.cli.workspace import next_step, unnamed_notes
from infisical_iac.core.change import Change, together
from infisical_iac.workspace.credentials import path
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.plan import Removal
from infisical_iac.workspace.state import ApiChange
from tests.unit.remembering_deployment import WHOLE, RememberingDeployment, apply_whole


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


@pytest.mark.parametrize(
    ("is_applied", "has_files", "is_next"),
    [(True, True, False), (True, False, True), (False, True, True)],
    ids=["complete", "no files", "files of deleted identities"],
)
def test_credentials_that_the_host_lacks_are_the_next_step(
    is_applied: bool, has_files: bool, is_next: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`workspace apply` makes no credentials, so `plan` would still have changes."""
    deployment = apply_whole() if is_applied else RememberingDeployment()
    if has_files:
        paths = map(path, WHOLE.secret_holders())
        deployment.credentials |= dict.fromkeys(paths, "client-of-a-service")

    @contextmanager
    def reach(*_: object, **__: object) -> Iterator[Reached]:
        yield deployment.reach(WHOLE)

    monkeypatch.setattr(workspace, "reach", reach)
    ran = CliRunner().invoke(main, ["workspace", "apply", "--yes"])
    assert ran.exit_code == 0, ran.output
    last = ran.stdout.splitlines()[-1]
    assert ("`infisical-iac apply`" in last, "backend.development" in last) == (is_next, is_next)


def test_the_credentials_of_an_infisical_at_a_url_are_no_next_step() -> None:
    """They are not on a host, so this command can't know where they are."""
    deployment = RememberingDeployment()
    assert "backend.staging" in next_step(deployment.reach(WHOLE), [])
    assert next_step(replace(deployment.reach(WHOLE), remember=None), []) == ""


def test_equal_changes_of_several_hosts_are_one_line_and_of_one_host_two() -> None:
    def item(what: str, host: str) -> Change:
        return Change("+", what, host=host)

    items = [item("a", "one"), item("b", "one"), item("a", "two"), item("a", "two")]
    assert [str(each) for each in together(items)] == ["+ one, two: a", "+ one: b", "+ two: a"]
    assert together([Change("+", "a"), Change("+", "a")]) == [Change("+", "a")] * 2
