"""The identity that deploys, made and kept by the bootstrap, against an Infisical at a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import identities, login
from infisical_iac.api.client import Client
from infisical_iac.api.identities import DEPLOYER
from infisical_iac.api.universal_auth import universal_auth_path
from infisical_iac.stack import session
from infisical_iac.workspace import bootstrap

from .world import EMAIL, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World

_PORT = 8080


@pytest.fixture
def admin(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The administrator, on a host whose deployer was made just now."""
    file: dict[str, str] = {}

    def write(_: str, text: str) -> None:
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        file.update((name, value) for name, _, value in pairs)

    def deployer(_: int) -> Client:
        return login.universal(anyone, *file.values())

    monkeypatch.setattr(bootstrap, "write", write)
    monkeypatch.setattr(session, "read_env", lambda _: file)
    monkeypatch.setattr(session, "deployer", deployer)
    monkeypatch.setattr(session, "deployer_id", lambda _: file["INFISICAL_CLIENT_ID"])
    with Client(world.standin.url) as anyone:
        client = login.password(anyone, EMAIL, PASSWORD)
        bootstrap._make_deployer(client, EMAIL)
        yield client


def _id(admin: Client, organization: str) -> str:
    found = identities.find(admin, organization, DEPLOYER)
    assert found is not None
    return found.id


@pytest.mark.parametrize(
    ("of_identity", "of_login", "told"),
    [
        (
            {"name": "renamed", "metadata": []},
            {},
            f"name renamed → {DEPLOYER}, metadata → managed by infisical-iac",
        ),
        ({"hasDeleteProtection": True}, {}, "delete protection on → off"),
        ({}, {"accessTokenNumUsesLimit": 50}, "accessTokenNumUsesLimit 50 → 0"),
        ({}, {"lockoutThreshold": 1}, "lockoutThreshold 1 → 3"),
        ({"role": "member"}, {}, "role in the organization member → admin"),
    ],
)
def test_what_differs_is_told_and_set_right_and_no_second_one_is_made(
    admin: Client,
    world: World,
    of_identity: dict[str, object],
    of_login: dict[str, object],
    told: str,
) -> None:
    id, there = _id(admin, world.org_id), len(identities.everybody(admin, world.org_id))
    assert bootstrap._deployer_drift(_PORT) == ""
    admin.patch(f"/api/v1/identities/{id}", json=of_identity)
    admin.patch(universal_auth_path(id), json=of_login)
    assert bootstrap._deployer_drift(_PORT) == told
    bootstrap._make_deployer(admin, EMAIL)
    assert bootstrap._deployer_drift(_PORT) == ""
    assert _id(admin, world.org_id) == id
    assert len(identities.everybody(admin, world.org_id)) == there


def test_one_without_a_role_is_told(admin: Client, world: World) -> None:
    id = _id(admin, world.org_id)
    admin.patch(f"/api/v1/identities/{id}", json={"role": "no-access"})
    assert bootstrap._deployer_drift(_PORT) == "role in the organization → admin"
    bootstrap._make_deployer(admin, EMAIL)
    assert bootstrap._deployer_drift(_PORT) == ""
