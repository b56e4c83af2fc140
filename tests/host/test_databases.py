"""Test that PostgreSQL and Redis keep data in their volumes, and require the password."""

import pytest

from infisical_iac.core.settings import Settings
from tests.host.connection import Connection, Host
from tests.host.containers import Inspected, volume
from tests.host.secrecy import Secret

_PSQL = "psql --username=infisical --dbname=infisical --no-password --tuples-only --no-align"


def _id(inspected: dict[str, Inspected], service: str) -> str:
    return str(inspected[service]["Id"])


def _volume(settings: Settings, inspected: dict[str, Inspected], service: str) -> Inspected:
    name = volume(settings, service)
    [found] = [each for each in inspected[service]["Mounts"] if each.get("Name") == name]
    return dict(found)


def _ask(host: Host, inspected: dict[str, Inspected], query: str) -> str:
    postgres = _id(inspected, "postgres")
    return str(host.check_output(f"docker exec {postgres} {_PSQL} --command=%s", query)).strip()


def _redis(connection: Connection, inspected: dict[str, Inspected], password: Secret) -> list[str]:
    """Return Redis's answers to some commands, as one list of words."""
    asked = (
        "IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; cli() { redis-cli $CLI $*; }; "
        "cli PING; cli CONFIG GET appendonly; cli CONFIG GET maxmemory-policy; "
        "cli INFO persistence"
    )
    command = f"docker exec --interactive {_id(inspected, 'redis')} sh -c '{asked}'"
    return connection.quietly(command, f"{password.reveal()}\n").split()


@pytest.fixture(scope="session")
def redis_answers(
    connection: Connection, inspections: dict[str, Inspected], secrets: dict[str, Secret]
) -> list[str]:
    return _redis(connection, inspections, secrets["keys: redis_password"])


def test_the_database_has_the_locale_that_infisical_needs(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    query = "SELECT datcollate, datctype FROM pg_database WHERE datname = 'infisical'"
    # The same locale has two spellings.
    spelled = _ask(host, inspections, query).replace("UTF-8", "utf8")
    assert spelled == "en_US.utf8|en_US.utf8"


def test_the_database_is_in_its_volume(
    host: Host, settings: Settings, inspections: dict[str, Inspected]
) -> None:
    mounted = _volume(settings, inspections, "postgres")
    directory = _ask(host, inspections, "SHOW data_directory")
    assert directory.startswith(mounted["Destination"])
    inside = directory.removeprefix(mounted["Destination"])
    assert host.file(f"{mounted['Source']}{inside}/PG_VERSION").is_file


def test_infisical_has_its_tables_in_the_database(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert int(_ask(host, inspections, query)) > 0


def test_postgres_refuses_a_client_without_the_password(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    postgres = _id(inspections, "postgres")
    # The name of PostgreSQL in the databases' network; on a cluster, the name of its member.
    asked = host.run(
        f"docker exec {postgres} sh -c "
        f"'{_PSQL} --host=${{PATRONI_NAME:-postgres}} --command=\"SELECT 1\"'"
    )
    assert asked.rc != 0
    assert "no password supplied" in asked.stderr


def test_postgres_accepts_a_client_with_the_password(
    connection: Connection, inspections: dict[str, Inspected], secrets: dict[str, Secret]
) -> None:
    asked = (
        "IFS= read -r PGPASSWORD; export PGPASSWORD; "
        f'{_PSQL} --host=${{PATRONI_NAME:-postgres}} --command="SELECT 6 * 7"'
    )
    command = f"docker exec --interactive {_id(inspections, 'postgres')} sh -c '{asked}'"
    password = secrets["keys: postgres_password"].reveal()
    assert connection.quietly(command, f"{password}\n").strip() == "42"


def test_postgres_stores_passwords_as_scram_hashes(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    query = "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolcanlogin"
    assert _ask(host, inspections, query) == "t"


def test_postgres_trusts_only_loopback_addresses(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    query = (
        "SELECT count(*) FROM pg_hba_file_rules WHERE type LIKE 'host%' "
        "AND auth_method NOT IN ('scram-sha-256', 'reject') "
        "AND address NOT IN ('127.0.0.1', '::1')"
    )
    assert _ask(host, inspections, query) == "0"


def test_redis_refuses_a_client_without_the_password(
    host: Host, inspections: dict[str, Inspected]
) -> None:
    asked = "sh -c 'redis-cli $CLI PING'"
    answer = host.run(f"docker exec {_id(inspections, 'redis')} {asked}").stdout
    assert answer.startswith("NOAUTH")


def test_redis_accepts_a_client_with_the_password(redis_answers: list[str]) -> None:
    assert redis_answers[0] == "PONG"


def test_redis_writes_an_append_only_file(redis_answers: list[str]) -> None:
    assert redis_answers[redis_answers.index("appendonly") + 1] == "yes"
    assert "aof_last_write_status:ok" in redis_answers


def test_redis_evicts_no_keys(redis_answers: list[str]) -> None:
    assert redis_answers[redis_answers.index("maxmemory-policy") + 1] == "noeviction"


def test_writes_of_redis_are_in_its_volume(
    host: Host, settings: Settings, inspections: dict[str, Inspected]
) -> None:
    source = _volume(settings, inspections, "redis")["Source"]
    assert host.check_output("find %s -name '*.aof'", source) != ""
