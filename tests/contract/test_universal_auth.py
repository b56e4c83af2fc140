"""Test logins of identities: lock-outs, limits, expiry."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from redis import Redis

from .world import make_identity, ok

if TYPE_CHECKING:
    from .services import RedisServer
    from .world import World


def test_three_wrong_secrets_lock_out_the_right_one_too(world: World) -> None:
    identity = world.member()
    wrong = replace(identity, client_secret="wrong")
    assert [wrong.login(world.standin).status_code for _ in range(3)] == [401] * 3
    answer = identity.login(world.standin)
    assert answer.status_code == 401
    assert "temporarily locked" in answer.json()["message"]
    shown = ok(world.admin.get(f"/api/v1/identities/{identity.id}"))
    assert shown["identity"]["identity"]["activeLockoutAuthMethods"] == ["universal-auth"]


def test_a_success_resets_the_count_of_wrong_secrets(world: World) -> None:
    identity = world.member()
    wrong = replace(identity, client_secret="wrong")
    for _ in range(2):
        for _ in range(2):
            assert wrong.login(world.standin).json()["message"] == "Invalid credentials"
        ok(identity.login(world.standin))


def test_a_lock_out_affects_only_one_identity(world: World) -> None:
    wrong = replace(world.member(), client_secret="wrong")
    for _ in range(4):
        wrong.login(world.standin)
    ok(world.deployer_identity.login(world.standin))


def test_a_secret_is_refused_after_its_last_use(world: World) -> None:
    identity = make_identity(world.admin, world.org_id, "once", "no-access", numUsesLimit=1)
    ok(identity.login(world.standin))
    assert identity.login(world.standin).status_code == 401


def test_a_secret_and_a_token_are_refused_after_their_expiry(world: World) -> None:
    identity = make_identity(
        world.admin, world.org_id, "brief", "no-access", ttl=1, accessTokenTTL=1
    )
    client = identity.client(world.standin)
    ok(client.get("/api/v1/identities/details"))
    time.sleep(1.2)
    expired = client.get("/api/v1/identities/details")
    assert (expired.status_code, expired.json()["error"]) == (403, "TokenError")
    assert identity.login(world.standin).status_code == 401


def test_a_token_is_refused_after_its_number_of_uses(world: World) -> None:
    identity = make_identity(
        world.admin, world.org_id, "counted", "no-access", accessTokenNumUsesLimit=2
    )
    client = identity.client(world.standin)
    url = "/api/v1/identities/details"
    assert [client.get(url).status_code for _ in range(3)] == [200, 200, 401]


def test_a_revoked_secret_ends_its_tokens(world: World) -> None:
    identity = world.member()
    client = identity.client(world.standin)
    auth = f"/api/v1/auth/universal-auth/identities/{identity.id}"
    secret = f"{auth}/client-secrets/{identity.client_secret_id}"
    assert ok(world.deployer.get(secret))["clientSecretData"]["isClientSecretRevoked"] is False
    ok(world.deployer.post(f"{secret}/revoke", json={}))
    assert client.get("/api/v1/identities/details").status_code == 401
    assert identity.login(world.standin).status_code == 401


def test_universal_auth_can_be_detached_and_attached_again(world: World) -> None:
    identity = world.member()
    auth = f"/api/v1/auth/universal-auth/identities/{identity.id}"
    removed = ok(world.admin.delete(auth))["identityUniversalAuth"]
    assert removed["clientId"] == identity.client_id
    assert identity.login(world.standin).status_code == 401
    again = ok(world.admin.post(auth, json={}))["identityUniversalAuth"]
    assert again["clientId"] != identity.client_id


def test_an_update_without_fields_is_a_server_error(world: World) -> None:
    path = f"/api/v1/auth/universal-auth/identities/{world.member().id}"
    answer = world.admin.patch(path, json={})
    assert (answer.status_code, answer.json()["error"]) == (500, "Update by id")


def test_the_list_of_identities_ignores_pages(world: World) -> None:
    url, query = "/api/v1/identities", {"orgId": world.org_id}
    whole = ok(world.admin.get(url, params=query))
    assert whole == ok(world.admin.get(url, params={**query, "limit": 1, "offset": 1}))
    assert whole["totalCount"] == len(whole["identities"]) > 1


def test_an_identity_without_a_role_may_not_make_others(world: World) -> None:
    client = world.member().client(world.standin)
    body = {"name": "x", "organizationId": world.org_id, "role": "admin"}
    answer = client.post("/api/v1/identities", json=body)
    assert (answer.status_code, answer.json()["error"]) == (403, "PermissionDenied")


def test_without_lock_outs_wrong_secrets_have_no_effect(world: World) -> None:
    identity = world.member(lockoutEnabled=False)
    wrong = replace(identity, client_secret="wrong")
    for _ in range(8):
        assert wrong.login(world.standin).json()["message"] == "Invalid credentials"
    ok(identity.login(world.standin))


def test_turning_lock_outs_off_ends_a_lock(world: World) -> None:
    identity = world.member()
    wrong = replace(identity, client_secret="wrong")
    for _ in range(4):
        wrong.login(world.standin)
    path = f"/api/v1/auth/universal-auth/identities/{identity.id}"
    ok(world.admin.patch(path, json={"lockoutEnabled": False}))
    assert wrong.login(world.standin).json()["message"] == "Invalid credentials"
    ok(identity.login(world.standin))
    ok(world.admin.patch(path, json={"lockoutEnabled": True}))
    ok(identity.login(world.standin))


def test_an_attempt_during_a_lock_out_does_not_prolong_it(
    world: World, redis_server: RedisServer
) -> None:
    identity = world.member(lockoutThreshold=1, lockoutDurationSeconds=30)
    wrong = replace(identity, client_secret="wrong")
    wrong.login(world.standin)
    redis = Redis.from_url(redis_server.url_for(world.database))
    (key,) = redis.scan_iter(f"lockout:locked:{identity.id}:*")
    redis.expire(key, 10)
    wrong.login(world.standin)
    assert 0 < int(redis.ttl(key)) <= 10


def test_delete_protection_is_turned_off_only_together_with_a_name(world: World) -> None:
    path = f"/api/v1/identities/{world.member().id}"
    ok(world.admin.patch(path, json={"hasDeleteProtection": True}))
    ok(world.admin.patch(path, json={"hasDeleteProtection": False}))
    assert ok(world.admin.get(path))["identity"]["identity"]["hasDeleteProtection"] is True
    ok(world.admin.patch(path, json={"name": "service", "hasDeleteProtection": False}))
    assert ok(world.admin.get(path))["identity"]["identity"]["hasDeleteProtection"] is False


def test_the_longest_lifetime_is_lowered_only_together_with_the_other(world: World) -> None:
    identity = world.member(accessTokenTTL=600, accessTokenMaxTTL=3600)
    path = f"/api/v1/auth/universal-auth/identities/{identity.id}"
    assert world.admin.patch(path, json={"accessTokenMaxTTL": 1200}).status_code == 400
    both = {"accessTokenTTL": 600, "accessTokenMaxTTL": 1200}
    changed = ok(world.admin.patch(path, json=both))["identityUniversalAuth"]
    assert changed["accessTokenMaxTTL"] == 1200
