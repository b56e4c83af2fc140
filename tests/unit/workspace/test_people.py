"""Test that people of the file are invited, get their roles, and lose them."""

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.workspace.access import sentence
from infisical_iac.workspace.converge import apply
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.fake_state import ORGANIZATION
from tests.unit.people_deployment import BEN, PEOPLE, PeopleDeployment, make_people_deployment

LINK = (
    "invitation link for ben@example.com: "
    f"https://fake/signupinvite?to=ben@example.com&organization_id={ORGANIZATION}"
)


@pytest.fixture
def deployment() -> PeopleDeployment:
    deployment = make_people_deployment()
    deployment.server.requests.clear()
    deployment.logins = 0
    return deployment


def test_a_first_deploy_invites_all_people_and_a_second_changes_nothing() -> None:
    deployment = PeopleDeployment()
    planned = deployment.plan()
    people = [each for each in planned if "example.com" in each.what and ADMIN not in each.what]
    assert {each.kind for each in people} == {"+"}
    assert [each.what.partition("@")[0] for each in people] == [
        f"{what} {name}" for name in ("ada", "ben", "cy") for what in ("invitation of", "person")
    ]
    assert [each.detail for each in people[1::2]] == ["admin of the project", BEN, "no access"]
    assert deployment.settle() == [str(change) for change in planned]
    assert deployment.settle() == []


def test_an_invitations_link_is_shown_only_once() -> None:
    deployment = PeopleDeployment()
    assert [change.shown for change in deployment.plan() if change.shown] == []
    deployment.settle()
    shown = [change for change in deployment.made if LINK in change.shown]
    assert [(each.kind, each.what.partition("@")[0]) for each in shown] == [
        ("+", "invitation of ben")
    ]
    assert "signupinvite" not in repr(deployment.made)
    deployment.settle()
    assert [change.shown for change in deployment.made] == []


def test_a_plus_in_an_address_is_percent_encoded_in_the_link() -> None:
    deployment = PeopleDeployment()
    deployment.settle(PEOPLE.replace("ben@example.com", "ben+test@example.com"))
    (shown,) = (
        change.shown for change in deployment.made if "ben+test" in change.what and change.shown
    )
    assert shown == LINK.replace("for ben@", "for ben+test@").replace("to=ben@", "to=ben%2Btest@")


def test_a_link_without_a_domain_names_the_tunnel() -> None:
    address = "/signupinvite?to=ben@example.com"
    assert "tunnel" in sentence("ben@example.com", f"http://127.0.0.1:8080{address}")
    assert "tunnel" not in sentence("ben@example.com", f"https://fake{address}")


def test_no_link_is_shown_if_the_server_mails_it() -> None:
    deployment = PeopleDeployment()
    deployment.server.has_smtp = True
    deployment.settle()
    shown = [
        change.shown for change in deployment.made if change.what == "invitation of ben@example.com"
    ]
    assert ["ben@example.com" in each for each in shown] == [True]
    assert not any("signupinvite" in change.shown for change in deployment.made)
    assert deployment.settle() == []


def test_people_get_their_access_although_the_mail_about_it_fails() -> None:
    """A real server answers 500 to the membership that it has made, if its mail can't be sent."""
    deployment = PeopleDeployment()
    deployment.server.has_smtp = deployment.server.mail_fails = True
    deployment.settle()
    shown = "".join(change.shown for change in deployment.made)
    assert "person ben@example.com: " in shown
    assert "`infisical-iac mail test" in shown
    assert deployment.settle() == []


def test_the_link_is_reported_before_the_next_request() -> None:
    deployment = PeopleDeployment()
    made = apply(deployment.client, deployment.plan(), admin=deployment.admin)
    assert str(next(change for change in made if change.shown == LINK)).startswith("+ invitation")
    assert deployment.server.requests[-1][:2] == ("POST", "/api/v1/invite-org/signup")


def test_people_with_an_account_are_added_without_an_invitation() -> None:
    deployment = PeopleDeployment()
    user = {"username": "ben", "email": "Ben@example.com"}
    deployment.server.organization["ben"] = user
    done = deployment.settle()
    assert f"+ person ben@example.com: {BEN}" in done
    assert not any("invitation of ben" in line for line in done)
    assert [each["user"]["username"] for each in deployment.server.persons][2] == "ben"


def test_the_project_role_gives_no_access_and_the_privilege_gives_all_of_it(
    deployment: PeopleDeployment,
) -> None:
    assert deployment.seat("ben@example.com")["roles"] == [
        {"role": "no-access", "isTemporary": False}
    ]
    assert deployment.seat("ada@example.com")["roles"] == [{"role": "admin", "isTemporary": False}]
    assert deployment.mark("ben@example.com")["permissions"][0] == {
        "subject": "secrets",
        "action": ["describeSecret", "readValue", "create", "edit", "delete"],
        "conditions": {"environment": {"$eq": "development"}},
    }


def test_the_administrator_logs_in_once_a_run(deployment: PeopleDeployment) -> None:
    deployment.settle(PEOPLE.replace("staging: viewer", "staging: developer"))
    assert deployment.logins == 1


def test_a_project_file_without_people_needs_no_login() -> None:
    plain, able = Deployment(), PeopleDeployment()
    plain.converge()
    able.settle(TEXT)
    assert sorted(map(str, able.server.requests)) == sorted(map(str, plain.server.requests))
    assert able.logins == 0


def test_a_change_of_the_file_is_a_change_of_permissions(deployment: PeopleDeployment) -> None:
    less = PEOPLE.replace("staging: viewer", "staging: none")
    (output,) = deployment.settle(less)
    change, _, access = output.partition(" → ")
    assert change == "~ person ben@example.com: permissions"
    assert access.split(", ") == [
        "developer in development",
        "viewer of /backend and /shared in production",
    ]
    assert deployment.settle(less) == []


def test_a_killed_run_is_completed_by_the_next() -> None:
    planned = [change.what for change in PeopleDeployment().plan()]
    first = planned.index("invitation of ada@example.com")
    for died_after in range(first, planned.index("person cy@example.com") + 1):
        deployment = PeopleDeployment()
        made = apply(deployment.client, deployment.plan(), admin=deployment.admin)
        for _ in range(died_after):
            next(made)
        deployment.settle()
        assert deployment.plan() == []


def test_a_privilege_of_others_is_kept(
    deployment: PeopleDeployment,
) -> None:
    theirs = {**deployment.mark("ben@example.com"), "id": "theirs", "slug": "break-glass"}
    deployment.server.grants["theirs"] = theirs
    assert deployment.settle() == []
    assert deployment.server.grants["theirs"] == theirs


def test_the_first_administrator_may_be_listed_as_admin(deployment: PeopleDeployment) -> None:
    assert deployment.settle(PEOPLE + f"  {ADMIN}: admin\n") == []
    with pytest.raises(UserError, match=f"{ADMIN} is the first administrator"):
        deployment.settle(PEOPLE + f"  {ADMIN}: viewer\n")


def test_people_without_the_administrators_login_are_refused() -> None:
    with pytest.raises(UserError) as refused:
        Deployment().changes(PEOPLE)
    assert refused.value.code == "error.no_administrator"
    with pytest.raises(UserError, match=r"invitation of ada@example\.com: ") as failed:
        list(apply(Deployment().client, PeopleDeployment().plan()[-30:]))
    assert isinstance(failed.value.__cause__, UserError)
    assert failed.value.__cause__.code == "error.no_administrator"


def test_people_and_an_isolation_without_privileges_exclude_each_other() -> None:
    with pytest.raises(UserError, match="isolation to 'privilege' or ") as refused:
        Deployment().changes(PEOPLE, isolation="viewer")
    assert refused.value.code == "error.people_isolation"
