"""Test that the files of keys stay whole if rotation.sh is killed after any of its lines."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.change.keys import parse_unfinished
from infisical_iac.core import rendering
from tests.unit.fake_host import make_host

_OLD = "obviously-fake-password"
_TEXT = rendering._text("rotation")
_STEPS = ("prepare redis_password", "switch", "end")


def _lines() -> Iterator[int]:
    """Yield the numbers of the lines after which a step under test can be killed."""
    function = ""
    for number, line in enumerate(_TEXT.splitlines()):
        if line.endswith("() {"):
            function = line.removesuffix("() {")
        whole = line.startswith("    ") and not line.endswith(
            ("\\", "||", "then", ")", "in", "esac")
        )
        if whole and function in ("store", "enter", "prepare", "switch", "back", "end"):
            yield number


class _Host:
    """A host in a directory."""

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "etc" / "keys"
        self.keys.mkdir(parents=True)
        (self.keys / "redis_password").write_text(_OLD)
        self.directory = directory

    def run(self, step: str, kill_after: int | None = None) -> int:
        """Run a step, killed after a line if that is given; return the exit status."""
        lines = _TEXT.splitlines()
        if kill_after is not None:
            lines[kill_after] += "\nkill -9 $$"
        text = "\n".join(lines)
        for name, path in (
            ("root=/etc/infisical", f"root='{self.directory}/etc'"),
            ("here=/var/lib/infisical-rotation", f"here='{self.directory}/state'"),
            ("backups=/var/lib/infisical-backup", f"backups='{self.directory}/none'"),
        ):
            assert f"\n{name}\n" in text
            text = text.replace(f"\n{name}\n", f"\n{path}\n")
        # Syncs are slow, and this test needs no protection from a power cut.
        command = ["sh", "-c", f"sync() {{ :; }}\n{text}", "rotation.sh", *step.split()]
        return subprocess.run(command, capture_output=True).returncode

    @property
    def key(self) -> str:
        return (self.keys / "redis_password").read_text()

    @property
    def state(self) -> str:
        file = self.directory / "state" / "state"
        return file.read_text() if file.exists() else ""

    def recover(self) -> None:
        """End an interrupted rotation by the steps that `rotation.recover` takes."""
        if found := parse_unfinished(self.state):
            steps = {"complete": ("switch", "end"), "go back": ("back", "end")}
            for step in steps.get(found.way, ("end",)):
                assert self.run(step) == 0


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _Host(tmp_path)


def test_a_key_is_replaced(host: _Host) -> None:
    for step in _STEPS:
        assert host.run(step) == 0
    assert host.key != _OLD
    assert len(host.key) == 64
    assert [each.name for each in host.keys.iterdir()] == ["redis_password"]
    assert host.state == ""


def test_a_switched_key_is_restored(host: _Host) -> None:
    for step in (*_STEPS[:2], "back", "end"):
        assert host.run(step) == 0
    assert host.key == _OLD
    assert [each.name for each in host.keys.iterdir()] == ["redis_password"]


@pytest.mark.parametrize("steps", [_STEPS, (*_STEPS[:2], "back", "end")])
def test_a_rotation_that_is_killed_after_any_line_is_ended_with_a_whole_key(
    tmp_path: Path, steps: tuple[str, ...]
) -> None:
    died = 0
    for number in _lines():
        host = _Host(tmp_path / str(number))
        for step in steps:
            if host.run(step, kill_after=number):
                died += 1
                break
        assert host.key == _OLD or len(host.key) == 64
        host.recover()
        assert host.key == _OLD or len(host.key) == 64
        assert [each.name for each in host.keys.iterdir()] == ["redis_password"]
        assert host.state == ""
    assert died > 15


def test_a_second_rotation_waits_for_the_end_of_the_first(host: _Host) -> None:
    assert host.run("prepare redis_password") == 0
    assert host.run("prepare auth_secret") == 1


def test_a_rotation_that_is_switching_cannot_end(host: _Host) -> None:
    host.run("prepare redis_password")
    (host.directory / "state" / "state").write_text("redis_password switching\n")
    assert host.run("end") == 1


def test_a_bare_host_has_no_keys(tmp_path: Path) -> None:
    done = make_host(tmp_path).run("rotation", "list")
    assert (done.returncode, done.stdout) == (0, "")
