"""Test how the agent fetches a snapshot, and loads it next to the live instance."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import restic, snapshot
from infisical_iac.agent.files import hold
from infisical_iac.agent.runner import Output, Runner, explain
from infisical_iac.agent.snapshot import SnapshotPlace
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_DIRECTORY = "/var/lib/infisical-restore"
_PROJECT = "infisical-restore"
_DUMP = "a dump"
_PLACE: dict[str, Any] = {"directory": _DIRECTORY, "project": _PROJECT, "seconds": 0}


def _container(service: str, **more: Any) -> dict[str, Any]:
    made = docker_container(service, project=_PROJECT, service=service, **more)
    made["NetworkSettings"] = {"Networks": {"edge": {"IPAddress": "172.19.0.2"}}}
    return made


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose containers are of the project."""

    containers: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        found = super().run(words, stdin=stdin, seconds=seconds, environment=environment)
        service = words[-1].rpartition("compose.service=")[2]
        if words[:2] == ["docker", "ps"] and "compose.service" in words[-1]:
            own = [each for each in self.containers if each["Id"] == service]
            return Output(0, docker_answers(*own)["docker ps"])
        if words[:2] == ["docker", "inspect"]:
            own = [each for each in self.containers if each["Id"] in words]
            return Output(0, docker_answers(*own)["docker inspect"])
        return found

    @property
    def commands(self) -> list[str]:
        return [command for command, _ in self.ran]


def _make(path: Path, *containers: dict[str, Any], **first: str | Output) -> _Host:
    """Return a host with these containers, or healthy ones; answers in `first` come first."""
    known: dict[str, str | Output] = {
        "docker info": json.dumps("/var/lib/docker"),
        "docker exec --interactive postgres pg_restore": "",
        "docker exec --interactive postgres psql": "projects 2\nusers 3\n",
        "docker compose version": "",
        "docker compose --project-name": "",
        "docker stop": "",
        "docker rm": "",
        "docker ps --all --quiet --filter": "",
        "docker network": "",
        "docker volume": "",
    }
    healthy = containers or tuple(
        _container(each, health="healthy") for each in ("postgres", "redis", "infisical")
    )
    answers = {**first, **{begin: each for begin, each in known.items() if begin not in first}}
    host = _Host(path, answers=answers, containers=[*healthy])
    host.write(f"{_DIRECTORY}/fetched/database.dump", _DUMP)
    host.path("/var/lib/docker/volumes").mkdir(parents=True)
    host.write("/etc/infisical/keys/auth_secret", "obviously-fake-key")
    return host


def _refusal(work: Callable[[], object]) -> str:
    with pytest.raises(RuntimeError) as refused:
        work()
    return explain(refused.value)


def _manifest(**dump: object) -> str:
    known = {"bytes": len(_DUMP), "sha256": sha256(_DUMP.encode()).hexdigest()}
    return json.dumps({"format": 1, "dump": {**known, **dump}})


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of the snapshot that the fake repository has."""
    files = {"database.dump": _DUMP, "manifest.json": _manifest()}

    def fetch(_: Runner, target: str, snapshot: str, folder: str) -> None:
        assert (target, snapshot) == ("box", "0123")
        for name, text in files.items():
            (Path(folder) / name).write_text(text)

    monkeypatch.setattr(restic, "fetch", fetch)
    return files


def _fetch(host: Runner) -> snapshot.FetchedSnapshot:
    return snapshot.fetch_snapshot(host, directory=_DIRECTORY, target="box", snapshot="0123")


def test_a_fetched_snapshot_has_its_manifest_and_the_hosts_fingerprint(
    tmp_path: Path, fetched: dict[str, str]
) -> None:
    host = FakeRunner(tmp_path)
    host.write("/etc/infisical/keys/encryption_key", "fake\n")
    host.write(f"{_DIRECTORY}/fetched/older", "x")
    found = _fetch(host)
    assert found.manifest == fetched["manifest.json"]
    assert found.key == sha256(b"infisical-iac encryption key fake").hexdigest()[:16]
    names = {each.name for each in host.path(f"{_DIRECTORY}/fetched").iterdir()}
    assert names == {"database.dump", "manifest.json"}


def test_a_release_that_was_selected_before_is_not_removed(
    tmp_path: Path, fetched: dict[str, str]
) -> None:
    host = FakeRunner(tmp_path)
    host.write("/release/database.dump", "kept")
    host.path(_DIRECTORY).mkdir(parents=True)
    host.path(f"{_DIRECTORY}/fetched").symlink_to(host.path("/release"))
    _fetch(host)
    assert host.text("/release/database.dump") == "kept"
    snapshot.clean_snapshot(host, directory=_DIRECTORY, project=_PROJECT)
    assert not host.path(f"{_DIRECTORY}/fetched").exists()


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ({"database.dump": ""}, "no manifest.json"),
        ({"manifest.json": ""}, "no manifest.json"),
        ({"database.dump": "half"}, "4 of the 6 bytes"),
        ({"database.dump": "A DUMP"}, "SHA-256"),
        ({"manifest.json": "{torn"}, "truncated"),
    ],
)
def test_a_damaged_snapshot_is_refused(
    tmp_path: Path, fetched: dict[str, str], files: dict[str, str], fact: str
) -> None:
    fetched.update(files)
    assert fact in _refusal(lambda: _fetch(FakeRunner(tmp_path)))


def test_a_loaded_dump_is_counted_and_its_database_stopped(tmp_path: Path) -> None:
    host = _make(tmp_path)
    loaded = snapshot.load_snapshot(host, **_PLACE)
    assert loaded.rows == {"projects": 2, "users": 3}
    up = next(each for each in host.commands if " up " in each)
    assert up.endswith(
        f"--project-name {_PROJECT} --project-directory /etc/infisical --file "
        f"{host.root}{_DIRECTORY}/compose.yaml up --detach --no-deps postgres"
    )
    (given,) = (stdin for command, stdin in host.ran if "pg_restore" in command)
    assert given == _DUMP
    assert host.commands[-2:] == ["docker stop --time 60 postgres", "docker rm postgres"]


def test_a_project_of_a_killed_run_is_removed_before_the_load(tmp_path: Path) -> None:
    listed = {
        "docker ps --all --quiet --filter label=com.docker.compose.project=": "old\n",
        "docker network ls": "net\n",
        "docker volume ls": "vol\n",
    }
    host = _make(tmp_path, **listed)
    snapshot.load(host, SnapshotPlace(**_PLACE))
    first = [each for each in host.commands if " up " not in each][:8]
    assert "docker rm --force --volumes old" in first
    assert "docker network rm net" in first
    assert "docker volume rm vol" in first
    assert f"systemctl stop {_PROJECT}-port-*.socket {_PROJECT}-port-*.service" in first


def test_a_dump_that_can_not_be_loaded_is_reported_with_the_last_error(tmp_path: Path) -> None:
    failing = Output(1, errors="one\npg_restore: error: two\n")
    host = _make(tmp_path, **{"docker exec --interactive postgres pg_restore": failing})
    assert _refusal(lambda: snapshot.load(host, SnapshotPlace(**_PLACE))).endswith(
        ": pg_restore: error: two"
    )


def test_a_snapshot_that_may_not_fit_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _make(tmp_path)
    monkeypatch.setattr(
        snapshot, "require_space", lambda path, kib, *_: _note(path, kib, host.root)
    )
    with pytest.raises(LookupError):
        snapshot.load(host, SnapshotPlace(**_PLACE))
    assert [each for each in host.commands if " up " in each] == []


def _note(path: Path, kib: int, root: Path) -> None:
    assert (path, kib) == (root / "var/lib/docker/volumes", 262144)
    raise LookupError


@pytest.mark.parametrize(
    ("log", "fact"),
    [
        ("first\nUnsupported state or unable to authenticate data\n", "encryption key"),
        ("an error\nwith obviously-fake-key in it\n\n", "an error"),
    ],
)
def test_a_container_that_ends_is_reported_with_its_log_without_keys(
    tmp_path: Path, log: str, fact: str
) -> None:
    host = _make(tmp_path, _container("postgres", state="exited"), **{"docker logs": log})
    error = _refusal(lambda: snapshot.load(host, SnapshotPlace(**_PLACE)))
    assert error.startswith("postgres does not start ")
    assert fact in error.rpartition(": ")[2]
    assert "fake-key" not in error


def test_a_container_that_does_not_get_healthy_in_time_is_reported(tmp_path: Path) -> None:
    host = _make(tmp_path, _container("postgres", health="starting"))
    error = _refusal(lambda: snapshot.load(host, SnapshotPlace(**_PLACE)))
    assert "within 0 s" in error
    assert "postgres " in error


def test_a_project_that_compose_can_not_start_is_reported(tmp_path: Path) -> None:
    refused = Output(1, errors="Pulling\nno such image\n")
    host = _make(tmp_path, **{"docker compose --project-name": refused})
    assert _refusal(lambda: snapshot.load(host, SnapshotPlace(**_PLACE))) == "no such image"


def test_the_databases_are_healthy_before_infisical_is_started(tmp_path: Path) -> None:
    host = _make(tmp_path)
    assert snapshot.serve(host, SnapshotPlace(**_PLACE)) == "172.19.0.2"
    started = [each.rpartition("--no-deps ")[2] for each in host.commands if " up " in each]
    assert started == ["postgres redis", "infisical"]


def test_variables_of_a_drill_are_in_a_file(tmp_path: Path) -> None:
    host = _make(tmp_path)
    variables = "/var/lib/infisical-drill/variables"
    snapshot.serve(host, SnapshotPlace(**_PLACE, variables=variables))
    up = next(each for each in host.commands if " up " in each)
    assert f" --env-file {host.root}{variables} up " in up


def test_without_docker_only_the_files_are_removed(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write(f"{_DIRECTORY}/fetched/database.dump", _DUMP)
    snapshot.clean_snapshot(host, directory=_DIRECTORY, project=_PROJECT)
    assert not host.path(f"{_DIRECTORY}/fetched").exists()


def test_a_docker_that_does_not_answer_is_no_removal(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers={"docker": Output(1)})
    clean = {"directory": _DIRECTORY, "project": _PROJECT}
    assert "Docker" in _refusal(lambda: snapshot.clean_snapshot(host, **clean))


def test_a_step_of_a_lost_connection_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_LOCK_SECONDS", 0)
    host = _make(tmp_path)
    with hold(host.path(f"{_DIRECTORY}/lock"), 0, "busy"):
        assert _DIRECTORY in _refusal(lambda: snapshot.load_snapshot(host, **_PLACE))


def test_tables_with_other_numbers_of_rows_are_named() -> None:
    expected = {"a": 1, "b": 2, "c": 3, "d": 4}
    assert snapshot.describe_difference(expected, expected) == ""
    said = snapshot.describe_difference(expected, {"a": 1, "b": 5, "e": 6})
    assert said == "b 5 instead of 2, c 0 instead of 3, d 0 instead of 4, 1 more"
    snapshot.refuse_difference(expected, expected)
    assert "b 5 instead of 2" in _refusal(lambda: snapshot.refuse_difference(expected, {"b": 5}))
