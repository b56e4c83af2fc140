"""Test the agent's dump of the database, and the manifest that describes it."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import dump
from infisical_iac.agent.runner import Output, Runner, explain
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_WORK = "/var/lib/infisical-backup/work"
_CONFIGURATION = "/etc/infisical/backup/backup.conf"
_SAID = (
    "NOTICE: nothing to do\nrows infisical_migrations 18\nrows secrets_v2 4\nserver 17.6\n"
    "dumped\ncounted\n"
)
_LISTED = (
    "; header\n1; 0 1 TABLE DATA public projects infisical\n2; 0 2 TABLE DATA public users x\n"
)
_IMAGE = {"Id": "sha256:aa", "RepoDigests": ["infisical/infisical@sha256:bb", "other@sha256:cc"]}


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose psql and pg_restore in containers have fixed answers."""

    dumped: list[Output] = field(default_factory=lambda: [Output(0, "a dump", _SAID)])
    restored: list[Output] = field(default_factory=lambda: [Output(0, _LISTED), Output(0)])
    size: str = "8192"

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        found = super().run(words, stdin=stdin, seconds=seconds, environment=environment)
        if "psql" in words:
            is_dump = "pg_dump" in stdin
            return self.dumped.pop(0) if is_dump else Output(0, self.size)
        return self.restored.pop(0) if "pg_restore" in words else found


def _containers(**more: Any) -> dict[str, str]:
    infisical = docker_container("app", project="infisical", service="infisical", **more)
    infisical["Config"]["Image"] = "registry:5000/infisical:v0.165.16@sha256:dd"
    return docker_answers(
        docker_container("db", project="infisical", service="postgres"), infisical
    )


def _make(path: Path, **more: Any) -> _Host:
    answers = {"docker image inspect": json.dumps(_IMAGE)}
    host = _Host(path, answers={**answers, **_containers()}, **more)
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake-key\n")
    return host


def _manifest(host: Runner, folder: str = _WORK) -> Any:
    return json.loads(host.text(f"{folder}/snapshot/manifest.json") or "")


def _refusal(host: Runner) -> str:
    with pytest.raises(RuntimeError) as refused:
        dump.make_dump(host, folder=_WORK)
    return explain(refused.value)


def test_a_manifest_describes_the_dump_and_what_ran(tmp_path: Path) -> None:
    host = _make(tmp_path)
    host.write(_CONFIGURATION, "AUDIT=/var/log/audit\n")
    host.write("/var/log/audit", '{"revision": "0.1 aaaa"}\n{"revision": "0.2 bbbb"}\n{"x": 1}\n')
    dump.make_dump(host, folder=_WORK)
    found = _manifest(host)
    assert host.text(f"{_WORK}/snapshot/database.dump") == "a dump"
    assert found["dump"] == {"sha256": sha256(b"a dump").hexdigest(), "bytes": 6, "tables": 2}
    assert found["infisical"] == {
        "version": "v0.165.16",
        "image": "registry:5000/infisical:v0.165.16@sha256:dd",
        "id": "sha256:app",
        "digest": "infisical/infisical@sha256:bb",
    }
    assert found["postgresql"] == {"version": "17.6", "image": "postgres:1"}
    assert found["rows"] == {"infisical_migrations": 18, "secrets_v2": 4}
    assert (found["format"], found["migrations"], found["revision"]) == (1, 18, "0.2 bbbb")
    key = sha256(b"infisical-iac encryption key obviously-fake-key").hexdigest()[:16]
    assert found["encryption_key"] == key
    assert host.text(f"{_WORK}/tags") == (
        f"infisical-iac,version=v0.165.16,bytes=6,secrets=4,migrations=18,key={key}\n"
    )


def test_the_hash_of_the_dump_has_a_line_of_its_own(tmp_path: Path) -> None:
    """Scripts read it from its line."""
    host = _make(tmp_path)
    dump.make_dump(host, folder=_WORK)
    lines = (host.text(f"{_WORK}/snapshot/manifest.json") or "").splitlines()
    (line,) = (each for each in lines if each.strip().startswith('"sha256": '))
    assert sha256(b"a dump").hexdigest() in line


def test_the_session_of_a_backup_is_named_and_only_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "web-1")
    host = _make(tmp_path)
    dump.make_dump(host, folder=_WORK)
    assert next(each for each, stdin in host.ran if "pg_dump" in stdin).startswith(
        "docker exec --interactive --env PGAPPNAME=infisical-backup-web-1 db psql "
    )
    dump.end_sessions(host)
    command, stdin = host.ran[-1]
    assert "PGAPPNAME=infisical-end " in command
    assert "left('infisical-backup-web-1', 63)" in stdin


def test_without_a_database_no_session_is_ended(tmp_path: Path) -> None:
    dump.end_sessions(FakeRunner(tmp_path, answers=docker_answers()))


def test_a_cluster_dumps_the_primary_and_names_the_image_of_the_service(tmp_path: Path) -> None:
    spec = {"TaskTemplate": {"ContainerSpec": {"Image": "infisical/infisical:v0.166.0"}}}
    database = docker_container("db", swarm="infisical_postgres-2")
    host = _Host(
        tmp_path,
        answers={
            "docker service inspect --format {{json .Spec}} infisical_infisical": json.dumps(spec),
            "docker image inspect": json.dumps(_IMAGE),
            "docker exec db sh -c": "postgres-3\n",
            **docker_answers(database),
        },
    )
    host.write("/etc/infisical/keys/postgres_password", "obviously-fake\n")
    dump.make_dump(host, folder=_WORK, topology="swarm")
    (command, stdin), *_ = (each for each in host.ran if "pg_dump" in each[1])
    assert " PGHOST=postgres-3,postgres-1,postgres-2,postgres-3 " in command
    assert " PGTARGETSESSIONATTRS=primary " in command
    assert "obviously-fake" not in command
    assert stdin.startswith("obviously-fake\n")
    found = _manifest(host)["infisical"]
    assert (found["version"], found["id"]) == ("v0.166.0", "sha256:aa")


def test_a_node_that_knows_no_image_dumps_all_the_same(tmp_path: Path) -> None:
    database = docker_container("db", swarm="infisical_postgres-2")
    host = _Host(tmp_path, answers=docker_answers(database))
    dump.make_dump(host, folder=_WORK)
    assert set(_manifest(host)["infisical"].values()) == {""}


@pytest.mark.parametrize(
    ("errors", "fact"),
    [
        ("pg_dump: error: no space\ndumped\n", "pg_dump: error: no space"),
        ("rows users 2\ncounted\nserver 17.6\nFATAL: terminated\n", "FATAL: terminated"),
        ("", "status 3"),
    ],
)
def test_a_dump_that_did_not_end_is_refused_with_the_last_error(
    tmp_path: Path, errors: str, fact: str
) -> None:
    host = _make(tmp_path, dumped=[Output(3, "half", errors)])
    assert _refusal(host).endswith(fact)
    assert not host.path(f"{_WORK}/snapshot").exists()


@pytest.mark.parametrize(
    ("restored", "fact"),
    [
        ([Output(1)], "read back"),
        ([Output(0, _LISTED), Output(1)], "read back"),
        ([Output(0, "; header\n"), Output(0)], "no table"),
    ],
)
def test_a_dump_that_can_not_be_read_back_is_refused(
    tmp_path: Path, restored: list[Output], fact: str
) -> None:
    host = _make(tmp_path, restored=restored)
    assert fact in _refusal(host)
    assert not host.path(f"{_WORK}/snapshot").exists()


def test_a_dump_that_may_not_fit_is_refused_before_it_is_made(tmp_path: Path) -> None:
    host = _make(tmp_path, size=str(2**60))
    error = _refusal(host)
    assert f"and {_WORK} has " in error
    assert error.endswith("MB free: make room")
    assert [each for each in host.ran if "pg_dump" in each[1]] == []


def test_a_stopped_database_is_refused(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers=docker_answers())
    assert "does not run" in _refusal(host)


@pytest.mark.parametrize(("setting", "own"), [("true", {"encryption_key"}), ("false", set())])
def test_the_encryption_key_is_in_a_snapshot_only_by_request(
    tmp_path: Path, setting: str, own: set[str]
) -> None:
    host = _make(tmp_path)
    host.write(_CONFIGURATION, f"WITH_ENCRYPTION_KEY={setting}\n")
    host.write("/etc/infisical/workspace.json", "{}")
    dump.make_dump(host, folder=_WORK)
    names = {"database.dump", "manifest.json", "workspace.json"}
    files = [*host.path(f"{_WORK}/snapshot").iterdir()]
    assert {each.name for each in files} == names | own
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def test_a_repeated_call_makes_the_snapshot_again(tmp_path: Path) -> None:
    host = _make(tmp_path)
    dump.make_dump(host, folder=_WORK)
    host.dumped.append(Output(0, "another dump", _SAID))
    host.restored.extend([Output(0, _LISTED), Output(0)])
    dump.make_dump(host, folder=_WORK)
    assert host.text(f"{_WORK}/snapshot/database.dump") == "another dump"
