"""Test bootstrapping an instance: simultaneous calls, and the leftovers of a crash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from .services import wait_until
from .world import bootstrap, log_in, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Postgres
    from .services import Standin
    from .world import World

WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def block_user_writes(postgres: Postgres, database: str) -> Iterator[None]:
    """Block writes of users, but no reads, while the context is open."""
    with psycopg.connect(postgres.uri(database)) as connection:
        connection.execute("LOCK TABLE users IN SHARE MODE")
        yield


def test_simultaneous_bootstraps_all_succeed(
    standin: Standin, postgres: Postgres, database: str
) -> None:
    clients = [standin.client() for _ in range(5)]
    emails = [f"admin{number}@example.com" for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        with block_user_writes(postgres, database):
            calls = [pool.submit(bootstrap, *call) for call in zip(clients, emails, strict=True)]
            wait_until(
                lambda: postgres.psql(database, WAITING).strip() == "5",
                "Five calls have not asked whether the instance is set up",
            )
        answers = [ok(call.result()) for call in calls]
    admin = log_in(standin, answers[0]["organization"]["id"], emails[0])
    users = ok(admin.get("/api/v1/admin/user-management/users", params={"limit": 3}))
    assert len(users["users"]) == 3
    assert users["total"] == 5
    assert all(user["superAdmin"] for user in users["users"])
    organizations = ok(admin.get("/api/v1/admin/organization-management/organizations"))
    slugs = {organization["slug"] for organization in organizations["organizations"]}
    assert len(slugs) == 5


def test_a_bootstrap_after_a_half_done_one_is_refused(
    standin: Standin, postgres: Postgres, database: str
) -> None:
    ok(bootstrap(standin.client()))
    postgres.psql(database, "UPDATE super_admin SET data = data || '{\"initialized\": false}'")
    answer = bootstrap(standin.client())
    assert answer.status_code == 400
    assert answer.json()["message"] == "User already exists"


def test_the_list_of_users_is_for_super_admins_and_has_no_password(world: World) -> None:
    url = "/api/v1/admin/user-management/users"
    user = ok(world.admin.get(url))["users"][0]
    assert user["email"] == "admin@example.com"
    assert "passwordHash" not in user
    assert world.deployer.get(url).status_code == 403


def test_a_token_without_an_organization_is_refused(standin: Standin) -> None:
    ok(bootstrap(standin.client()))
    body = {"email": "admin@example.com", "password": "not-a-real-password"}
    token = ok(standin.client().post("/api/v3/auth/login", json=body))["accessToken"]
    assert standin.client(token).get("/api/v1/projects").status_code == 401
    ok(standin.client(token).get("/api/v1/organization"))
