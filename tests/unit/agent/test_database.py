"""Test which PostgreSQL server is asked, and that no password is an argument."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from infisical_iac.agent import database
from infisical_iac.agent.database import ExporterLogin, find_database
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_SINGLE = docker_container("aa", project="infisical", service="postgres")
_NODE = docker_container("bb", swarm="infisical_postgres-1")
_PSQL = "docker exec --interactive"
_PASSWORD = "obviously-fake"


def _host(container: Mapping[str, object], **answers: str | Output) -> FakeRunner:
    return FakeRunner(answers={**docker_answers(container), **answers})


@pytest.mark.parametrize(
    ("primary", "asked"),
    [
        ("postgres-1\n", "postgres-1,postgres-1,postgres-2,postgres-3"),
        ("postgres-3\n", "postgres-3,postgres-1,postgres-2,postgres-3"),
        (Output(1), "postgres-1,postgres-2,postgres-3"),
    ],
)
def test_the_primary_is_asked_before_the_standbys(primary: str | Output, asked: str) -> None:
    host = _host(_NODE, **{_PSQL: "1\n", "docker exec bb sh -c for server": primary})
    assert find_database(host).sql("SELECT 1") == ["1"]
    assert f" --env PGHOST={asked} " in host.ran[-1][0]


def test_the_password_of_a_cluster_is_passed_on_standard_input(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers={**docker_answers(_NODE), _PSQL: "1\n"})
    host.write("/etc/infisical/keys/postgres_password", _PASSWORD)
    find_database(host).sql("SELECT 1")
    assert host.ran[-1][1] == f"{_PASSWORD}\nSELECT 1"
    assert not any(_PASSWORD in command for command, _ in host.ran)


def test_the_database_of_a_single_host_is_queried_in_its_container() -> None:
    host = _host(_SINGLE, **{_PSQL: "a\nb\n"})
    assert find_database(host).sql("SELECT 1", database="postgres") == ["a", "b"]
    command, stdin = host.ran[-1]
    assert "PGHOST" not in command
    assert "--dbname postgres" in command
    assert stdin == "SELECT 1"


@pytest.mark.parametrize("state", ["exited", "paused", "restarting"])
def test_a_database_that_does_not_run_is_an_error_with_a_remedy(state: str) -> None:
    stopped = docker_container("aa", project="infisical", service="postgres", state=state)
    with pytest.raises(RuntimeError) as caught:
        find_database(_host(stopped))
    assert "`infisical-iac apply`" in caught.value.args[0].remedy


def test_what_postgresql_says_is_the_reason_of_a_failure() -> None:
    host = _host(_SINGLE, **{_PSQL: Output(3, "", 'ERROR:  relation "x" does not exist\n')})
    with pytest.raises(RuntimeError) as caught:
        find_database(host).sql("SELECT")
    assert "relation" in caught.value.args[0].message


_IP = {"ip -oneline address show to 10.0.0.2": "2: eth1 inet 10.0.0.2/32\n"}
_ASKS_ROLE = f"{_PSQL} --env PGAPPNAME=infisical-iac aa sh -c IFS"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({**_IP, _ASKS_ROLE: "1", _PSQL: "1\n"}, ExporterLogin(True, True, True)),
        ({**_IP, _ASKS_ROLE: Output(2), _PSQL: "1\n"}, ExporterLogin(True, True, False)),
        ({**_IP, _ASKS_ROLE: "1", _PSQL: "0\n"}, ExporterLogin(True, True, False)),
        ({_PSQL: Output(2)}, ExporterLogin(False, False, False)),
    ],
)
def test_the_login_of_the_exporters_is_tried(
    answers: Mapping[str, str | Output], expected: ExporterLogin
) -> None:
    host = _host(_SINGLE, **answers)
    assert database.exporter_login(host, address="10.0.0.2", role="metrics") == expected


def test_the_role_of_the_exporters_gets_the_password_of_the_host(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers={**docker_answers(_SINGLE), _PSQL: ""})
    host.write("/etc/infisical/keys/metrics_postgres_password", f"{_PASSWORD}\n")
    database.make_exporter_role(host, role="metrics")
    assert "DROP ROLE IF EXISTS metrics" in host.ran[-2][1]
    assert "CREATE ROLE metrics LOGIN" in host.ran[-2][1]
    assert host.ran[-1][1] == f"{_PASSWORD}\n{_PASSWORD}\n"
    assert not any(_PASSWORD in command for command, _ in host.ran)


def test_a_role_is_gone_with_its_database() -> None:
    database.drop_exporter_role(FakeRunner(answers={"docker ps": ""}), role="metrics")
