"""Test the server that a person names: its host key is shown and asked for, and the login tried."""

import re
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main
from infisical_iac.core.errors import Refused, Unreachable
from infisical_iac.init import server
from infisical_iac.init.server import HostKey, Server
from tests.unit.init.sshd import Sshd, silent_server, sshd

_CHECK_SERVER = server.check_server
_KEY = HostKey("ssh-ed25519", "AAAAobviouslyfake", "SHA256:fake")
_OPTIONS = ("--host", "127.0.0.1", "--email", "ada@example.com", "--domain", "none")


@pytest.fixture(autouse=True)
def _real_test(_no_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "check_server", _CHECK_SERVER)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def running() -> Iterator[Sshd]:
    with sshd() as started:
        yield started


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return an empty directory, next to which there is no service."""
    made = tmp_path / "acme" / "infisical"
    made.mkdir(parents=True)
    return made


def _init(repository: Path, *options: str, typed: tuple[str, ...] = ()) -> Result:
    given = ["init", "--directory", str(repository), *_OPTIONS, *options]
    return CliRunner().invoke(main, given, input="".join(f"{line}\n" for line in typed))


def _known(repository: Path) -> str:
    file = repository / ".infisical-iac" / "known_hosts"
    return file.read_text() if file.exists() else ""


def test_the_host_key_is_read_before_any_login(running: Sshd) -> None:
    found = server.check_server(Server("127.0.0.1", running.port))
    assert found.fingerprint == running.fingerprint
    assert (found.kind, found.text) == (running.host_key.get_name(), running.host_key.get_base64())


def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    with sshd() as stopped:
        port = stopped.port
    with pytest.raises(Unreachable, match=f"port {port}, "):
        server.check_server(Server("127.0.0.1", port))


def test_a_name_that_can_not_be_looked_up_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="port 22, "):
        server.check_server(Server(f"{'a' * 64}.example"))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_of_another_protocol_is_none(answer: bytes) -> None:
    with silent_server(answer) as port, pytest.raises(Unreachable, match="check the port"):
        server.check_server(Server("127.0.0.1", port))


def test_an_alias_of_the_ssh_configuration_is_followed(running: Sshd, tmp_path: Path) -> None:
    """pyinfra reads the same file, so an alias works in the settings too."""
    configuration = tmp_path / "home" / ".ssh" / "config"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {running.port}\nHost far\n  ProxyJump box\n"
    )
    assert server.check_server(Server("box")).fingerprint == running.fingerprint
    assert Server("box").names == ("box", f"[127.0.0.1]:{running.port}")
    with pytest.raises(Unreachable, match="jump host"):
        server.check_server(Server("far"))


def test_a_login_that_fails_is_explained(running: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    running.user_key.write_private_key_file(str(key))
    shown = server.check_server(Server("127.0.0.1", running.port))
    named = Server("127.0.0.1", running.port, "root", str(key))
    assert server.find_login_problem(named, shown) == ""
    other = tmp_path / "other"
    paramiko.ECDSAKey.generate().write_private_key_file(str(other))
    assert "for root" in server.find_login_problem(named._replace(key=str(other)), shown)
    missing = server.find_login_problem(named._replace(key=str(tmp_path / "none")), shown)
    assert "can't be tested" in missing


def test_another_key_than_the_known_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    named = Server("203.0.113.7", 2222)
    assert not server.is_known(named, _KEY, [file])
    other = paramiko.ECDSAKey.generate()
    file.write_text(f"[203.0.113.7]:2222 {other.get_name()} {other.get_base64()}\n")
    key = HostKey(other.get_name(), other.get_base64(), "SHA256:fake")
    assert server.is_known(named, key, [file])
    with pytest.raises(Refused) as refused:
        server.is_known(named, key._replace(text="AAAA"), [file])
    assert refused.value.code == "refused.host_key"
    assert str(file) in str(refused.value)


def test_a_key_is_added_to_known_hosts_once() -> None:
    named = Server("203.0.113.7", 2222)
    once = server.add_known("# ours\n", named, _KEY)
    assert once == "# ours\n[203.0.113.7]:2222 ssh-ed25519 AAAAobviouslyfake\n"
    assert server.add_known(once, named, _KEY) == once


def test_an_accepted_host_key_is_kept_in_the_repository(repository: Path, running: Sshd) -> None:
    port = str(running.port)
    typed = (port, "", "y", "", "", "", "", "")
    ran = _init(repository, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert running.fingerprint in ran.output
    assert _known(repository) == f"{running.line}\n"
    assert f"ssh_port = {port}" in (repository / "group_data" / "hetzner.py").read_text()


def test_a_key_that_is_no_is_asked_with_the_address_again(repository: Path, running: Sshd) -> None:
    port = str(running.port)
    typed = (port, "", "n", "", "", "", "y", "", "", "", "", "")
    ran = _init(repository, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert ran.output.count(running.fingerprint) == 2
    assert "[127.0.0.1]" in ran.output


def test_a_machine_gives_the_fingerprint(repository: Path, running: Sshd) -> None:
    port = ("--ssh-port", str(running.port), "--yes")
    unknown = _init(repository, *port)
    assert (unknown.exit_code, running.fingerprint in unknown.output) == (1, True)
    assert "--accept-host-key" in unknown.output
    wrong = _init(repository, *port, "--accept-host-key", "SHA256:other")
    assert wrong.exit_code == 1
    assert all(each in wrong.output for each in (running.fingerprint, "SHA256:other"))
    assert list(repository.iterdir()) == []
    ran = _init(repository, *port, "--accept-host-key", running.fingerprint)
    assert ran.exit_code == 0, ran.output
    assert _known(repository) == f"{running.line}\n"


def test_a_machine_says_that_an_unreachable_server_was_not_tested(repository: Path) -> None:
    with sshd() as stopped:
        port = str(stopped.port)
    ran = _init(repository, "--ssh-port", port, "--yes")
    assert ran.exit_code == 0, ran.output
    assert re.search(rf"Note: .*port {port},", ran.stderr)
    assert _known(repository) == ""


def test_a_login_that_fails_warns_and_does_not_stop(repository: Path, running: Sshd) -> None:
    ran = _init(
        repository,
        *("--ssh-port", str(running.port), "--accept-host-key", running.fingerprint, "--yes"),
    )
    assert ran.exit_code == 0
    assert re.search(rf"Warning: .*`ssh -p {running.port} root@127.0.0.1 true`", ran.stderr)


def test_the_host_key_of_a_backups_server_is_read_and_asked_for(
    repository: Path, running: Sshd
) -> None:
    """Its fingerprint is shown like the server's, instead of a line to be copied by hand."""
    host = ("--accept-host-key", running.fingerprint, "--ssh-user", "root", "--services", "..")
    typed = ("", "", "", "sftp:u1@127.0.0.1:infisical", str(running.port), "y")
    ran = _init(repository, *host, "--ssh-port", str(running.port), typed=typed)
    assert ran.exit_code == 0, ran.output
    written = (repository / "group_data" / "hetzner.py").read_text()
    key = f"{running.host_key.get_name()} {running.host_key.get_base64()}"
    assert f'"host_key": "{key}", "port": {running.port}' in written
