"""Test commands on the host: their arguments, their output and their errors."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import StringCommand

from infisical_iac.core import remote
from infisical_iac.core.errors import CommandFailed


class _Host:
    """Run commands on this machine, and record their arguments."""

    def __init__(self) -> None:
        self.current_op_global_arguments: dict[str, Any] | None = None
        self.data = SimpleNamespace(dict=lambda: {"_sudo": True, "site_url": "of no connector"})
        self.given: dict[str, Any] = {}
        self.connector = SimpleNamespace(client=None)

    def run_shell_command(self, command: StringCommand, **given: Any) -> tuple[bool, Any]:
        self.given = given
        done = subprocess.run(
            ["sh", "-c", str(command)], input=given.get("_stdin"), capture_output=True, text=True
        )
        lines = done.stderr.splitlines()
        return not done.returncode, SimpleNamespace(stdout=done.stdout, stderr_lines=lines)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(remote, "host", made)
    monkeypatch.setattr(remote, "state", SimpleNamespace(print_input=True))
    return made


def test_a_command_outside_operations_has_the_arguments_of_the_hosts_data(host: _Host) -> None:
    assert remote.run("echo done", doing="print") == "done\n"
    assert host.given == {"print_output": False, "print_input": True, "_sudo": True}


def test_a_command_within_an_operation_has_the_arguments_of_the_operation(host: _Host) -> None:
    host.current_op_global_arguments = {"_su_user": "ada", "name": "of no connector"}
    remote.run("cat", doing="read", stdin="")
    assert host.given == {
        "print_output": False,
        "print_input": True,
        "_su_user": "ada",
        "_stdin": "",
    }


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("for n in 1 2 3 4; do echo line $n >&2; done; exit 1", "line 2 / line 3 / line 4"),
        ("exit 1", "no reason given"),
    ],
)
def test_the_error_of_a_failed_command_has_its_last_lines(
    host: _Host, command: str, reason: str
) -> None:
    with pytest.raises(CommandFailed, match=f"^could not print: {reason}$"):
        remote.run(command, doing="print")


@pytest.mark.parametrize("is_active", [True, False])
def test_a_command_cut_off_by_a_closed_connection_is_no_failed_command(
    host: _Host, is_active: bool
) -> None:
    transport = SimpleNamespace(is_active=lambda: is_active)
    host.connector.client = SimpleNamespace(get_transport=lambda: transport)
    with pytest.raises(CommandFailed if is_active else EOFError):
        remote.run("exit 1", doing="print")


@pytest.mark.parametrize(
    ("mode", "of_file", "of_folder"), [("600", 0o600, 0o700), ("644", 0o644, 0o755)]
)
def test_a_file_is_written_with_its_folder(
    host: _Host, tmp_path: Path, mode: str, of_file: int, of_folder: int
) -> None:
    file = tmp_path / "a folder" / "file"
    remote.write(str(file), "text\n", mode=mode, check="grep -q text {}")
    assert file.read_text() == "text\n"
    assert file.stat().st_mode & 0o777 == of_file
    assert file.parent.stat().st_mode & 0o777 == of_folder
    assert [each.name for each in file.parent.iterdir()] == ["file"]


def test_a_file_is_private_by_default(host: _Host, tmp_path: Path) -> None:
    remote.write(str(tmp_path / "file"), "text")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_file_that_fails_its_check_does_not_replace_the_old_file(
    host: _Host, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(CommandFailed, match=f"^could not write {file}: no reason given$"):
        remote.write(str(file), "new", check="grep -q old {}")
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_files_are_removed_although_a_folder_is_missing(host: _Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    remote.remove(str(tmp_path / "file"), str(tmp_path / "gone" / "file"), doing="remove")
    assert not list(tmp_path.iterdir())
