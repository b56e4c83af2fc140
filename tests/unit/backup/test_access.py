"""Report what a restore turned back: access revoked since the snapshot, and access made since."""

from typing import Any

import httpx

from infisical_iac.api.client import Client
from infisical_iac.backup.access import Turned, compare, read

_AUTH = "universal-auth"
_SECRET = {
    "description": "",
    "createdAt": "2026-11-25T12:00:00.000Z",
    "updatedAt": "2026-11-25T12:00:00.000Z",
    "clientSecretTTL": 0,
    "clientSecretNumUses": 0,
    "clientSecretNumUsesLimit": 0,
}
_BEFORE = {"1": "identity backend-production", "2": "client secret 2 of identity backend"}


def test_the_same_access_does_not_differ() -> None:
    assert compare(_BEFORE, dict(_BEFORE)) == Turned([], [])


def test_revived_and_lost_access_are_told_apart() -> None:
    after = {"1": _BEFORE["1"], "3": "membership of ben@example.com in chainalign"}
    assert compare(_BEFORE, after) == Turned([after["3"]], [_BEFORE["2"]])


def test_a_renamed_identity_is_the_same() -> None:
    assert compare(_BEFORE, {**_BEFORE, "1": "identity another"}) == Turned([], [])


_ANSWERS: dict[str, Any] = {
    "/api/v1/identities": {
        "identities": [
            {"id": "m1", "identity": {"id": "i1", "name": "backend", "authMethods": [_AUTH]}},
            {"id": "m2", "identity": {"id": "i2", "name": "idle", "authMethods": []}},
        ]
    },
    f"/api/v1/auth/{_AUTH}/identities/i1/client-secrets": {
        "clientSecretData": [
            {**_SECRET, "id": "s1", "isClientSecretRevoked": False},
            {**_SECRET, "id": "s2", "isClientSecretRevoked": True},
        ]
    },
    "/api/v1/projects/p/memberships": {
        "memberships": [
            {
                "id": "u1",
                "user": {"username": "ada@example.com"},
                "roles": [{"role": "admin"}, {"role": "custom", "customRoleSlug": "reader"}],
            }
        ]
    },
    "/api/v1/projects/p/memberships/identities": {
        "identityMemberships": [
            {
                "id": "n1",
                "identity": {"id": "i1", "name": "backend"},
                "roles": [{"role": "no-access"}],
            }
        ]
    },
    "/api/v1/user-project-additional-privilege": {
        "privileges": [{"id": "q1", "slug": "reads-staging"}]
    },
    "/api/v2/identity-project-additional-privilege": {
        "privileges": [{"id": "q2", "slug": "reads-backend"}]
    },
}


def _answer(request: httpx.Request) -> httpx.Response:
    known = request.url.path in _ANSWERS
    if "user-project" in request.url.path:
        assert request.headers["Authorization"] == "Bearer of-a-person"
    return httpx.Response(200 if known else 404, json=_ANSWERS.get(request.url.path, {}))


def test_access_is_read_without_revoked_client_secrets() -> None:
    client = Client("http://fake", httpx.MockTransport(_answer))
    machines = {
        "i1": "identity backend",
        "i2": "identity idle",
        "s1": "client secret s1 of identity backend",
    }
    members = {
        "u1 admin": "role admin of ada@example.com in chainalign",
        "u1 reader": "role reader of ada@example.com in chainalign",
        "n1 no-access": "role no-access of identity backend in chainalign",
        "q1": "privilege reads-staging of ada@example.com in chainalign",
        "q2": "privilege reads-backend of identity backend in chainalign",
    }
    admin = client.with_token("of-a-person")
    assert read(client, admin, "o", None) == machines
    project = {"id": "p", "slug": "chainalign"}
    assert read(client, admin, "o", project) == machines | members
