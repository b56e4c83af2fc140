"""Test copying the shared state from one fake host to another, also if it is interrupted."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infisical_iac.agent import files, shared_state
from infisical_iac.agent.serving import encode
from infisical_iac.agent.shared_state import SharedFile
from tests.unit.agent.fake_runner import FakeRunner

_STATE = {
    "keys/encryption_key": "obviously-fake-key",
    # Drills on each node need these, and a leader does that begins with a rollback or scale-in.
    ".env": "ENCRYPTION_KEY=obviously-fake-key",
    "credentials/web.env": "obviously-fake-credentials",
    "admin.env": "obviously-fake-password",
    "stack/haproxy.cfg_0123": "frontend",
    "stack.json": "{}",
}
_OWN = {"serial": "2\n", "backup/backup.conf": "TARGETS=local", "swarm": "swarm-id"}


@pytest.fixture
def leader(tmp_path: Path) -> FakeRunner:
    """A host with the shared state."""
    host = FakeRunner(tmp_path / "lead")
    for path, text in _STATE.items():
        host.write(f"/etc/infisical/{path}", text)
    host.write("/etc/infisical/backup/backup.conf", "TARGETS=remote")
    host.write("/etc/infisical/keys/auth_secret.next", "on its way")
    return host


def _make_other(root: Path) -> FakeRunner:
    host = FakeRunner(root)
    for path, text in _OWN.items():
        host.write(f"/etc/infisical/{path}", text)
    host.write("/etc/infisical/admin.env", "older")
    host.write("/etc/infisical/credentials/gone.env", "ended")
    return host


@pytest.fixture
def other(tmp_path: Path) -> FakeRunner:
    """A host with an older state and its own configuration."""
    return _make_other(tmp_path / "other")


def _give(host: FakeRunner) -> dict[str, SharedFile]:
    """Return what a host gives, as another host gets it in JSON."""
    found: dict[str, SharedFile] = json.loads(json.dumps(shared_state.give(host), default=encode))
    return found


def _read(host: FakeRunner) -> dict[str, str]:
    root = host.path("/etc/infisical")
    return {
        str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()
    }


def test_a_host_gets_the_state_and_keeps_its_own_files(
    leader: FakeRunner, other: FakeRunner
) -> None:
    shared_state.take(other, shared=_give(leader), serial=3)
    assert _read(other) == _STATE | _OWN | {"serial": "3\n"}
    assert shared_state.digest(other) == shared_state.digest(leader) != ""


def test_replaced_files_are_kept_aside(leader: FakeRunner, other: FakeRunner) -> None:
    shared_state.take(other, shared=_give(leader), serial=3)
    before = "/var/lib/infisical-share/before/3"
    assert other.text(f"{before}/admin.env") == "older"
    assert other.text(f"{before}/credentials/gone.env") == "ended"


def test_no_copy_is_kept_of_a_secret_that_the_user_gave(
    leader: FakeRunner, other: FakeRunner
) -> None:
    """The secret may be in use elsewhere, and the user has it."""
    leader.write("/etc/infisical/keys/given_license_key", "new")
    for name in ("given_license_key", "given_smtp_password"):
        other.write(f"/etc/infisical/keys/{name}", "old")
    other.write("/etc/infisical/.env", "SMTP_PASSWORD='old'")
    shared_state.take(other, shared=_give(leader), serial=3)
    assert other.text("/etc/infisical/keys/given_license_key") == "new"
    assert other.text("/etc/infisical/keys/given_smtp_password") is None
    kept = other.path("/var/lib/infisical-share/before").rglob("*")
    assert {each.name for each in kept if each.is_file()} == {"admin.env", "gone.env"}


def test_the_last_five_replaced_states_are_kept(leader: FakeRunner, other: FakeRunner) -> None:
    for serial in range(8, 15):
        leader.write("/etc/infisical/keys/encryption_key", f"obviously-fake-{serial}")
        shared_state.take(other, shared=_give(leader), serial=serial)
    kept = other.path("/var/lib/infisical-share/before")
    found = {int(each.name): (each / "keys/encryption_key").read_text() for each in kept.iterdir()}
    assert found == {serial: f"obviously-fake-{serial - 1}" for serial in range(10, 15)}


def test_states_replaced_by_the_same_serial_are_all_kept(
    leader: FakeRunner, other: FakeRunner
) -> None:
    given = _give(leader)
    for text in ("first", "second"):
        other.write("/etc/infisical/admin.env", text)
        shared_state.take(other, shared=given, serial=3)
    before = "/var/lib/infisical-share/before/3/admin.env"
    assert (other.text(f"{before}.~1~"), other.text(before)) == ("first", "second")


def test_secrets_are_private_on_both_hosts(leader: FakeRunner, other: FakeRunner) -> None:
    shared_state.take(other, shared=_give(leader), serial=3)
    for place in ("/etc/infisical/keys/encryption_key", "/var/lib/infisical-share"):
        assert other.path(place).stat().st_mode & 0o077 == 0


def test_copies_that_a_killed_older_version_left_are_removed(
    leader: FakeRunner, other: FakeRunner
) -> None:
    """They have keys in clear text."""
    left = other.write("/var/lib/infisical-share/new/keys/encryption_key", "obviously-fake")
    shared_state.take(other, shared=_give(leader), serial=3)
    assert not left.exists()


class _KilledError(BaseException):
    """End the agent, as SIGKILL does."""


class _Deadline:
    """Kill the agent after a number of changes of its files."""

    def __init__(self, changes: int) -> None:
        self._left = changes

    def limit(self, change: Callable[..., None]) -> Callable[..., None]:
        def limited(*arguments: object, **more: object) -> None:
            change(*arguments, **more)
            self._left -= 1
            if self._left == 0:
                raise _KilledError

        return limited


def _deaths(
    monkeypatch: pytest.MonkeyPatch, root: Path, shared: dict[str, SharedFile]
) -> Iterator[FakeRunner]:
    """Yield a host for each change of its files, with the agent killed after that change."""
    for changes in range(1, 99):
        deadline, host = _Deadline(changes), _make_other(root / f"{changes}")
        with monkeypatch.context() as patched:
            for change in (files.write, files.remove):
                patched.setattr(files, change.__name__, deadline.limit(change))
            try:
                shared_state.take(host, shared=shared, serial=3)
            except _KilledError:
                pass
            else:
                return
        yield host


def test_a_killed_copy_leaves_no_serial_or_the_whole_state(
    leader: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = _give(leader)
    serials = []
    for host in _deaths(monkeypatch, tmp_path, shared):
        serials.append(host.text("/etc/infisical/serial"))
        if serials[-1] == "3\n":
            assert _read(host).items() >= _STATE.items()
        assert host.text("/etc/infisical/admin.env") in ("older", "obviously-fake-password")
        shared_state.take(host, shared=shared, serial=3)
        assert _read(host) == _STATE | _OWN | {"serial": "3\n"}
        kept = host.path("/var/lib/infisical-share/before/3").rglob("*")
        assert {"older", "ended"} <= {each.read_text() for each in kept if each.is_file()}
    assert len(serials) > 10
    assert set(serials) == {None, "3\n"}


def test_a_damaged_state_is_refused(leader: FakeRunner, other: FakeRunner) -> None:
    before = _read(other)
    shared = _give(leader) | {"keys/auth_secret": (0o600, "b2J2aW91c2x5LWZha2U")}
    with pytest.raises(ValueError, match="padding"):
        shared_state.take(other, shared=shared, serial=3)
    assert _read(other) == before


def test_a_leader_notes_its_serial(leader: FakeRunner) -> None:
    shared_state.lead(leader, serial=7)
    for name in ("serial", "led"):
        assert leader.text(f"/etc/infisical/{name}") == "7\n"


def test_the_digest_of_a_host_without_shared_files_is_empty(tmp_path: Path) -> None:
    assert shared_state.digest(FakeRunner(tmp_path)) == ""


@pytest.mark.parametrize(
    "path",
    ["backup/backup.conf", "keys/a/b", "compose.yaml", "keys/../swarm", "/etc/shadow", "keys//a"],
)
def test_a_host_accepts_only_files_of_the_shared_state(
    leader: FakeRunner, other: FakeRunner, path: str
) -> None:
    """The configuration of backups is the host's own, so it is never copied."""
    before = _read(other)
    forged = base64.b64encode(b"TARGETS=$(touch /tmp/forged)").decode()
    with pytest.raises(RuntimeError) as refused:
        shared_state.take(other, shared=_give(leader) | {path: (0o600, forged)}, serial=3)
    assert refused.value.args[0].code == "command.not_shared"
    assert path in refused.value.args[0].message
    assert _read(other) == before


def test_a_link_is_replaced_by_a_file(leader: FakeRunner, other: FakeRunner) -> None:
    """A copy never writes through a link to a file elsewhere."""
    elsewhere = other.write("/elsewhere", "untouched")
    link = other.path("/etc/infisical/admin.env")
    link.unlink()
    link.symlink_to(elsewhere)
    shared_state.take(other, shared=_give(leader), serial=3)
    assert (link.is_symlink(), elsewhere.read_text()) == (False, "untouched")
    shutil.rmtree(other.root)
