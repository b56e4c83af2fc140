"""Test that `init` shows a server's host key, asks to accept it, and tries to log in."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from click.testing import CliRunner, Result

from infisical_iac.agent.others import OtherContainers
from infisical_iac.cli.init import init
from infisical_iac.cli.main import main
from infisical_iac.core.errors import Refused, SettingsError, Unreachable
from infisical_iac.core.host_keys import ServerKey
from infisical_iac.init import server
from infisical_iac.init.server import LoginTest, Server
from tests.unit.init.conftest import RunningServer

_OPTIONS = ("--host", "127.0.0.1", "--email", "ada@example.com", "--domain", "none")
_NONE_OF = (
    "--isolation",
    "privilege",
    "--smtp-host",
    "none",
    "--login",
    "none",
    "--monitoring",
    "no",
)
# A fingerprint that matches no key.
_OTHER = f"SHA256:{'A' * 43}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return an empty directory with no services next to it."""
    made = tmp_path / "acme" / "infisical"
    made.mkdir(parents=True)
    return made


@contextmanager
def _serve_without_ssh(answer: bytes) -> Iterator[int]:
    """Answer some connections without SSH, close each, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(10):
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed
                    return
                with connection:
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def _init(repository: Path, *options: str, typed: tuple[str, ...] = ()) -> Result:
    given = ["init", "--directory", str(repository), *_OPTIONS, *_NONE_OF, *options]
    return CliRunner().invoke(main, given, input="".join(f"{line}\n" for line in typed))


def _read_known_hosts(repository: Path) -> str:
    file = repository / ".infisical-iac" / "known_hosts"
    return file.read_text() if file.exists() else ""


def _write_known_hosts(repository: Path, text: str) -> Path:
    file = repository / ".infisical-iac" / "known_hosts"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_host_key_is_read_before_any_login(running: RunningServer, repository: Path) -> None:
    assert server.read_host_key(Server("127.0.0.1", running.port), repository) == running.host_key


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_speaks_no_ssh_is_unreachable(answer: bytes, repository: Path) -> None:
    with (
        _serve_without_ssh(answer) as port,
        pytest.raises(Unreachable, match=f":{port} ") as failed,
    ):
        server.read_host_key(Server("127.0.0.1", port), repository)
    assert failed.value.code == "unreachable.host"


def test_a_server_that_closes_each_connection_is_one_note(repository: Path, tmp_path: Path) -> None:
    """paramiko logs such a failure with its traceback, which a process without a log prints."""
    program = Path(sys.executable).with_name("infisical-iac")
    with _serve_without_ssh(b"") as port:
        ran = subprocess.run(
            [program, "init", *_OPTIONS, *_NONE_OF, "--ssh-port", str(port), "--yes"],
            cwd=repository,
            env={**os.environ, "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 0, ran.stderr
    assert f":{port}" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_alias_of_the_ssh_configuration_is_followed(
    running: RunningServer, tmp_path: Path
) -> None:
    """pyinfra reads the same file, so an alias works in the settings too."""
    configuration = tmp_path / "home" / ".ssh" / "config"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {running.port}\nHost far\n  ProxyJump box\n"
    )
    found = server.read_host_key(Server("box"), tmp_path)
    assert found == replace(running.host_key, name="box")
    assert Server("box").names == ("box", running.host_key.name)
    with pytest.raises(Unreachable, match="jump host") as failed:
        server.read_host_key(Server("far"), tmp_path)
    assert failed.value.code == "unreachable.host"


def test_a_login_that_fails_is_explained(running: RunningServer, tmp_path: Path) -> None:
    named = Server("127.0.0.1", running.port, "root", str(running.user_key))
    assert server.try_login(named, running.host_key) == LoginTest(others=OtherContainers())
    other = tmp_path / "other"
    paramiko.ECDSAKey.generate().write_private_key_file(str(other))
    refused = server.try_login(named._replace(key=str(other)), running.host_key)
    assert "for root" in refused.problem
    assert refused.others is None
    missing = named._replace(key=str(tmp_path / "none"))
    assert "can't be tested" in server.try_login(missing, running.host_key).problem


def test_a_host_key_that_differs_from_known_hosts_is_refused(repository: Path) -> None:
    named = Server("203.0.113.7", 2222)
    pair = paramiko.ECDSAKey.generate()
    key = ServerKey("[203.0.113.7]:2222", pair.get_name(), pair.get_base64())
    assert not server.is_known(named, key, repository)
    file = _write_known_hosts(repository, server.add_known("", named, key))
    assert server.is_known(named, key, repository)
    with pytest.raises(Refused) as refused:
        server.is_known(named, replace(key, base64="AAAA"), repository)
    assert refused.value.code == "refused.host_key"
    assert f"{file}, line 1" in str(refused.value)


def test_the_repositorys_known_hosts_takes_precedence_over_the_users(
    repository: Path, tmp_path: Path
) -> None:
    """A deploy reads only the repository's known_hosts."""
    key = ServerKey("203.0.113.7", "ssh-ed25519", "AAAA")
    own = tmp_path / "home" / ".ssh" / "known_hosts"
    own.parent.mkdir(parents=True)
    own.write_text("203.0.113.7 ssh-ed25519 BBBB\n")
    with pytest.raises(Refused):
        server.is_known(Server("203.0.113.7"), key, repository)
    _write_known_hosts(repository, "203.0.113.7 ssh-ed25519 AAAA\n")
    assert server.is_known(Server("203.0.113.7"), key, repository)


def test_a_key_is_added_to_known_hosts_once() -> None:
    named, key = Server("203.0.113.7", 2222), ServerKey("", "ssh-ed25519", "AAAA")
    once = server.add_known("# ours", named, key)
    assert once == "# ours\n[203.0.113.7]:2222 ssh-ed25519 AAAA\n"
    assert server.add_known(once, named, key) == once


def test_an_accepted_host_key_is_kept_in_the_repository(
    repository: Path, running: RunningServer
) -> None:
    port = str(running.port)
    typed = (port, "", "y", "", "", "", "", "")
    ran = _init(repository, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert str(running.host_key) in ran.output
    assert running.host_key.command in ran.output
    assert _read_known_hosts(repository) == running.known_hosts
    assert f"ssh_port = {port}" in (repository / "group_data" / "hetzner.py").read_text()


def test_rejecting_a_host_key_asks_for_the_address_again(
    repository: Path, running: RunningServer
) -> None:
    port = str(running.port)
    typed = (port, "", "n", "", "", "", "y", "", "", "", "", "")
    ran = _init(repository, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert ran.output.count(running.host_key.fingerprint) == 2
    assert "[127.0.0.1]" in ran.output


def test_yes_requires_the_fingerprint(repository: Path, running: RunningServer) -> None:
    port, fingerprint = ("--ssh-port", str(running.port), "--yes"), running.host_key.fingerprint
    for options in (port, (*port, "--accept-host-key", _OTHER)):
        refused = _init(repository, *options)
        assert refused.exit_code == 1
        assert f"--accept-host-key {fingerprint}" in refused.output
    malformed = _init(repository, *port, "--accept-host-key", "SHA256:other")
    assert (malformed.exit_code, "'SHA256:other'" in malformed.output) == (1, True)
    assert list(repository.iterdir()) == []
    ran = _init(repository, *port, "--accept-host-key", fingerprint)
    assert ran.exit_code == 0, ran.output
    assert _read_known_hosts(repository) == running.known_hosts


def test_a_changed_key_is_refused_although_its_fingerprint_is_given(
    repository: Path, running: RunningServer
) -> None:
    other = running.known_hosts.replace(running.host_key.base64, "AAAA")
    _write_known_hosts(repository, other)
    accept = ("--accept-host-key", running.host_key.fingerprint, "--yes")
    ran = _init(repository, "--ssh-port", str(running.port), *accept)
    assert (ran.exit_code, "ssh-keygen -f" in ran.output) == (1, True)
    assert _read_known_hosts(repository) == other


def test_an_unknown_host_key_has_the_same_code_in_all_commands(
    repository: Path, running: RunningServer
) -> None:
    given = ["--directory", str(repository), *_OPTIONS, "--yes", "--ssh-port", str(running.port)]
    with pytest.raises(Refused) as refused:
        init.main(given, standalone_mode=False)
    assert refused.value.code == "refused.unknown_host_key"


def test_yes_reports_that_an_unreachable_server_was_not_tested(repository: Path) -> None:
    ran = _init(repository, "--ssh-port", "2222", "--yes")
    assert ran.exit_code == 0, ran.output
    assert re.search(r"Note: .*127\.0\.0\.1", ran.stderr)
    assert _read_known_hosts(repository) == ""


def test_init_continues_with_a_warning_after_a_failed_login(
    repository: Path, running: RunningServer
) -> None:
    accept = ("--accept-host-key", running.host_key.fingerprint, "--yes")
    ran = _init(repository, "--ssh-port", str(running.port), *accept)
    assert ran.exit_code == 0
    assert re.search(rf"Warning: .*`ssh -p {running.port} root@127.0.0.1 true`", ran.stderr)


def test_the_host_key_of_a_backup_target_is_read_and_confirmed(
    repository: Path, running: RunningServer
) -> None:
    """The fingerprint is shown like the server's, instead of a line to be copied by hand."""
    accept = ("--accept-host-key", running.host_key.fingerprint)
    host = (*accept, "--ssh-user", "root", "--services", "..", "--ssh-port", str(running.port))
    typed = ("", "", "", "sftp:u1@127.0.0.1:infisical", str(running.port), "y")
    ran = _init(repository, *host, typed=typed)
    assert ran.exit_code == 0, ran.output
    written = (repository / "group_data" / "hetzner.py").read_text()
    key = f"{running.host_key.type} {running.host_key.base64}"
    assert f'"host_key": "{key}", "port": {running.port}' in written


def test_a_question_on_a_backup_target_is_asked_again_after_a_bad_answer(
    repository: Path, running: RunningServer
) -> None:
    """A user who rejects the host key types it instead."""
    accept = ("--accept-host-key", running.host_key.fingerprint)
    host = (*accept, "--ssh-user", "root", "--services", "..", "--ssh-port", str(running.port))
    key = f"{running.host_key.type} {running.host_key.base64}"
    place = ("sftp:u1@127.0.0.1:infisical", "ssh", str(running.port))
    ran = _init(repository, *host, typed=("", "", "", *place, "perhaps", "n", "AAAA", key))
    assert ran.exit_code == 0, ran.output
    refused = re.findall(r"Error: (.*)", ran.output)
    for fact, sentence in zip(("'ssh'", "invalid input", "ssh-keyscan"), refused, strict=True):
        assert fact in sentence
    written = (repository / "group_data" / "hetzner.py").read_text()
    assert f'"host_key": "{key}", "port": {running.port}' in written


_OWN = ('hardening = "on"', 'firewall = "on"', 'fail2ban = "on"', "Sun *-*-* 05:00:00")
_LEFT = ('hardening = "off"', 'firewall = "off"', 'fail2ban = "off"', 'maintenance_window = ""')


@pytest.fixture
def login(running: RunningServer, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """A server that can be logged in to, so that `init` sees what else runs there."""
    monkeypatch.setenv("INFISICAL_SSH_KEY", str(running.user_key))
    return running


def _init_on(
    login: RunningServer, repository: Path, *options: str, typed: str | None = None
) -> Result:
    """Run `init`; answer the question on the server by `typed`, or without it by --yes.

    Args:
        typed: one answer, or several with | in between.
    """
    accept = ("--accept-host-key", login.host_key.fingerprint)
    given = ("--ssh-port", str(login.port), "--ssh-user", "root", "--services", "..")
    rest = ("--organization", "Acme", "--project", "Acme", "--environments", "dev")
    asked = ("--yes",) if typed is None else ()
    answers = [] if typed is None else typed.split("|")
    return _init(
        repository, *accept, *given, *rest, "--backup", "later", *asked, *options, typed=(*answers,)
    )


def _settings(repository: Path) -> str:
    return (repository / "group_data" / "hetzner.py").read_text()


def test_the_key_that_logged_in_is_named_for_the_next_commands(
    login: RunningServer, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another shell lacks the variable. The settings are the whole team's, and don't get a path."""
    line = f"export INFISICAL_SSH_KEY={login.user_key}"
    monkeypatch.chdir(login.user_key.parent)
    for named in (str(login.user_key), login.user_key.name):
        monkeypatch.setenv("INFISICAL_SSH_KEY", named)
        ran = _init_on(login, repository, "--force")
        assert ran.exit_code == 0, ran.output
        assert line in [each.strip() for each in ran.output.splitlines()]
        assert "ssh_key" in ran.output
    again = _init(repository, "--organization", "Acme Shop", "--ssh-user", "bob", typed=("y", "y"))
    assert "INFISICAL_SSH_KEY" in again.output
    monkeypatch.delenv("INFISICAL_SSH_KEY")
    ran = _init_on(login, repository, "--force")
    assert "export INFISICAL_SSH_KEY" not in ran.output
    assert "ssh_key" not in _settings(repository)


@pytest.mark.parametrize(
    ("others", "typed", "shown", "written"),
    [
        ({}, "", "[yes]", _OWN),
        ({"is_own": True}, "", "[yes]", _OWN),
        ({}, "no", "[yes]", _LEFT),
        ({"names": ["coolify", "coolify-db"]}, "", "server: Coolify.", _LEFT),
        (
            {"in_swarm": True, "names": ["dokploy", "dokploy-traefik"]},
            "",
            "server: Dokploy.",
            _LEFT,
        ),
        ({"in_swarm": True}, "", "a Swarm", _LEFT),
        ({"names": ["web"]}, "perhaps|YES", "server: web.", _OWN),
        # This project's firewall would close the Swarm's ports.
        (
            {"in_swarm": True, "names": ["dokploy"]},
            "y",
            "[no]",
            (_OWN[0], 'firewall = "off"', _OWN[2], _OWN[3]),
        ),
    ],
)
def test_the_question_on_managing_the_server_has_a_default_by_its_containers(
    login: RunningServer,
    repository: Path,
    others: dict[str, object],
    typed: str,
    shown: str,
    written: tuple[str, ...],
) -> None:
    login.others.write_text(f"{json.dumps(others)}\n")
    ran = _init_on(login, repository, typed=typed)
    assert ran.exit_code == 0, ran.output
    assert shown in ran.output
    assert ran.output.count("Error: ") == typed.count("|")
    assert [each for each in written if each not in _settings(repository)] == []


@pytest.mark.parametrize(("others", "written"), [({}, _OWN), ({"names": ["web"]}, _LEFT)])
def test_yes_decides_on_managing_the_server_by_its_containers(
    login: RunningServer, repository: Path, others: dict[str, object], written: tuple[str, ...]
) -> None:
    login.others.write_text(f"{json.dumps(others)}\n")
    ran = _init_on(login, repository)
    assert ran.exit_code == 0, ran.output
    assert [each for each in written if each not in _settings(repository)] == []


_DEPLOYED = "INFISICAL_CLIENT_ID=a\nINFISICAL_CLIENT_SECRET=not-a-real-one\n"


@pytest.mark.parametrize(
    ("printed", "proposed"),
    [
        ("", None),
        # The test server forwards no connection, so its Infisical can't be reached.
        (_DEPLOYED, "privilege"),
        (f'{_DEPLOYED}{{"environments": {{}}, "parts": {{"dev /api": {{}}}}}}\n', "projects"),
    ],
)
def test_isolation_is_proposed_by_the_infisical_that_a_server_runs(
    running: RunningServer, printed: str, proposed: str | None
) -> None:
    running.others.write_text(f"{{}}\n{printed}")
    named = Server("127.0.0.1", running.port, "root", str(running.user_key))
    found = server.try_login(named, running.host_key).isolation
    assert (found.method if found else None) == proposed
    assert "not-a-real-one" not in str(found)


def test_the_proposed_isolation_is_the_default(login: RunningServer, repository: Path) -> None:
    login.others.write_text(f'{{}}\n{_DEPLOYED}{{"environments": {{}}, "parts": {{"a": {{}}}}}}\n')
    given = ("--host", "127.0.0.1", "--ssh-port", str(login.port), "--email", "ada@example.com")
    accept = ("--accept-host-key", login.host_key.fingerprint)
    ran = CliRunner().invoke(
        main, ["init", "--directory", str(repository), "--yes", "--domain", "", *given, *accept]
    )
    assert ran.exit_code == 0, ran.output
    assert 'isolation = "projects"' in _settings(repository)


@pytest.mark.parametrize(("answer", "written"), [("yes", _OWN), ("no", _LEFT)])
def test_an_option_decides_on_managing_the_server(
    login: RunningServer, repository: Path, answer: str, written: tuple[str, ...]
) -> None:
    login.others.write_text("{}\n" if answer == "no" else '{"names": ["web"]}\n')
    assert _init_on(login, repository, "--harden", answer).exit_code == 0
    assert [each for each in written if each not in _settings(repository)] == []


def test_the_first_deploy_decides_on_a_server_that_was_not_seen(
    login: RunningServer, repository: Path, tmp_path: Path
) -> None:
    for place, options in ((repository, ("--harden", "auto")), (tmp_path / "other", ())):
        place.mkdir(exist_ok=True)
        ran = _init_on(login, place, *options) if options else _init(place, "--yes")
        assert ran.exit_code == 0, ran.output
        assert "hardening" not in _settings(place)


def test_another_answer_on_managing_the_server_is_refused(
    login: RunningServer, repository: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        init.main(
            ["--directory", str(repository), *_OPTIONS, "--yes", "--harden", "perhaps"],
            standalone_mode=False,
        )
    assert refused.value.code == "settings.harden"
    assert "--harden" in str(refused.value)
    assert list(repository.iterdir()) == []


def test_a_later_init_corrects_the_answer_on_managing_the_server(
    login: RunningServer, repository: Path
) -> None:
    assert _init_on(login, repository).exit_code == 0
    for answer, written in (("no", _LEFT), ("yes", _OWN)):
        given = ["init", "--directory", str(repository), "--harden", answer]
        ran = CliRunner().invoke(main, given, input="y\n")
        assert ran.exit_code == 0, ran.output
        assert [each for each in written if each not in _settings(repository)] == []
    given = ["init", "--directory", str(repository), "--harden", "auto"]
    assert CliRunner().invoke(main, given, input="y\n").exit_code == 0
    assert '# hardening = "on"' in _settings(repository)
