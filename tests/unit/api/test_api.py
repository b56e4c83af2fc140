"""Test lists in pages, concurrent reads, the instance, identities and client secrets."""

import threading
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.agent import api as agent_api
from infisical_iac.agent import identities
from infisical_iac.agent.api import all_of, gather
from infisical_iac.agent.identities import (
    attach_universal_auth,
    client_secrets,
    create_client_secret,
    patch_universal_auth,
    revoke_client_secret,
    universal_auth,
)
from infisical_iac.agent.login import Organization, is_initialized
from infisical_iac.api import instance
from infisical_iac.api.client import Client
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_state import ORGANIZATION


def _list_server(
    count: int, *, most: int = 100, knows_pages: bool = True, total: str | None = None
) -> Client:
    def handle(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        items = [{"id": n} for n in range(count)]
        if knows_pages:
            offset = int(query["offset"])
            items = items[offset : offset + min(int(query["limit"]), most)]
        answer: dict[str, Any] = {"things": items}
        return httpx.Response(200, json=answer | ({total: count} if total else {}))

    return Client("http://fake", httpx.MockTransport(handle))


@given(count=st.integers(0, 350), total=st.sampled_from([None, "totalCount", "total"]))
def test_all_items_of_a_list_are_read_once_and_in_order(count: int, total: str | None) -> None:
    for knows_pages in (True, False):
        client = _list_server(count, knows_pages=knows_pages, total=total)
        assert [each["id"] for each in all_of(client, "/api/x", "things")] == list(range(count))


def test_all_items_are_read_from_pages_smaller_than_requested() -> None:
    client = _list_server(45, most=20, total="totalCount")
    assert len(all_of(client, "/api/x", "things")) == 45


@pytest.fixture
def _in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_api, "_MOST_AT_ONCE", 8)


@pytest.mark.usefixtures("_in_parallel")
def test_gathered_results_have_the_order_of_the_calls() -> None:
    last_began = threading.Event()

    def slow() -> str:
        assert last_began.wait(5)
        return "first"

    def quick() -> str:
        last_began.set()
        return "second"

    assert gather([slow, quick]) == ["first", "second"]
    assert gather([]) == []


@pytest.mark.usefixtures("_in_parallel")
def test_the_error_of_a_gathered_call_is_raised() -> None:
    def fail() -> int:
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        gather([lambda: 1, fail, lambda: 2])


@pytest.fixture
def fake() -> FakeInfisical:
    return FakeInfisical()


@pytest.fixture
def client(fake: FakeInfisical) -> Client:
    return fake.client()


def test_the_instance_reports_whether_it_is_set_up_and_open(
    fake: FakeInfisical, client: Client
) -> None:
    fake.config = {"initialized": True, "allowSignUp": False}
    assert is_initialized(client)
    assert not instance.signup_is_open(client)


def test_sign_up_is_closed_with_one_patch(fake: FakeInfisical, client: Client) -> None:
    instance.close_signup(client)
    assert fake.requests == [("PATCH", "/api/v1/admin/config", {"allowSignUp": False})]


def test_the_census_counts_super_admins_and_organizations(
    fake: FakeInfisical, client: Client
) -> None:
    fake.users = [
        {"id": "1", "username": "admin@example.com", "superAdmin": True},
        {"id": "2", "username": "dev@example.com", "superAdmin": False},
    ]
    assert instance.census(client) == instance.Census(
        super_admins=["admin@example.com"],
        organizations=[Organization(ORGANIZATION, "ChainAlign")],
    )


def test_a_created_identity_is_found_again_and_a_namesake_is_not(
    fake: FakeInfisical, client: Client
) -> None:
    namesake = {"id": "theirs", "name": "deployer", "role": "admin", "metadata": []}
    fake.identities["theirs"] = namesake
    assert identities.find(client, ORGANIZATION, "deployer") is None
    made = identities.create(client, ORGANIZATION, "deployer", "admin")
    assert identities.find(client, ORGANIZATION, "deployer") == made


def test_the_oldest_of_several_own_identities_with_a_name_is_found(client: Client) -> None:
    first = identities.create(client, ORGANIZATION, "deployer")
    identities.create(client, ORGANIZATION, "deployer")
    assert identities.find(client, ORGANIZATION, "deployer") == first


def test_universal_auth_is_attached_changed_and_read(client: Client) -> None:
    id = identities.create(client, ORGANIZATION, "deployer").id
    assert attach_universal_auth(client, id, 600, 3600).fields["accessTokenTTL"] == 600
    patch_universal_auth(client, id, 900, 3600)
    auth = universal_auth(client, id)
    assert auth is not None
    times = [auth.fields[key] for key in ("accessTokenTTL", "accessTokenMaxTTL")]
    assert times == [900, 3600]
    found = identities.find(client, ORGANIZATION, "deployer")
    assert found is not None
    assert found.has_universal_auth


def test_missing_universal_auth_is_read_as_none(client: Client) -> None:
    assert universal_auth(client, "id") is None


def test_a_client_secret_is_made_listed_and_revoked_and_its_value_never_shown(
    fake: FakeInfisical, client: Client
) -> None:
    id = identities.create(client, ORGANIZATION, "deployer").id
    attach_universal_auth(client, id, 600, 3600)
    made = create_client_secret(client, id, "deployer")
    assert fake.requests[-1][2] == {"description": "deployer", "ttl": 0, "numUsesLimit": 0}
    assert made.value not in repr(made)
    assert client_secrets(client, id) == [made.listed]
    assert (made.listed.ends, made.listed.uses_limit) == (None, 0)
    revoke_client_secret(client, id, made.id)
    assert client_secrets(client, id) == []
