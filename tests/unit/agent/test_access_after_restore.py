"""Test the report of access that a restore turned back: revoked or made since the snapshot."""

from infisical_iac.agent.identities import create_client_secret
from infisical_iac.agent.restore_proof import AccessChanges, compare_access, read_access
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_people import ADMIN_TOKEN

_BEFORE = {"1": "identity backend-production", "2": "client secret 2 of identity backend"}


def test_the_same_access_does_not_differ() -> None:
    assert compare_access(_BEFORE, dict(_BEFORE)) == AccessChanges([], [])


def test_revived_access_is_separate_from_lost_access() -> None:
    after = {"1": _BEFORE["1"], "3": "membership of ben@example.com in chainalign"}
    assert compare_access(_BEFORE, after) == AccessChanges([after["3"]], [_BEFORE["2"]])


def test_a_renamed_identity_is_the_same() -> None:
    assert compare_access(_BEFORE, {**_BEFORE, "1": "identity another"}) == AccessChanges([], [])


def test_access_is_read_without_revoked_client_secrets() -> None:
    server = FakeInfisical()
    for id, name in (("i1", "backend"), ("i2", "idle")):
        server.identities[id] = {"id": id, "name": name, "role": "no-access"}
    server.auths["i1"], server.secrets["i1"] = {}, []
    for _ in range(2):
        create_client_secret(server.client(), "i1", "")
    server.secrets["i1"][1]["isClientSecretRevoked"] = True
    roles = [{"role": "admin"}, {"role": "custom", "customRoleSlug": "reader"}]
    server.persons = [{"id": "u1", "user": {"username": "ada@example.com"}, "roles": roles}]
    server.members["i1"] = [{"role": "no-access"}]
    server.grants["q1"] = {"id": "q1", "slug": "reads-staging", "projectMembershipId": "u1"}
    server.privileges["q2"] = {"id": "q2", "slug": "reads-backend", "identityId": "i1"}
    client, admin = server.client(), server.client(ADMIN_TOKEN)
    backend = "identity backend"
    machines = {
        "i1": backend,
        "i2": "identity idle",
        "secret-1": f"client secret secret-1 of {backend}",
    }
    members = {
        "u1 admin": "role admin of ada@example.com in chainalign",
        "u1 reader": "role reader of ada@example.com in chainalign",
        "membership-i1 no-access": f"role no-access of {backend} in chainalign",
        "q1": "privilege reads-staging of ada@example.com in chainalign",
        "q2": f"privilege reads-backend of {backend} in chainalign",
    }
    assert read_access(client, admin, "o", []) == machines
    project = {"id": "p", "slug": "chainalign"}
    assert read_access(client, admin, "o", [project]) == machines | members
