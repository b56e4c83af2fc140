"""Test that people of the project file are invited, get the access of the file, and lose it."""

import time
from collections.abc import Iterator

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace.access import renew

from .conftest import CACHE_SECONDS
from .items import Expected
from .peopled import ADA, BEN, CYD, WITHOUT_BEN, Place, values, write
from .projects import on
from .world import PASSWORD as WORLD_PASSWORD
from .world import World

pytestmark = pytest.mark.real

_PRIVILEGES = "/api/v1/user-project-additional-privilege"
_READING = {"subject": "secrets", "action": ["readValue"]}


@pytest.fixture(scope="module")
def place(world: World) -> Iterator[Place]:
    """A deployed project with a secret in each folder of each environment.

    Each test leaves it as it was.
    """
    identity = world.deployer_identity
    with Client(world.standin.url) as anyone:
        deployer = login.universal(anyone, identity.client_id, identity.client_secret)
        place = Place(world.standin, anyone, deployer, identity.client_id, world.org_id)
        place.password = WORLD_PASSWORD
        place.first = place.converge()
        for environment in ("staging", "production"):
            for folder in ("/backend", "/shared"):
                write(deployer, place.at(environment, folder), "KEY")
        yield place


def test_people_are_invited_once_and_a_second_run_changes_nothing(place: Place) -> None:
    (invited,) = (change for change in place.first if BEN in change.shown)
    assert "http" in invited.shown
    assert invited == Expected("+", f"invitation of {BEN}", "organization", "member")
    assert place.plan() == []
    assert place.converge() == []


def test_a_lost_invitation_link_is_renewed(place: Place) -> None:
    (first,) = (change.shown for change in place.first if CYD in change.shown)
    renewed = renew(place.deployer, place.admin(), place.organization, CYD)
    assert CYD in renewed
    assert "http" in renewed
    assert renewed != first
    place.keep_link(renewed)


def test_a_link_for_a_person_without_an_invitation_is_refused(place: Place) -> None:
    with pytest.raises(UserError, match=r"eve@example\.com"):
        renew(place.deployer, place.admin(), place.organization, "eve@example.com")


def test_a_viewer_of_one_folder_reads_only_that_folder(place: Place) -> None:
    ben = place.accept(BEN)
    assert values(ben, place.at("production", "/backend")) == ["fake-value"]
    assert values(ben, place.at("production", "/shared")) == []
    with pytest.raises(ApiError, match="403 PermissionDenied"):
        write(ben, place.at("production", "/backend"), "NEW")


def test_a_developer_writes_secrets_but_makes_no_folders(place: Place) -> None:
    ben = place.accept(BEN)
    staging = place.at("staging", "/backend")
    write(ben, staging, "NEW")
    assert values(ben, staging) == ["fake-value", "fake-value"]
    ben.delete("/api/v4/secrets/NEW", json=staging)
    assert values(ben, staging) == ["fake-value"]
    folder = {"projectId": staging["projectId"], "environment": "staging", "name": "new"}
    with pytest.raises(ApiError, match="403 PermissionDenied"):
        ben.post("/api/v2/folders", json={**folder, "path": "/"})


def test_a_person_without_a_role_sees_the_project_and_no_secret(place: Place) -> None:
    cyd = place.accept(CYD)
    assert [each["slug"] for each in cyd.get("/api/v1/projects")["projects"]] == ["peopled"]
    with pytest.raises(ApiError, match="403 PermissionDenied"):
        values(cyd, place.at("staging", "/backend"))


def test_a_second_invitation_is_answered_without_a_link(place: Place) -> None:
    invitation = {"inviteeEmails": [BEN], "organizationId": place.organization}
    answer = place.admin().post("/api/v1/invite-org/signup", json=invitation)
    assert answer.keys() == {"message"}
    assert "http" not in answer["message"]


def test_an_admin_of_all_environments_administers_the_project(place: Place) -> None:
    ada = place.accept(ADA)
    assert values(ada, place.at("production", "/shared")) == ["fake-value"]
    ada.patch(f"/api/v1/projects/{place.project}", json={"name": "Peopled"})


def _give_a_second_of_the_name(place: Place, membership: str, slug: str) -> None:
    admin = place.admin()
    body = {"slug": slug, "type": {"isTemporary": False}, "permissions": [_READING]}
    new = {**body, "slug": "second", "projectMembershipId": membership}
    id = admin.post(_PRIVILEGES, json=new)["privilege"]["id"]
    admin.patch(f"{_PRIVILEGES}/{id}", json=body)


def test_drifts_of_a_person_are_reported_and_repaired(place: Place) -> None:
    ben = place.read().people.members[BEN]  # type: ignore[union-attr]
    assert ben.privileges is not None
    (mark,) = ben.privileges
    admin, route = place.admin(), f"{_PRIVILEGES}/{mark.id}"
    member = f"/api/v1/projects/{place.project}/memberships/{ben.membership_id}"
    roles = ("developer in staging", "viewer of /backend in production")
    who = f"person {BEN}"

    admin.patch(route, json={"permissions": [_READING]})
    place.deployer.patch(member, json={"roles": [{"role": "viewer"}]})
    assert place.converge() == [Expected("~", who, "viewer → no-access", "permissions", *roles)]
    admin.delete(route)
    assert place.converge() == [Expected("~", who, "permissions", *roles)]
    _give_a_second_of_the_name(place, ben.membership_id, mark.slug)
    assert place.converge() == [Expected("~", who, "second privilege")]
    place.deployer.delete(member)
    assert place.converge() == [Expected("+", who, *roles)]
    assert place.plan() == []


_FOR_AN_HOUR = {
    "isTemporary": True,
    "temporaryMode": "relative",
    "temporaryRange": "1h",
    "temporaryAccessStartTime": "2026-11-27T12:00:00.000Z",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [("permissions", [_READING]), ("type", _FOR_AN_HOUR), ("slug", "renamed")],
)
def test_each_field_of_a_persons_privilege_is_reported_and_repaired(
    place: Place, field: str, value: object
) -> None:
    ben = place.read().people.members[BEN]  # type: ignore[union-attr]
    assert ben.privileges is not None
    (mark,) = ben.privileges
    path = f"{_PRIVILEGES}/{mark.id}"
    privilege = place.admin().get(path)["privilege"]
    body = {"slug": privilege["slug"], "type": {"isTemporary": False}}
    place.admin().patch(path, json={**body, "permissions": privilege["permissions"], field: value})
    done = place.converge()
    assert done
    assert {each.what for each in done} == {f"person {BEN}"}
    assert place.converge() == []
    # A privilege of another name may be somebody else's: it is reported, and only pruning ends it.
    strays = [each.what for each in place.inspect().foreign]
    assert all(each.startswith(f"privilege renamed of {BEN}") for each in strays)
    assert bool(strays) == (field == "slug")
    if strays:
        place.admin().delete(path)


def test_prune_ends_the_access_of_a_person_who_left_and_lists_what_to_rotate(place: Place) -> None:
    ben = place.accept(BEN)
    here = place.at("production", "/backend")
    assert place.plan(WITHOUT_BEN) == []
    (foreign,) = place.inspect(WITHOUT_BEN).foreign
    assert foreign.what == f"person {BEN} with role no-access"
    pruned = place.inspect(WITHOUT_BEN, prune=True)
    assert pruned.rotate == {
        BEN: ["staging /backend KEY", "staging /shared KEY", "production /backend KEY"]
    }
    assert place.make(WITHOUT_BEN, pruned) == [Expected("-", f"person {BEN}", "member")]
    time.sleep(2 * CACHE_SECONDS)
    with pytest.raises(ApiError, match="ProjectMembershipNotFound"):
        values(ben, here)
    assert place.inspect(WITHOUT_BEN).foreign == []
    roles = ("developer in staging", "viewer of /backend in production")
    assert place.converge() == [Expected("+", f"person {BEN}", *roles)]


@pytest.mark.parametrize("roles", ["viewer", {"live": "viewer"}, {"live": {"/api": "developer"}}])
def test_roles_of_people_that_isolation_viewer_cannot_express_are_refused(
    world: World, roles: object
) -> None:
    with on(world, "viewer") as made:
        made.apply()
        made.content["people"] = {BEN: roles}
        for run in (made.plan, made.apply):
            with pytest.raises(UserError) as refused:
                run()
            assert refused.value.code == "error.people_isolation"
            assert "viewer" in str(refused.value)
        del made.content["people"]
        assert made.plan().due == []
