"""Test the state of files, writing one atomically, and the installation of the agent."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent.files import PathState, copy, install, masked_text, states, texts, write
from tests.unit.agent.fake_runner import FakeRunner

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_OWNER = "root:root"


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    return FakeRunner(tmp_path)


def test_paths_are_described_in_the_words_of_stat(host: FakeRunner) -> None:
    host.write("/etc/a b", "text\n")
    host.write("/etc/empty", "", mode=0o4755)
    host.path("/etc/link").symlink_to("a b")
    os.mkfifo(host.path("/etc/fifo"), 0o600)
    host.path("/etc").chmod(0o755)
    digest = sha256(b"text\n").hexdigest()
    found = states(host, paths=["/etc/a b", "/etc", "/etc/empty", "/etc/link", "/etc/fifo", "/no"])
    assert found == {
        "/etc/a b": PathState("regular file", "600", _OWNER, digest),
        "/etc": PathState("directory", "755", _OWNER),
        "/etc/empty": PathState("regular empty file", "4755", _OWNER, _EMPTY),
        "/etc/link": PathState("symbolic link", "777", _OWNER, digest),
        "/etc/fifo": PathState("fifo", "600", _OWNER),
    }


def test_an_owner_without_a_name_is_unknown(host: FakeRunner) -> None:
    os.chown(host.write("/etc/a", "x"), 54321, 54321)
    assert states(host, paths=["/etc/a"])["/etc/a"].owner == "UNKNOWN:UNKNOWN"


def test_a_pattern_finds_the_files_of_a_folder(host: FakeRunner) -> None:
    for path in ("/etc/backup/b.env", "/etc/backup/a.env", "/etc/backup/a.conf"):
        host.write(path, f"{path}\n")
    found = texts(host, paths=["/etc/backup/a.conf"], patterns=["/etc/backup/*.env", "/none/*"])
    assert list(found) == ["/etc/backup/a.env", "/etc/backup/b.env", "/etc/backup/a.conf"]
    assert found["/etc/backup/a.env"] == "/etc/backup/a.env\n"


def test_a_text_that_is_no_utf8_is_read(host: FakeRunner) -> None:
    host.path("/etc").mkdir()
    host.path("/etc/a").write_bytes(b"A=\xff\n")
    assert texts(host, paths=["/etc/a", "/etc/none"]) == {"/etc/a": "A=\ufffd\n"}


def test_secrets_of_the_host_are_masked_before_a_text_leaves_it(host: FakeRunner) -> None:
    host.write("/etc/infisical/keys/redis_password", "fake.redis+password\n")
    host.write("/etc/infisical/admin.env", "INFISICAL_ADMIN_PASSWORD=fake-admin\\password\n")
    text = "a fake.redis+password b fake.redis+password\nfake-admin\\password\nplain\n"
    host.write("/etc/a", text)
    assert masked_text(host, path="/etc/a") == "a *** b ***\n***\nplain\n"
    assert masked_text(host, path="/etc/none") == ""


@pytest.mark.parametrize(
    "secret", ['fake"a"secret', "fake\\a\\secret", "fake\ta\tsecret", 'n&o<t>"a\\']
)
def test_secrets_are_masked_as_json_has_them(host: FakeRunner, secret: str) -> None:
    """Node writes JSON as Python does. Go escapes &, < and > as well."""
    host.write("/etc/infisical/keys/given_smtp_password", f"{secret}\n")
    by_node = json.dumps(secret).strip('"')
    by_go = by_node
    for sign in "&<>":
        by_go = by_go.replace(sign, f"\\u{ord(sign):04x}")
    host.write("/etc/a", f"1 {secret}\n2 {by_node}\n3 {by_go}\n")
    assert masked_text(host, path="/etc/a") == "1 ***\n2 ***\n3 ***\n"


def test_a_longer_secret_is_masked_as_a_whole(host: FakeRunner) -> None:
    host.write("/etc/infisical/keys/a", "fake-part\n")
    host.write("/etc/infisical/keys/b", "fake-part-and-more\n")
    host.write("/etc/a", "fake-part-and-more\n")
    assert masked_text(host, path="/etc/a") == "***\n"


def test_a_secret_at_the_end_of_the_read_part_is_left_out(host: FakeRunner) -> None:
    host.write("/etc/infisical/keys/a", "fake-secret\n")
    host.write("/etc/a", f"{'x' * 65530}\nfake-secret\n")
    assert masked_text(host, path="/etc/a") == "x" * 65530


def test_a_written_file_replaces_the_old_one_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "a"
    write(file, b"old", mode=0o644)
    before = file.stat().st_ino
    write(file, b"new")
    assert file.read_bytes() == b"new"
    assert oct(file.stat().st_mode & 0o7777) == "0o600"
    assert file.stat().st_ino != before
    assert [each.name for each in file.parent.iterdir()] == ["a"]


def test_a_private_file_gets_a_private_folder(tmp_path: Path) -> None:
    write(tmp_path / "new" / "a", b"")
    assert oct((tmp_path / "new").stat().st_mode & 0o777) == "0o700"


_STEPS = ("open", "fchmod", "fsync", "replace")


class _Crash(BaseException):
    """The end of the process, which no handler of errors sees."""


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("error", [OSError("disk full"), _Crash()])
def test_a_write_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        write(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_file_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between two of these steps leaves the old file, or the whole new one."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        done.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def note_replace(old: Path, new: Path) -> None:
        done.append(f"replace {new.name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write(tmp_path / "a", b"new")
    assert done == [f"fsync .a.new-{os.getpid()}", "replace a", f"fsync {tmp_path.name}"]
    done.clear()
    copy(tmp_path / "a", tmp_path / "b")
    assert done == [f"fsync .b.new-{os.getpid()}", "replace b", f"fsync {tmp_path.name}"]


def _target(folder: Path, archive: bytes, protocol: int = 2) -> Path:
    return folder / f"agent-{protocol}-{sha256(archive).hexdigest()[:12]}.pyz"


def test_a_copied_file_keeps_mode_and_time(tmp_path: Path) -> None:
    """The age of a key is told by the time of its file."""
    file, to = tmp_path / "key", tmp_path / "kept/keys/key"
    file.write_text("obviously-fake")
    file.chmod(0o640)
    os.utime(file, (1000, 1000))
    copy(file, to)
    assert (to.read_text(), to.stat().st_mode & 0o777, to.stat().st_mtime) == (
        *("obviously-fake", 0o640, 1000.0),
    )
    assert [each.name for each in to.parent.iterdir()] == ["key"]


def test_an_installed_agent_replaces_older_ones(tmp_path: Path) -> None:
    for name in ("agent-1-aaaaaaaaaaaa.pyz", "agent-2-bbbbbbbbbbbb.pyz", "backup.sh"):
        (tmp_path / name).write_bytes(b"old")
    target = _target(tmp_path, b"archive")
    install(b"archive", target)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([target.name, "backup.sh"])
    assert target.read_bytes() == b"archive"
    assert oct(target.stat().st_mode & 0o777) == "0o644"


def test_a_newer_agent_is_not_replaced(tmp_path: Path) -> None:
    newer = tmp_path / "agent-3-aaaaaaaaaaaa.pyz"
    newer.write_bytes(b"newer")
    with pytest.raises(RuntimeError) as caught:
        install(b"archive", _target(tmp_path, b"archive"))
    assert caught.value.args[0].code == "refused.newer_tool"
    assert [each.name for each in tmp_path.iterdir()] == [newer.name]


def test_an_agent_that_arrived_incomplete_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        install(b"arch", _target(tmp_path, b"archive"))
    assert caught.value.args[0].code == "command.agent"
    assert [*tmp_path.iterdir()] == []
