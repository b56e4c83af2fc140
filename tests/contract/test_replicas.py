"""Test several servers on one database and one Redis, also during a failover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from .sentinels import SENTINEL_PASSWORD, Sentinels
from .services import Standin, wait_until
from .world import Document, World, ok, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import StartStandin
    from .postgres import Postgres

AT_COMMIT = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON secrets_v2
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}();
"""


@pytest.fixture
def other(world: World, start: StartStandin) -> Standin:
    """A second server on the database and Redis of the shared one."""
    return start(world.database).wait()


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    servers = Sentinels()
    yield servers
    servers.close()


def test_a_token_of_one_server_works_at_the_other(world: World, other: Standin) -> None:
    world.write(SHARED="written at the one")
    client = other.client(world.deployer.headers["Authorization"].split()[1])
    secrets = ok(client.get("/api/v4/secrets", params=world.place()))["secrets"]
    assert {"SHARED": "written at the one"}.items() <= {
        each["secretKey"]: each["secretValue"] for each in secrets
    }.items()


def test_wrong_secrets_at_one_server_lock_the_identity_at_the_other(
    world: World, other: Standin
) -> None:
    identity = world.member()
    wrong = replace(identity, client_secret="wrong")
    assert [wrong.login(where).status_code for where in (world.standin, other, other)] == [401] * 3
    assert [identity.login(where).status_code for where in (world.standin, other)] == [401] * 2


def test_a_setting_changed_at_one_server_applies_to_the_other_at_once(
    world: World, other: Standin
) -> None:
    def read_settings(standin: Standin) -> Document:
        settings: Document = ok(standin.client().get("/api/v1/admin/config"))["config"]
        return settings

    before = read_settings(other)["allowSignUp"]
    ok(world.admin.patch("/api/v1/admin/config", json={"allowSignUp": not before}))
    assert read_settings(other)["allowSignUp"] is not before
    ok(world.admin.patch("/api/v1/admin/config", json={"allowSignUp": before}))
    assert read_settings(other)["allowSignUp"] is before


def test_permissions_cached_by_one_server_apply_at_the_other(
    database: str, start: StartStandin
) -> None:
    """Otherwise the next server could refuse a service that has just read secrets."""
    memory = {"STANDIN_PERMISSION_CACHE_SECONDS": "600"}
    world = set_up(start(database, **memory).wait(), database)
    other = start(database, **memory).wait()
    identity = world.member()
    clients = [identity.client(world.standin), identity.client(other)]
    refused = clients[0].get("/api/v4/secrets", params=world.place())
    world.grant(identity, {"subject": "secrets", "action": ["describeSecret", "readValue"]})
    answers = [each.get("/api/v4/secrets", params=world.place()) for each in clients]
    assert [each.status_code for each in (refused, *answers)] == [403] * 3


def test_a_broken_commit_leaves_nothing_and_the_next_one_reconnects(
    world: World, postgres: Postgres
) -> None:
    body = {**world.place(), "secretValue": "x"}
    postgres.psql(world.database, AT_COMMIT.format(name="break_off"))
    try:
        broken = world.deployer.post("/api/v4/secrets/AT_COMMIT", json=body)
    finally:
        postgres.psql(world.database, "DROP FUNCTION break_off CASCADE")
    assert broken.status_code == 500
    assert world.deployer.get("/api/v4/secrets/AT_COMMIT", params=world.place()).status_code == 404
    ok(world.deployer.post("/api/v4/secrets/AT_COMMIT", json=body))


def test_requests_follow_the_master_that_the_sentinel_names(
    database: str, start: StartStandin, sentinels: Sentinels
) -> None:
    standin = start(database, **sentinels.environment).wait()
    world = set_up(standin, database)
    ok(world.deployer.get("/api/v4/secrets", params=world.place()))
    sentinels.kill_master()
    client = standin.client()
    client.timeout = 30
    ok(client.get("/api/status"))
    world.write(AFTER="the failover")
    wrong = replace(world.deployer_identity, client_secret="wrong")
    assert [wrong.login(standin).status_code for _ in range(3)] == [401] * 3
    assert world.deployer_identity.login(standin).status_code == 401


@pytest.mark.parametrize("variable", ["REDIS_SENTINEL_PASSWORD", "REDIS_PASSWORD"])
def test_a_wrong_password_of_redis_or_its_sentinel_keeps_the_port_closed(
    database: str, start: StartStandin, sentinels: Sentinels, variable: str
) -> None:
    standin = start(database, **{**sentinels.environment, variable: "wrong"})
    wait_until(lambda: "ECONNREFUSED" in standin.log(), "nothing was logged", standin.log)
    assert not standin.answers()
    assert SENTINEL_PASSWORD not in standin.log()


def test_sentinels_without_a_port_end_the_start_with_255_and_the_name(
    database: str, start: StartStandin
) -> None:
    standin = start(database, REDIS_URL=None, REDIS_SENTINEL_HOSTS="sentinel-1,sentinel-2")
    assert standin.exit_code() == 255
    assert "REDIS_SENTINEL_HOSTS" in standin.log()


def test_the_url_of_a_redis_wins_over_sentinels(database: str, start: StartStandin) -> None:
    ok(start(database, REDIS_SENTINEL_HOSTS="127.0.0.1:1").wait().client().get("/api/status"))
