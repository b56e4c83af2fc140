"""Test that the health of a host is read from the output of its programs and from its files."""

import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import health
from infisical_iac.agent.health import HealthFacts, Running
from infisical_iac.agent.runner import Failure, Output
from infisical_iac.core.agent import question
from infisical_iac.workspace.credential_file import Credential, Term, render
from tests.unit.agent.fake_runner import FakeRunner, answer

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
# 2027-02-23 12:00:00 UTC.
_END = 1803384000


def _container(service: str, **state: Any) -> str:
    """Return a line of `docker inspect`, with the keys that are read."""
    labels = {"com.docker.compose.service": service}
    return json.dumps(
        {
            "Config": {"Image": f"{service}:1", "Labels": labels},
            "State": {"Status": "running", **state},
            "RestartCount": 2,
        }
    )


def _read(runner: FakeRunner, name: str = "") -> HealthFacts:
    asked = question(health.facts, served_name=name, port=443, lock="/run/infisical-iac.lock")
    return answer(asked, runner)


def test_the_containers_of_the_stack_are_read_from_docker(tmp_path: Path) -> None:
    inspected = (
        _container("infisical", Health={"Status": "healthy"}, StartedAt="2026-11-25T10:00:00.5Z"),
        _container("redis", Status="exited", FinishedAt="2026-11-25T11:00:00Z"),
    )
    host = FakeRunner(
        tmp_path,
        answers={
            "docker ps": "one\ntwo\n",
            # Docker fails if a third container is removed meanwhile.
            "docker inspect": Output(1, "\n".join(inspected)),
            "docker volume ls": "given-up infisical_postgres_given_up_x now 3 a b\n",
        },
    )
    found = _read(host)
    assert found.engine
    assert found.containers == {
        "infisical": Running("infisical:1", "running", "healthy", "2026-11-25T10:00:00.5Z", "", 2),
        "redis": Running("redis:1", "exited", "none", "", "2026-11-25T11:00:00Z", 2),
    }
    assert found.given_up == ("given-up infisical_postgres_given_up_x now 3 a b",)


def test_the_address_of_a_container_is_that_in_the_network_of_the_databases(tmp_path: Path) -> None:
    container = json.loads(_container("redis"))
    networks = {"infisical_databases": {"IPAddress": "172.20.0.3"}, "bridge": {"IPAddress": "x"}}
    answer = json.dumps({**container, "NetworkSettings": {"Networks": networks}})
    host = FakeRunner(tmp_path, answers={"docker ps": "one\n", "docker inspect": answer})
    assert _read(host).containers["redis"].address == "172.20.0.3"


def test_a_host_without_docker_has_its_other_facts(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/var/lib/infisical-drill/last.json", "{}")
    found = _read(host)
    assert (found.engine, found.containers, found.given_up) == (False, {}, ())
    assert (found.drills, found.drills_since, found.backups_since) == ("{}", None, None)
    assert found.disk.size > found.disk.free > 0
    assert not [command for command, _ in host.ran if command.startswith("docker inspect")]


def test_a_docker_that_hangs_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> Output:
        raise RuntimeError(Failure("command.timeout", "docker on the host did not end"))

    monkeypatch.setattr(FakeRunner, "run", hang)
    assert not _read(FakeRunner(tmp_path)).engine


def test_the_holder_of_the_lock_is_read_while_it_is_held(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    assert _read(host).holder == ""
    lock = host.write("/run/infisical-iac.lock", "by ada@laptop since noon\npid 7\n")
    assert _read(host).holder == ""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert _read(host).holder == "by ada@laptop since noon"


def test_the_end_of_credentials_is_read_from_their_files(tmp_path: Path) -> None:
    term = Term(_NOW, _NOW + timedelta(days=90))
    host = FakeRunner(tmp_path)
    for name, life in (("backend.production", term), ("ci", None)):
        text = render(Credential("production", "client-1", "secret-1", "fake-secret", life))
        host.write(f"/etc/infisical/credentials/{name}.env", text)
    assert _read(host).credentials == {
        "backend.production": ("2026-11-25T12:00:00Z", "2027-02-23T12:00:00Z")
    }
    assert "fake-secret" not in repr(_read(host))


def test_the_last_backup_of_each_target_is_read_from_its_record(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    targets = "/var/lib/infisical-backup/targets"
    host.write(f"{targets}/box", "success 1795600800\nsnapshot ab\nerror no answer\n")
    host.write(f"{targets}/bucket", "error no answer\n")
    password = host.write("/etc/infisical/keys/restic_password", "fake")
    os.utime(password, (1795600000, 1795600000))
    host.write("/var/lib/infisical-backup/last.json", '{"failure": ""}\n')
    found = _read(host)
    assert (found.saved, found.backups_since) == ({"box": 1795600800}, 1795600000)
    assert json.loads(found.backups) == {"failure": ""}


@pytest.mark.parametrize(
    ("served", "shown", "end"),
    [
        ("-----BEGIN CERTIFICATE-----", "notAfter=Feb 23 12:00:00 2027 GMT\n", _END),
        ("", "", None),
        ("-----BEGIN CERTIFICATE-----", "unable to load certificate\n", None),
    ],
)
def test_the_end_of_the_served_certificate_is_read(
    tmp_path: Path, served: str, shown: str, end: int | None
) -> None:
    host = FakeRunner(
        tmp_path, answers={"openssl s_client": served, "openssl x509 -noout -enddate": shown}
    )
    assert _read(host, "secrets.example.com").certificate_ends == end
    assert _read(host).certificate_ends is None


def test_a_closed_edge_and_unfinished_transactions_are_read(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    closed = host.write("/etc/infisical/ingress/closed", "")
    os.utime(closed, (1795600800, 1795600800))
    host.write("/var/lib/infisical-upgrade/state", "20261125T115900Z-v0.165.16  swapped\ni\n")
    found = _read(host)
    assert found.closed == 1795600800
    assert found.unfinished == {"upgrade": "20261125T115900Z-v0.165.16 swapped i"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, "none"),
        ({"nft list": "table inet infisical {\nchain ssh_only {\n"}, "ssh-only"),
        ({"nft list": "table inet infisical {", "systemctl --quiet is-failed": ""}, "failed"),
        ({"nft list": "table inet infisical {"}, "loaded"),
    ],
)
def test_the_rules_of_the_firewall_in_effect_are_read(
    tmp_path: Path, answers: dict[str, str], expected: str
) -> None:
    host = FakeRunner(tmp_path, answers=answers)
    assert _read(host).firewall == ""
    host.write("/etc/infisical-iac/firewall.nft", "table inet infisical {}")
    assert _read(host).firewall == expected
