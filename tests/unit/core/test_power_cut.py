"""Test that changed files survive a power cut: each changed folder is flushed to the disk."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from infisical_iac.core import remote
from infisical_iac.core.rendering import script_file
from infisical_iac.workspace.delivery import RemoteFile
from infisical_iac.workspace.targets import FileTarget
from tests.unit.fake_programs import fake_program, run_with
from tests.unit.held import HELD

# A program that logs its call, and then runs the real program.
_TOOL = """
echo "{name} $*" >>"$HOST/notes"
test {name} = sync || exec /bin/{name} "$@"
"""


class _Disk:
    """Run commands, and record their calls of `mv`, `rm` and `sync`."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self._tools = directory / "tools"
        for name in ("mv", "rm", "sync"):
            fake_program(self._tools, name, _TOOL.format(name=name))

    def run(self, command: str, *, doing: str = "", stdin: str | None = None) -> str:
        done = run_with(self._tools, command, stdin=stdin or "")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def script(self, *steps: str) -> None:
        """Run steps with the functions of the restore scripts."""
        text = "".join(map(script_file, ("basics", "writes", "restoring")))
        text = text.replace("root=/etc/infisical", f"root={self.root}")
        self.run("\n".join((text, *steps)))

    def steps(self) -> list[tuple[str, str]]:
        """Return each tool with its last argument, by its path below the root."""
        lines = [line.split() for line in (self._tools / "notes").read_text().splitlines()]
        return [(line[0], os.path.relpath(line[-1], self.root)) for line in lines]


@pytest.fixture
def disk(tmp_path: Path) -> _Disk:
    return _Disk(tmp_path)


_REPLACED: Sequence[tuple[str, str]] = [
    ("sync", "keys/one.new"),
    ("mv", "keys/one"),
    ("sync", "keys"),
]
_REMOVED: Sequence[tuple[str, str]] = [("rm", "keys/one"), ("sync", "keys")]


def test_a_written_file_survives_a_power_cut(disk: _Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "run", disk.run)
    remote.write(f"{disk.root}/keys/one", "fake")
    assert disk.steps() == _REPLACED
    assert (disk.root / "keys" / "one").read_text() == "fake"


def test_a_removed_file_stays_removed_after_a_power_cut(
    disk: _Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "run", disk.run)
    (disk.root / "keys").mkdir()
    (disk.root / "keys" / "one").write_text("fake")
    remote.remove(f"{disk.root}/keys/one", doing="remove it")
    assert disk.steps() == _REMOVED
    remote.remove(f"{disk.root}/of-no-folder/one", doing="remove it")


def test_a_delivered_credential_survives_a_power_cut(
    disk: _Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The previous credential is revoked next."""
    (disk.root / "keys").mkdir()
    file = RemoteFile(FileTarget(host="deploy@192.0.2.1", path=f"{disk.root}/keys/one"))
    differs = iter((True, False))
    monkeypatch.setattr(file, "differs", lambda _: next(differs))
    monkeypatch.setattr(file, "_run", lambda command, stdin: disk.run(command, stdin=stdin))
    assert file.deliver(HELD)
    named = [(what, re.sub(r"\.\w{8}$", ".new", path)) for what, path in disk.steps()]
    assert named[-4:] == [*_REPLACED, ("rm", "keys/one.new")]


def test_the_end_of_a_change_survives_a_power_cut(disk: _Disk) -> None:
    """If the state file came back, the next run would undo a proven change."""
    (disk.root / "state").write_text("20261125T101112Z back\n")
    disk.script("here=$root", "forget")
    assert disk.steps()[-2:] == [("rm", "state"), ("sync", ".")]
    assert not (disk.root / "state").exists()


def test_scripts_remove_their_state_files_only_by_discard() -> None:
    scripts = {file.stem: file.read_text() for file in Path("infisical_iac/scripts").rglob("*.sh")}
    removed = re.compile(r"(?m)^[^#\n]*\b(rm|discard) [^\n]*\$here/state\"")
    how = {name: removed.findall(text) for name, text in scripts.items()}
    assert {name: set(found) for name, found in how.items() if found} == {
        name: {"discard"} for name in ("restore-cluster", "restoring", "scaling")
    }


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("echo fake | store $root/keys/one",), _REPLACED),
        ((": >$root/keys/one", "discard $root/keys/one"), _REMOVED),
        (
            (": >$root/keys/one", "kept=$root/kept", "keep keys/one"),
            [("mv", "kept/files/keys/one"), ("sync", "kept/files/keys")],
        ),
        (
            ("kept=$root/kept", "mkdir $kept", "keep keys/one"),
            [("sync", "kept/new.new"), ("mv", "kept/new"), ("sync", "kept")],
        ),
        (
            (
                "kept=$root/kept",
                "mkdir -p $kept/files/keys",
                "echo fake >$kept/files/keys/one",
                "files_back",
            ),
            [("mv", "keys/one"), ("sync", "keys")],
        ),
    ],
)
def test_a_scripts_changes_survive_a_power_cut(
    disk: _Disk, steps: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    (disk.root / "keys").mkdir()
    disk.script(*steps)
    assert [step for step in disk.steps() if step in expected] == list(expected)
