"""Test outages of the database and of Redis, a restore, and the maintenance mode."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from tests.unit.rendered_stack import render

from . import proxies
from .postgres import LOCALE, Postgres
from .services import RedisServer, wait_until
from .world import World, ok

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import StartStandin
    from .services import Standin


def _can_read(world: World) -> bool:
    answer = world.deployer.get("/api/v4/secrets", params=world.place())
    return answer.status_code == 200


def test_without_the_database_only_status_and_settings_answer(
    world: World, postgres: Postgres
) -> None:
    client = world.standin.client()
    # The change caches the settings for a minute from now on; a read would keep an older cache.
    ok(world.admin.patch("/api/v1/admin/config", json={"trustSamlEmails": False}))
    postgres.stop()
    try:
        ok(client.get("/api/status"))
        assert ok(client.get("/api/v1/admin/config"))["config"]["initialized"] is True
        login = world.deployer_identity.login(world.standin)
    finally:
        postgres.start()
    assert login.status_code == 500
    assert login.json()["message"] == "Something went wrong"
    wait_until(lambda: _can_read(world), "no recovery", world.standin.log, seconds=2)


def test_without_redis_requests_hang_until_it_is_back(
    world: World, redis_server: RedisServer
) -> None:
    redis_server.stop()
    try:
        with pytest.raises(httpx.ReadTimeout):
            world.standin.client().get("/api/status", timeout=0.6)
    finally:
        redis_server.start()
    ok(world.standin.client().get("/api/status", timeout=1))
    assert _can_read(world)


def test_an_emptied_redis_loses_neither_tokens_nor_logins(
    world: World, redis_server: RedisServer
) -> None:
    redis.Redis.from_url(redis_server.url).flushall()
    assert _can_read(world)
    ok(world.deployer_identity.login(world.standin))


def test_a_restore_needs_only_the_dump_and_the_encryption_key(
    world: World, postgres: Postgres, start: StartStandin
) -> None:
    world.write(CANARY="yellow")
    restored = postgres.copy_by_dump(world.database, f"{world.database}_restored")
    other = start(restored, AUTH_SECRET="another-secret-for-tests").wait()
    old_token = world.deployer.headers["Authorization"].split()[1]
    refused = other.client(old_token).get("/api/v4/secrets", params=world.place())
    assert refused.status_code == 403
    assert refused.json()["error"] == "TokenError"
    client = world.deployer_identity.client(other)
    secrets = ok(client.get("/api/v4/secrets", params=world.place()))["secrets"]
    assert [s["secretValue"] for s in secrets if s["secretKey"] == "CANARY"] == ["yellow"]


def test_values_and_client_secrets_are_not_readable_in_the_database(
    world: World, postgres: Postgres
) -> None:
    world.write(CANARY="yellow-canary")
    rows = "".join(
        postgres.psql(world.database, f"SELECT data FROM {table}")
        for table in ("secrets_v2", "secret_versions_v2", "identity_ua_client_secrets")
    )
    assert "CANARY" in rows
    assert "yellow-canary" not in rows
    assert world.deployer_identity.client_secret not in rows


def test_maintenance_mode_allows_logins_and_reads_but_no_writes(
    world: World, start: StartStandin
) -> None:
    paused = start(world.database, MAINTENANCE_MODE="true").wait()
    client = world.deployer_identity.client(paused)
    ok(client.get("/api/v4/secrets", params=world.place()))
    token = client.headers["Authorization"].split()[1]
    ok(client.post("/api/v1/auth/token/renew", json={"accessToken": token}))
    write = client.post("/api/v4/secrets/NEW", json={**world.place(), "secretValue": "x"})
    assert write.status_code == 500
    assert write.json()["message"] == "Something went wrong"


def test_folders_need_the_collation_of_the_official_database_image(
    world: World, postgres: Postgres
) -> None:
    query = {"projectId": world.project_id, "environment": "production"}
    ok(world.deployer.get("/api/v2/folders", params=query))
    postgres.rename_collation(world.database, LOCALE, "elsewhere")
    answer = world.deployer.get("/api/v2/folders", params=query)
    postgres.rename_collation(world.database, "elsewhere", LOCALE)
    assert answer.status_code == 500
    ok(world.deployer.get("/api/v2/folders", params=query))


def test_status_fails_once_the_cached_settings_expire(
    world: World, postgres: Postgres, redis_server: RedisServer
) -> None:
    client = world.standin.client()
    postgres.stop()
    try:
        redis.Redis.from_url(redis_server.url_for(world.database)).delete("instance-settings")
        answers = [client.get(path).status_code for path in ("/api/status", "/api/v1/admin/config")]
    finally:
        postgres.start()
    assert answers == [500, 500]
    wait_until(lambda: _can_read(world), "no recovery", world.standin.log, seconds=2)


def test_a_replica_that_was_ready_is_healthy_while_it_answers(
    world: World, postgres: Postgres, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Swarm must not stop replicas while the database is down: restarts would not repair it."""
    replica, fresh = (_Check(world.standin, tmp_path / name) for name in ("replica", "fresh"))
    wait_until(replica.passes, "the replica is not ready", world.standin.log)
    ready = replica.ready_at()
    postgres.stop()
    try:
        assert (replica.passes(), fresh.passes()) == (True, False)
    finally:
        postgres.start()
    wait_until(lambda: _can_read(world), "no recovery", world.standin.log, seconds=2)
    redis_server.stop()
    try:
        assert (replica.passes(), fresh.passes()) == (True, False)
    finally:
        redis_server.start()
    assert replica.ready_at() == ready
    wait_until(fresh.passes, "the replica is not ready again", world.standin.log)
    world.standin.process.send_signal(signal.SIGSTOP)
    try:
        assert not replica.passes()
    finally:
        world.standin.process.send_signal(signal.SIGCONT)


def test_the_proxy_sends_no_request_to_a_replica_without_a_database(
    world: World, postgres: Postgres, tmp_path: Path
) -> None:
    proxy = proxies.haproxy(tmp_path, world.standin.port, asking=True)
    client = httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=10)

    def status() -> int:
        try:
            return client.get("/runtime-ui-env.js").status_code
        except httpx.RemoteProtocolError:
            return 0  # HAProxy ended the session when the replica became unready

    try:
        wait_until(lambda: status() == 200, "the proxy sends no request", world.standin.log)
        postgres.stop()
        try:
            wait_until(lambda: status() == 503, "the proxy still sends requests", world.standin.log)
        finally:
            postgres.start()
        wait_until(lambda: status() == 200, "the replica is not ready again", world.standin.log)
    finally:
        proxy.stop()


@dataclass(frozen=True)
class _Check:
    """The health check of a replica in a cluster, with a separate state file."""

    standin: Standin
    remembered: Path

    def passes(self) -> bool:
        _, command = render()["services"]["infisical"]["healthcheck"]["test"]
        assert command.count("--max-time 4") == 3
        own = (
            command.replace("$$", "$")
            .replace("127.0.0.1:8080", f"127.0.0.1:{self.standin.port}")
            .replace("/dev/shm/ready", str(self.remembered))
            .replace("--max-time 4", "--max-time 2")
        )
        return subprocess.run(["sh", "-c", own], timeout=30).returncode == 0

    def ready_at(self) -> int:
        """Return when the replica was last ready, in nanoseconds since the epoch."""
        return self.remembered.stat().st_mtime_ns
