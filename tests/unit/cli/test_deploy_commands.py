"""Test the output of commands that deploy, on a fake deployment: restarts, next steps, links."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.backup import kit_host
from infisical_iac.cli.deploy import run_or_roll_back
from infisical_iac.cli.main import main
from infisical_iac.core.change import Change
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.journal import Journal, Journals, OperationPlan
from infisical_iac.workspace import deploy
from infisical_iac.workspace.load import load
from tests.unit.settings_of import NAME, defaults

_ADMIN = Change("+", "administrator admin@example.com")
_RESTART = Change("~", "container postgres", "is paused")
_LINK = f"ben@example.com: https://{NAME}/signupinvite?token=obviously-fake"

Invoke = Callable[..., Result]


class _Deployment:
    """A deployment of one step, which makes the planned changes and invites a person."""

    def __init__(self, *changes: Change, fails: bool = False) -> None:
        self._made = Journal({"1": OperationPlan("Stack | Run", changes=[*changes])})
        self._fails = fails
        self.journal = Journals({"203.0.113.7": self._made})
        self.has_work, self.is_up_to_date = bool(changes), not changes
        data = {**defaults(site_url=f"https://{NAME}"), "ssh_user": "root"}
        self.host = SimpleNamespace(name="203.0.113.7", data=SimpleNamespace(dict=lambda: data))

    def plan(self) -> tuple[list[Change], list[str]]:
        return self.journal.planned_changes, []

    def run(self, begin: Callable[[str], None], remedy: str | None = None) -> Iterator[Any]:
        begin("Stack | Run")
        changes = self.journal.planned_changes
        self._made.made_changes += changes
        self._made.operator_notes.append(_LINK)
        yield SimpleNamespace(name="Stack | Run", changes=changes, seconds=1.0)
        if self._fails:
            raise RunFailed("Stack | Run: no answer")

    def refuse_blocked(self) -> None:
        """Refuse nothing, because no step is blocked."""


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """A function that runs a command for a deployment, with or without a recovery kit."""

    def invoke(deployment: _Deployment, *command: str, has_kit: bool = False) -> Result:
        @contextmanager
        def open_deployment(*_: Any, **__: Any) -> Iterator[_Deployment]:
            yield deployment

        # The real module lets gevent patch the whole process.
        fake = SimpleNamespace(open_deployment=open_deployment)
        monkeypatch.setitem(sys.modules, "infisical_iac.core.deployment", fake)
        monkeypatch.setattr(deploy, "credential_warnings", list)
        monkeypatch.setattr(kit_host, "exists", lambda: has_kit)
        return CliRunner().invoke(main, [*command])

    return invoke


@pytest.mark.parametrize("command", [("plan",), ("plan", "--json"), ("apply", "--yes")])
def test_restarts_are_notes_of_the_plan(invoke: Invoke, command: tuple[str, ...]) -> None:
    done = invoke(_Deployment(_RESTART), *command)
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert "postgres" in note
    assert "log in" in note
    if "--json" in command:
        assert note.removeprefix("Note: ") in done.stdout


def test_a_plan_is_written_as_a_page_with_its_restarts(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "plan.html"
    plain = invoke(_Deployment(_RESTART), "plan", "--json")
    done = invoke(_Deployment(_RESTART), "plan", "--json", "--html", str(file))
    assert (done.exit_code, done.stdout) == (plain.exit_code, plain.stdout)
    page = file.read_text("utf-8")
    for fact in ("Stack | Run", "container postgres", "Restarts", "log in"):
        assert fact in page
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_page_that_can_not_be_written_is_an_error_after_the_plan(
    invoke: Invoke, tmp_path: Path
) -> None:
    file = tmp_path / "missing" / "plan.html"
    done = invoke(_Deployment(_RESTART), "plan", "--html", str(file))
    assert done.exit_code == 1
    assert "container postgres" in done.stdout
    assert str(file) in done.stderr


def test_the_first_apply_ends_with_the_next_steps(invoke: Invoke) -> None:
    done = invoke(_Deployment(_ADMIN), "apply", "--yes")
    assert done.exit_code == 0, done.output
    steps = done.stdout.partition("\nNext:\n")[2]
    for fact in (f"https://{NAME}", "/etc/infisical/admin.env", "recovery-kit", "init --backup"):
        assert fact in steps


def test_an_apply_that_added_a_service_ends_with_the_check_that_writes_its_file(
    invoke: Invoke,
) -> None:
    (first, *_), accounts = _accounts_of_the_sample()
    made = [Change("+", f"identity {each}") for each in accounts]
    done = invoke(_Deployment(*made), "apply", "--yes", has_kit=True)
    assert done.exit_code == 0, done.output
    steps = done.stdout.partition("\nNext:\n")[2]
    assert first in steps
    assert "check REPO --fix" in steps


def _accounts_of_the_sample() -> tuple[list[str], list[str]]:
    """Return the services of the project file, and the identities of the first one."""
    workspace = load(Path(defaults()["workspace_file"]))
    names = [*workspace.services]
    return names, [each.identity for each in workspace.accounts() if each.service == names[0]]


@pytest.mark.parametrize(("changes", "has_kit"), [((_RESTART,), True), ((), False)])
def test_an_apply_has_no_next_steps_once_a_kit_was_made_or_nothing_changes(
    invoke: Invoke, changes: tuple[Change, ...], has_kit: bool
) -> None:
    done = invoke(_Deployment(*changes), "apply", "--yes", has_kit=has_kit)
    assert done.exit_code == 0, done.output
    assert "Next:" not in done.stdout


def test_an_invitation_link_is_the_last_line_of_an_apply(invoke: Invoke) -> None:
    done = invoke(_Deployment(_ADMIN), "apply", "--yes")
    assert done.stderr.splitlines()[-1] == _LINK
    assert _LINK not in done.stdout
    assert done.output.endswith(f"{_LINK}\n")


def test_an_invitation_link_is_printed_if_a_later_step_fails(invoke: Invoke) -> None:
    done = invoke(_Deployment(_ADMIN, fails=True), "apply", "--yes")
    assert done.exit_code == 1
    assert done.stderr.count(_LINK) == 1


def test_an_invitation_link_is_the_last_line_of_a_run_with_a_rollback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment: Any = _Deployment(_ADMIN)
    fake = SimpleNamespace(prepare=lambda *_: deployment)
    monkeypatch.setitem(sys.modules, "infisical_iac.core.deployment", fake)
    run_or_roll_back(
        deployment.host,
        list,
        str,
        name="restore",
        what="The old data",
        remedy="run it again",
        question="Restore?",
        done="Restored",
        yes=True,
    )
    assert capsys.readouterr().err.splitlines()[-1] == _LINK


def test_a_mistake_in_the_project_file_is_found_without_a_host(tmp_path: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        called = (sys.executable, "-c", "from infisical_iac.cli.main import main; main()", *command)
        return subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, check=False)

    given = ("--host", "127.0.0.1", "--ssh-port", "1", "--email", "admin@example.com")
    made = run("init", *given, "--organization", "Acme", "--services", str(tmp_path), "--yes")
    assert made.returncode == 0, made.stderr
    file = tmp_path / "group_data/acme.yaml"
    file.write_text(file.read_text().replace("\nservices:", "\nservces:"))
    verified = run("verify")
    assert verified.returncode == 1
    (sentence,) = verified.stderr.splitlines()
    assert "servces" in sentence
    ran = subprocess.run(
        (sys.executable, "-c", _RUN_ALL, json.dumps(_READERS)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    for command, output in zip(_READERS, json.loads(ran.stdout), strict=True):
        # Nothing listens at the port: a command that connects first reports that.
        assert "servces" in output, (command, output)
        assert "reached" not in output, (command, output)


# Commands that need the project file and connect to the host.
_READERS = [
    ["plan"],
    ["apply", "--yes"],
    ["drift"],
    ["keys", "rotate", "database"],
    ["rollback"],
    ["restore", "--yes"],
    ["workspace", "plan"],
    ["workspace", "invite", "ben@example.com"],
    ["credentials", "list"],
    ["secrets", "list"],
    ["isolation", "plan", "--to", "projects"],
    ["check", "."],
    ["migrate", "plan", "."],
]
_RUN_ALL = """
import infisical_iac.core.inventory
import json, sys
from click.testing import CliRunner
from infisical_iac.cli.main import main
print(json.dumps([CliRunner().invoke(main, each).output for each in json.loads(sys.argv[1])]))
"""
