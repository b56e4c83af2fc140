"""Test which data are removed with the stack, which are kept, and the backup before that."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

from infisical_iac.agent import removal
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_CLOSED = "systemctl stop {project}-port-*.socket {project}-port-*.service"
_KEY = "/etc/infisical/keys/encryption_key"


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose Docker has the `volumes`, each with its project, and no container or network."""

    volumes: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        return [command for command, _ in self.ran]

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Output:
        done = super().run(words, stdin=stdin)
        match words:
            case ["docker", "volume", "ls", *_, label]:
                project = label.rpartition("=")[2]
                return Output(0, "".join(f"{k}\n" for k, v in self.volumes.items() if v == project))
            case ["docker", "volume", "rm", *names]:
                for name in names:
                    del self.volumes[name]
        return done


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _Host(tmp_path, {"docker": "", "systemctl": "", "nft": ""})


_MAIN = "infisical_postgres"


def test_removing_everything_deletes_copies_of_the_data_too(host: _Host) -> None:
    names = (_MAIN, f"{_MAIN}_before_20261125T101112Z", "infisical_redis")
    copies = {
        f"infisical-{what}_postgres": f"infisical-{what}"
        for what in ("restore", "upgrade", "scale", "drill")
    }
    host.volumes.update({**dict.fromkeys(names, "infisical"), **copies, "other_data": "other"})
    files = (
        _KEY,
        "/var/lib/infisical-share/before/3/keys/encryption_key",
        "/var/lib/infisical-scale/state",
    )
    for file in files:
        host.write(file, "obviously-fake")
    removal.remove_everything(host)
    assert host.volumes == {"other_data": "other"}
    assert [file for file in files if host.path(file).parent.exists()] == []


def test_removing_the_stack_keeps_data_and_keys(host: _Host) -> None:
    host.volumes.update({_MAIN: "infisical"})
    for file in (_KEY, "/etc/infisical/compose.yaml"):
        host.write(file, "obviously-fake")
    removal.remove_stack(host)
    assert host.volumes == {_MAIN: "infisical"}
    assert host.text(_KEY) == "obviously-fake"
    assert host.text("/etc/infisical/compose.yaml") is None


def test_a_link_in_a_removed_directory_is_not_followed(host: _Host) -> None:
    host.write("/root/file", "somebody's")
    host.path("/var/lib/infisical-backup").mkdir(parents=True)
    host.path("/var/lib/infisical-backup/link").symlink_to(host.path("/root"))
    removal.remove_everything(host)
    assert not host.path("/var/lib/infisical-backup").exists()
    assert host.text("/root/file") == "somebody's"


def test_containers_are_stopped_before_they_and_their_networks_are_removed(tmp_path: Path) -> None:
    containers = docker_answers(docker_container("a", project="infisical", service="postgres"))
    host = _Host(tmp_path, {**containers, "docker network ls": "n1\n", "docker": ""})
    removal.remove_stack(host)
    changes = ("docker stop", "docker rm", "docker network rm")
    assert [each for each in host.commands if each.startswith(changes)] == [
        *("docker stop --time 20 a", "docker rm --force a", "docker network rm n1"),
    ]


def test_a_docker_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    host = _Host(tmp_path, {"docker ps": Output(1), "docker": "", "systemctl": ""})
    host.write(_KEY, "obviously-fake")
    for remove in (removal.deployed, removal.remove_stack, removal.remove_everything):
        with pytest.raises(RuntimeError):
            remove(host)
    assert host.text(_KEY) == "obviously-fake"


def test_services_that_a_timer_started_are_stopped(host: _Host) -> None:
    removal.remove_stack(host)
    assert "systemctl stop infisical-backup.service infisical-drill.service" in host.commands


@pytest.mark.parametrize("remove", [removal.remove_stack, removal.remove_everything])
def test_removing_the_stack_closes_its_port(host: _Host, remove: Callable[..., None]) -> None:
    remove(host)
    assert _CLOSED.format(project="infisical") in host.commands
    copies = _CLOSED.format(project="infisical-upgrade") in host.commands
    assert copies is (remove == removal.remove_everything)


def test_exporters_of_others_are_not_stopped(host: _Host) -> None:
    removal.remove_stack(host)
    assert not any("prometheus-node-exporter" in each for each in host.commands)
    host.write("/etc/systemd/system/infisical-metrics-infisical.socket", "[Socket]")
    removal.remove_stack(host)
    assert any("prometheus-node-exporter" in each for each in host.commands)


def test_the_firewall_is_removed_last_and_other_tables_are_kept(host: _Host) -> None:
    host.write("/etc/infisical-iac/firewall.nft", "table inet infisical {}")
    # Docker requires the firewall, and would be stopped with it.
    required = "/etc/systemd/system/docker.service.d/infisical-firewall.conf"
    host.write(required, "[Unit]")
    removal.remove_everything(host)
    assert host.commands[-4:] == [
        "systemctl daemon-reload",
        "systemctl disable --quiet --now infisical-firewall.service",
        "nft delete table inet infisical",
        "systemctl daemon-reload",
    ]
    assert host.text("/etc/infisical-iac/firewall.nft") is None
    assert host.text(required) is None


def test_nft_is_not_called_on_a_host_without_a_firewall(host: _Host) -> None:
    removal.remove_everything(host)
    assert not any(each.startswith("nft") for each in host.commands)


def test_bans_are_removed_from_fail2ban(host: _Host) -> None:
    jail = "/etc/fail2ban/jail.d/infisical-iac.conf"
    removal.remove_everything(host)
    assert "systemctl try-restart fail2ban.service" not in host.commands
    host.write(jail, "[infisical-login]")
    removal.remove_everything(host)
    assert "systemctl try-restart fail2ban.service" in host.commands
    assert host.text(jail) is None


def test_the_deployed_parts_are_listed(tmp_path: Path) -> None:
    containers = docker_answers(docker_container("infisical-redis-1", project="infisical"))
    host = _Host(tmp_path, {**containers, "docker": ""}, volumes={_MAIN: "infisical"})
    host.write(_KEY, "obviously-fake")
    host.write("/etc/infisical-iac/firewall.nft", "table inet infisical {}")
    assert removal.deployed(host) == [
        "files /etc/infisical",
        "files /etc/infisical-iac/firewall.nft",
        "container infisical-redis-1",
        f"volume {_MAIN}",
    ]


def test_nothing_is_deployed_on_a_bare_host_or_an_empty_mount_point(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    assert removal.deployed(host) == []
    host.path("/etc/infisical").mkdir(parents=True)
    assert removal.deployed(host) == []


_BACKUPS = "/var/backups/infisical-iac"
_SAVED = f"{_BACKUPS}/20261125T101112Z"
_DUMP = "docker exec --interactive --env PGAPPNAME=infisical-iac p pg_dump"
_LIST = "docker exec --interactive p pg_restore --list"


def _backing_up(root: Path, **answers: str | Output) -> FakeRunner:
    """Return a host whose database has a table, and `tar` for the test's directory."""
    container = docker_container("p", project="infisical", service="postgres")
    known = {
        "dump": "the dump",
        "list": "3; TABLE DATA public secrets\n",
        "tar": "",
        **answers,
    }
    programs = {_DUMP: known.pop("dump"), _LIST: known.pop("list")}
    host = FakeRunner(root, {**docker_answers(container), **programs, **known})
    host.write(_KEY, "obviously-fake")
    return host


def _entries(host: FakeRunner) -> list[str]:
    return sorted(each.name for each in host.path(_BACKUPS).iterdir())


class _WithTar(FakeRunner):
    def run(self, words: Sequence[str], **more: object) -> Output:
        if words[0] != "tar":
            return super().run(words)
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        return Output(done.returncode, done.stdout, done.stderr)


def test_a_backup_has_the_dump_and_the_keys_and_is_private(tmp_path: Path) -> None:
    host = _backing_up(tmp_path)
    host = _WithTar(tmp_path, host.answers)
    removal.back_up(host, directory=_SAVED)
    assert host.text(f"{_SAVED}/database.dump") == "the dump"
    listed = subprocess.run(
        ["tar", "--list", "--file", host.path(f"{_SAVED}/etc-infisical.tar")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "etc/infisical/keys/encryption_key" in listed.stdout.splitlines()
    saved = host.path(_SAVED)
    assert {each.stat().st_mode & 0o077 for each in (saved, *saved.iterdir())} == {0}


@pytest.mark.parametrize(
    ("answers", "fact"),
    [
        ({"list": "; no table\n"}, "dump of the database"),
        ({"dump": Output(1, "", "no connection\n")}, "no connection"),
        ({"tar": Output(2, "", "tar: no space left\n")}, "no space left"),
    ],
)
def test_a_failed_backup_leaves_no_dump_and_changes_no_other_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], fact: str
) -> None:
    host = _backing_up(tmp_path / "host", **answers)
    somebodys = tmp_path / "work" / "backup.new" / "file"
    somebodys.parent.mkdir(parents=True)
    somebodys.write_text("somebody's")
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(RuntimeError) as failed:
        removal.back_up(host, directory=_SAVED)
    assert fact in failed.value.args[0].message
    assert _entries(host) == []
    assert somebodys.read_text() == "somebody's"


def test_the_next_backup_removes_the_files_of_a_killed_one(tmp_path: Path) -> None:
    host = _backing_up(tmp_path)
    host.write(f"{_BACKUPS}/20261124T000000Z.new/database.dump", "in clear")
    host.write(f"{_BACKUPS}/20261123T000000Z/database.dump", "whole")
    host = _WithTar(tmp_path, host.answers)
    removal.back_up(host, directory=_SAVED)
    assert _entries(host) == ["20261123T000000Z", "20261125T101112Z"]


_INTERRUPTED = """
import sys
from pathlib import Path
from infisical_iac.agent import serving
from infisical_iac.agent.runner import Runner
root = Path(sys.argv.pop(1))
serving.Runner = lambda: Runner(root)
serving.main()
"""
# The database, and a `tar` that writes the keys and then interrupts the agent.
_PROGRAMS = {
    "docker": """
case "$*" in
*pg_restore*) cat >/dev/null; echo "TABLE DATA" ;;
*pg_dump*) echo dump ;;
ps*) echo p ;;
inspect*) cat "$(dirname "$0")/container" ;;
esac
""",
    "tar": 'echo keys >"$3"\nkill -{signal} "$PPID"\nsleep 5\n',
}


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT"])
def test_an_interrupted_backup_leaves_no_unencrypted_keys(tmp_path: Path, name: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for program, body in _PROGRAMS.items():
        file = programs / program
        file.write_text(f"#!/bin/sh\n{body.replace('{signal}', name)}")
        file.chmod(0o755)
    container = docker_container("p", project="infisical", service="postgres")
    (programs / "container").write_text(json.dumps(container))
    host = _backing_up(tmp_path / "host")
    call = {"name": "removal.back_up", "arguments": {"directory": _SAVED}}
    done = subprocess.run(
        # A process can't catch a signal that it was started to ignore, as in the background.
        ["env", "--default-signal=INT,HUP,TERM", sys.executable, "-c", _INTERRUPTED, host.root],
        input=json.dumps({"protocol": 1, "changes": True, "calls": [call]}),
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGHUP, 1)
    assert '"value"' not in done.stdout
    assert _entries(host) == []
