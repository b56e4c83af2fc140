"""Test what the end of a cluster keeps and removes on one of its hosts."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import ending, files, removal
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_STAMP = "20261126T101112Z"
_PATRONI = "infisical_patroni"
_KEPT = f"{_PATRONI}_before_{_STAMP}"
_MAIN = "infisical_postgres"
_KEY = "/etc/infisical/keys/encryption_key"
_UNIT = "/etc/systemd/system/infisical-unlock.service"


class _KilledError(BaseException):
    """End the agent, as SIGKILL does."""


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose Docker has its volumes in `/volumes`; `running` names containers that run.

    Attributes:
        changes: the changes of Docker and systemd that were requested.
        lives: the number of changes after which the agent is killed; none for never.
    """

    running: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    lives: list[int] = field(default_factory=list)

    def count(self) -> None:
        """Count a change, and end the agent if it was the last one."""
        if self.lives:
            self.lives[0] -= 1
            if self.lives[0] == 0:
                raise _KilledError

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        command = " ".join(words)
        if any(command.startswith(each) for each in self.answers):
            return super().run(words, stdin=stdin)
        volumes = self.path("/volumes")
        match [*words]:
            case ["docker", "ps", "--filter", *_]:
                return Output(0, "".join(f"{each}\n" for each in self.running))
            case ["docker", "volume", "ls", *_, chosen]:
                name = chosen.removeprefix("name=^").removesuffix("$")
                found = sorted(each.name for each in volumes.glob("*"))
                own = [each for each in found if each == name or chosen.startswith("label=")]
                return Output(0, "".join(f"{each}\n" for each in own))
            case ["docker", "volume", "inspect", *_, name]:
                return Output(0, f"/volumes/{name}/_data\n")
            case ["docker", "volume", "create", *_, name]:
                (volumes / name / "_data").mkdir(parents=True, exist_ok=True)
            case ["docker", "volume", "rm", *names]:
                for name in names:
                    shutil.rmtree(volumes / name)
            case ["mv", "--no-target-directory", place, to]:
                Path(place).rename(to)
            case ["docker", "ps", *_]:
                return Output(0)
        self.changes.append(command)
        self.count()
        return Output(0)

    def volume(self, name: str, **content: str) -> None:
        """Make a volume with files."""
        for file, text in content.items():
            self.write(f"/volumes/{name}/_data/{file}", text)

    @property
    def volumes(self) -> dict[str, dict[str, str]]:
        """The texts of the files in each volume."""
        return {
            each.name: {file.name: file.read_text() for file in (each / "_data").glob("*")}
            for each in self.path("/volumes").glob("*")
        }


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))


def _make_host(root: Path, **more: Any) -> _Host:
    """Return a host with the leftovers of a cluster, and with its own data."""
    made = _Host(root, **more)
    for name in ("etcd", "redis-replica", "sentinel", "tmp"):
        made.volume(f"infisical_{name}", state="of the cluster")
    made.volume(_PATRONI, base="of the cluster")
    made.volume(_MAIN, base="single")
    for path in ("stack.yaml", "stack.json", "stack/patroni_yml_0123456789ab", "keys/auth_secret"):
        made.write(f"/etc/infisical/{path}", "obviously-fake")
    return made


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _make_host(tmp_path)


_LEFT = {_KEPT: {"base": "of the cluster"}, _MAIN: {"base": "single"}}


def test_the_clusters_database_is_kept_by_name_and_the_rest_is_removed(host: _Host) -> None:
    host.write("/var/lib/infisical-scale/served", _STAMP)
    assert ending.remove_data(host, stamp=_STAMP) == _KEPT
    assert host.volumes == _LEFT
    for path in ("stack.yaml", "stack.json", "stack/patroni_yml_0123456789ab"):
        assert host.text(f"/etc/infisical/{path}") is None
    assert host.text("/etc/infisical/keys/auth_secret") == "obviously-fake"
    assert host.text("/var/lib/infisical-scale/served") is None


def test_no_data_are_kept_of_a_cluster_that_never_served(host: _Host) -> None:
    assert ending.remove_data(host, stamp="") == ""
    assert host.volumes == {_MAIN: {"base": "single"}}


def _deaths(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[_Host]:
    """Yield a host for each change, with the agent killed after it."""
    remove = files.remove
    for changes in range(1, 99):
        host = _make_host(root / f"{changes}", lives=[changes])
        with monkeypatch.context() as patched:

            def removed(path: Path, host: _Host = host) -> None:
                remove(path)
                host.count()

            patched.setattr(files, "remove", removed)
            try:
                ending.remove_data(host, stamp=_STAMP)
            except _KilledError:
                host.lives.clear()
            else:
                return
        yield host


def test_a_killed_removal_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = 0
    for each in _deaths(monkeypatch, tmp_path):
        deaths += 1
        assert ending.remove_data(each, stamp=_STAMP) == _KEPT
        assert each.volumes == _LEFT
    assert deaths > 8


def test_volumes_are_kept_while_docker_does_not_answer(tmp_path: Path) -> None:
    host = _make_host(tmp_path, answers={"docker volume": Output(1)})
    with pytest.raises(RuntimeError):
        ending.remove_data(host, stamp=_STAMP)
    assert host.volumes[_PATRONI] == {"base": "of the cluster"}


def test_forget_removes_the_keys_and_keeps_the_backup_configuration(host: _Host) -> None:
    host.write("/etc/infisical/backup/backup.conf", "of the host")
    host.write("/etc/infisical/keys/given_smtp_password", "obviously-fake")
    host.write("/etc/infisical/.env", "SMTP_PASSWORD='obviously-fake'")
    host.write("/var/lib/infisical-share/before/3/keys/auth_secret", "obviously-fake")
    ending.forget(host)
    for path in ("keys/auth_secret", "keys/given_smtp_password", ".env"):
        assert host.text(f"/etc/infisical/{path}") is None
    assert host.text("/etc/infisical/backup/backup.conf") == "of the host"
    assert not host.path("/var/lib/infisical-share").exists()
    disabled = "systemctl disable --quiet --now infisical-{}.timer"
    assert host.changes == [disabled.format(each) for each in ("backup", "drill", "maintenance")]


def test_docker_restarts_once_containers_survive_that(tmp_path: Path) -> None:
    """The restart lets the containers of the single host find each other by name."""
    host = _make_host(tmp_path, answers={"docker info": "true\n"})
    file = host.write("/etc/docker/daemon.json", '{"live-restore": false}', mode=0o644)
    ending.restore_names(host)
    assert file.read_text() == '{"live-restore": true}'
    assert file.stat().st_mode & 0o777 == 0o644
    assert host.changes == ["systemctl reload docker.service", "systemctl restart docker.service"]


def _list_kinds(host: _Host) -> list[str]:
    return [line.split()[0] for line in ending.deployed(host)]


def test_the_deployed_stack_is_listed(host: _Host) -> None:
    host.running.append("infisical_postgres-1.1.x")
    found = ending.deployed(host)
    assert found[:2] == ["files /etc/infisical", "container infisical_postgres-1.1.x"]
    assert f"volume {_PATRONI}" in found


def _data_node(tmp_path: Path, standby: str | Output) -> FakeRunner:
    container = docker_container("pgid", swarm="infisical_postgres-1")
    answers = {"docker exec --interactive": standby, **docker_answers(container)}
    return FakeRunner(tmp_path, answers=answers)


@pytest.mark.parametrize(
    ("standby", "leads"), [("f\n", True), ("t\n", False), (Output(2, errors="starts"), False)]
)
def test_only_a_primary_reports_itself(tmp_path: Path, standby: str | Output, leads: bool) -> None:
    host = _data_node(tmp_path, standby)
    assert ending.is_primary(host) is leads
    (asked,) = (call for call, _ in host.ran if call.startswith("docker exec"))
    assert "PGHOST" not in asked


def test_a_node_without_a_database_is_not_a_primary(tmp_path: Path) -> None:
    assert not ending.is_primary(FakeRunner(tmp_path, answers={"docker ps": ""}))
    assert not ending.is_primary(FakeRunner(tmp_path))


def test_the_database_is_saved_through_the_socket_of_the_primarys_own_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no password, so that a backup works with a broken key too."""
    saved: list[tuple[str, bool, str]] = []

    def save(_: FakeRunner, database: Any, directory: str) -> None:
        saved.append((database.container.id, database.is_clustered, directory))

    monkeypatch.setattr(removal, "save", save)
    ending.back_up(_data_node(tmp_path, ""), directory="/var/backups/infisical-iac/x")
    assert saved == [("pgid", False, "/var/backups/infisical-iac/x")]


@pytest.mark.parametrize("manages", [True, False])
def test_only_a_working_manager_removes_the_services(tmp_path: Path, manages: bool) -> None:
    host = _make_host(tmp_path, answers={"docker node ls": Output(0 if manages else 1)})
    assert ending.remove_services(host) is manages
    assert host.changes == (["docker stack rm infisical"] if manages else [])


def test_running_containers_are_reported_and_nothing_is_removed(host: _Host) -> None:
    host.running.append("infisical_postgres-1.1.x")
    with pytest.raises(RuntimeError) as late:
        ending.end_stack(host)
    assert "infisical_postgres-1.1.x" in late.value.args[0].message
    assert host.text("/etc/infisical/stack.yaml") is not None


def test_after_the_containers_ended_configs_are_removed_and_keys_and_data_stay(
    host: _Host,
) -> None:
    host.write(_KEY, "obviously-fake")
    before = host.volumes
    ending.end_stack(host)
    for path in ("stack.yaml", "stack.json", "stack/patroni_yml_0123456789ab"):
        assert host.text(f"/etc/infisical/{path}") is None
    assert host.text(_KEY) == "obviously-fake"
    assert host.volumes == before


@pytest.mark.parametrize("manages", [True, False])
def test_containers_are_waited_for_where_managers_end_them(tmp_path: Path, manages: bool) -> None:
    """Elsewhere the host leaves the swarm next, which ends its containers."""
    answers = {"docker node ls": Output(0 if manages else 1)}
    host = _make_host(tmp_path, answers=answers, running=["infisical_redis-1.1.x"])
    if manages:
        with pytest.raises(RuntimeError):
            ending.await_containers(host)
    else:
        ending.await_containers(host)


def test_removing_the_data_removes_the_unlock_unit_too_and_is_repeatable(host: _Host) -> None:
    host.write(_UNIT, "[Unit]")
    for _ in range(2):
        ending.remove_volumes(host)
    assert host.volumes == {}
    assert host.text(_UNIT) is None
    assert host.changes.count("systemctl daemon-reload") == 1
