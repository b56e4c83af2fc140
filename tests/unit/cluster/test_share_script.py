"""Test copying the shared state from one fake host to another, also if it is killed."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.fake_host import FakeHost, make_host

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
def leader(tmp_path: Path) -> FakeHost:
    """A host with the shared state."""
    (tmp_path / "lead").mkdir()
    host = make_host(tmp_path / "lead")
    for path, text in _STATE.items():
        host.write(f"/etc/infisical/{path}", text)
    host.write("/etc/infisical/backup/backup.conf", "TARGETS=remote")
    host.write("/etc/infisical/keys/auth_secret.next", "on its way")
    return host


@pytest.fixture
def other(tmp_path: Path) -> FakeHost:
    """A host with an older state and its own configuration."""
    (tmp_path / "other").mkdir()
    host = make_host(tmp_path / "other")
    for path, text in _OWN.items():
        host.write(f"/etc/infisical/{path}", text)
    host.write("/etc/infisical/admin.env", "older")
    host.write("/etc/infisical/credentials/gone.env", "ended")
    return host


def _files(host: FakeHost) -> dict[str, str]:
    root = host.directory / "etc/infisical"
    return {
        str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()
    }


def _digest(host: FakeHost) -> str:
    lines = host.run("swarm-inspect").stdout.splitlines()
    return next(line for line in lines if line.startswith("state "))


def test_a_host_gets_the_state_and_keeps_its_own_files(leader: FakeHost, other: FakeHost) -> None:
    given = leader.run("share", "give")
    done = other.run("share", "take", "3", stdin=given.stdout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _files(other) == _STATE | _OWN | {"serial": "3\n"}
    assert _digest(other) == _digest(leader)


def test_replaced_files_are_kept_aside(leader: FakeHost, other: FakeHost) -> None:
    other.run("share", "take", "3", stdin=leader.run("share", "give").stdout)
    before = "/var/lib/infisical-share/before/3"
    assert other.read(f"{before}/admin.env") == "older"
    assert other.read(f"{before}/credentials/gone.env") == "ended"


def test_no_copy_is_kept_of_a_secret_that_the_user_gave(leader: FakeHost, other: FakeHost) -> None:
    """The secret may be in use elsewhere, and the user has it."""
    leader.write("/etc/infisical/keys/given_license_key", "new")
    for name in ("given_license_key", "given_smtp_password"):
        other.write(f"/etc/infisical/keys/{name}", "old")
    other.write("/etc/infisical/.env", "SMTP_PASSWORD='old'")
    other.run("share", "take", "3", stdin=leader.run("share", "give").stdout)
    assert other.read("/etc/infisical/keys/given_license_key") == "new"
    assert other.read("/etc/infisical/keys/given_smtp_password") is None
    kept = (other.directory / "var/lib/infisical-share/before").rglob("*")
    assert {each.name for each in kept if each.is_file()} == {"admin.env", "gone.env"}


def test_the_last_five_replaced_states_are_kept(leader: FakeHost, other: FakeHost) -> None:
    for serial in range(8, 15):
        leader.write("/etc/infisical/keys/encryption_key", f"obviously-fake-{serial}")
        other.run("share", "take", str(serial), stdin=leader.run("share", "give").stdout)
    kept = other.directory / "var/lib/infisical-share/before"
    found = {int(each.name): (each / "keys/encryption_key").read_text() for each in kept.iterdir()}
    assert found == {serial: f"obviously-fake-{serial - 1}" for serial in range(10, 15)}


def test_states_replaced_by_the_same_serial_are_all_kept(leader: FakeHost, other: FakeHost) -> None:
    given = leader.run("share", "give").stdout
    for text in ("first", "second"):
        other.write("/etc/infisical/admin.env", text)
        other.run("share", "take", "3", stdin=given)
    before = "/var/lib/infisical-share/before/3/admin.env"
    assert (other.read(f"{before}.~1~"), other.read(before)) == ("first", "second")


def test_secrets_are_private_on_both_hosts(leader: FakeHost, other: FakeHost) -> None:
    given = leader.run("share", "give").stdout
    assert not any(text in given for text in _STATE.values())
    (leader.directory / "etc/infisical/keys/encryption_key").chmod(0o600)
    other.run("share", "take", "3", stdin=leader.run("share", "give").stdout)
    assert (other.directory / "etc/infisical/keys/encryption_key").stat().st_mode & 0o077 == 0
    assert (other.directory / "var/lib/infisical-share").stat().st_mode & 0o077 == 0


def test_a_killed_copy_leaves_no_serial_or_the_whole_state(
    leader: FakeHost, other: FakeHost
) -> None:
    found = other.deaths(("share", "take", "3"), stdin=leader.run("share", "give").stdout)
    assert len(found) > 10
    serials = [each.read("/etc/infisical/serial") for each in found]
    assert set(serials) == {"2\n", None, "3\n"}
    for each in found:
        if each.read("/etc/infisical/serial") == "3\n":
            assert _files(each).items() >= _STATE.items()
        if each.read("/etc/infisical/serial") == "2\n":
            assert each.read("/etc/infisical/admin.env") == "older"


def test_a_truncated_state_is_refused(leader: FakeHost, other: FakeHost) -> None:
    before = _files(other)
    given = leader.run("share", "give").stdout
    assert other.run("share", "take", "3", stdin=given[: len(given) // 2]).returncode != 0
    assert _files(other) == before


def test_a_leader_reports_its_serial(leader: FakeHost) -> None:
    leader.ok(("share", "lead", "7"))
    lines = leader.run("swarm-inspect").stdout.splitlines()
    assert {"serial 7", "led 7"} <= set(lines)


def test_the_digest_of_a_host_without_shared_files_is_empty(tmp_path: Path) -> None:
    assert _digest(make_host(tmp_path)) == "state "


@pytest.mark.parametrize("path", ["backup/backup.conf", "keys/a/b", "compose.yaml"])
def test_a_host_accepts_only_files_of_the_shared_state(
    other: FakeHost, tmp_path: Path, path: str
) -> None:
    """The configuration of backups is the host's own, so it is never copied."""
    file = tmp_path / "sent" / path
    file.parent.mkdir(parents=True)
    file.write_text("TARGETS=$(touch /tmp/forged)")
    _check_refused(other, tmp_path / "sent", path)


def test_a_host_refuses_links(other: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "sent/keys").mkdir(parents=True)
    (tmp_path / "sent/keys/auth_secret").symlink_to("/etc/shadow")
    _check_refused(other, tmp_path / "sent", "keys/auth_secret")


def _check_refused(host: FakeHost, sent: Path, path: str) -> None:
    before = _files(host)
    packed = f"tar --create --gzip --directory {sent} . | base64 --wrap 0"
    given = subprocess.run(["sh", "-c", packed], capture_output=True, text=True, check=True)
    done = host.run("share", "take", "3", stdin=given.stdout)
    assert (
        done.stderr
        == f"another host sent {path}, which is not part of the shared state: nothing was copied\n"
    )
    assert (done.returncode, _files(host)) == (1, before)
