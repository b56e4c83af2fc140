"""Test that `infisical-iac migrate verify` lists other readers of migrated values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .migrating import ENVIRONMENTS, OF_IDENTITIES, Case, Ran, deployed, grant, refuse
from .world import EMAIL, PASSWORD, make_identity, ok

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

_OF_PERSONS = "/api/v1/user-project-additional-privilege"
_BEN = "ben@example.com"


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """Services that read their own folders, in a project without other members."""
    return deployed(world, tmp_path)


def _members(case: Case) -> str:
    return f"/api/v1/projects/{case.place('production', '/')['projectId']}/memberships"


def _join(case: Case, name: str, role: str) -> str:
    """Add a manually made identity."""
    identity = make_identity(case.world.admin, case.world.org_id, name, "no-access")
    body = {"roles": [{"role": role}]}
    ok(case.world.deployer.post(f"{_members(case)}/identities/{identity.id}", json=body))
    return identity.id


def _join_person(case: Case, role: str) -> str:
    body = {"usernames": [_BEN], "emails": [], "roleSlugs": [role]}
    (member,) = ok(case.world.deployer.post(_members(case), json=body))["memberships"]
    return str(member["id"])


def _problems(ran: Ran) -> list[str]:
    found: list[str] = json.loads(ran.stdout)["problems"]
    return found


def test_required_readers_are_listed_and_no_problem(case: Case) -> None:
    verified = case.run("verify", "--json")
    assert verified.exit_code == 0, verified.shown
    output = json.loads(verified.stdout)
    assert output["access_checked"] is True
    api, web = case.services
    assert {(each["name"], each["part"]) for each in output["readers"]} == {
        ("deployer", "deployer"),
        (EMAIL, "administrator"),
        *((f"{name}-{stage}", "service") for name in (api, web) for stage in ENVIRONMENTS),
    }
    (one,) = (each for each in output["readers"] if each["name"] == f"{api}-production")
    reads = [{"environment": "production", "folder": f"/{api}", "secrets": 1}]
    assert one == {
        "kind": "identity",
        "name": f"{api}-production",
        "part": "service",
        "checked": "roles",
        "reads": reads,
    }


def test_at_a_url_without_credentials_services_are_judged_by_their_grants(
    case: Case,
) -> None:
    api, web = case.services
    ids = case.identities()
    project = str(case.place("production", "/")["projectId"])
    identity = ids[f"{web}-development"]
    grant(case.world.deployer, OF_IDENTITIES, identityId=identity, projectId=project)
    gone = f"{_members(case)}/identities/{ids[f'{api}-development']}"
    ok(case.world.deployer.delete(gone))
    verified = case.run("verify")
    assert verified.exit_code == 2
    assert "Note: no service was asked what it sees" in verified.stderr
    lines = verified.stdout.splitlines()
    assert (
        f"✗ production/{api}/FAKE can be read by {web}-development, which must not read it" in lines
    )
    assert f"✗ development/{api}/FAKE can't be read by {api}-development, which needs it" in lines


def test_a_manually_made_identity_is_reported_with_what_it_reads(case: Case) -> None:
    case.put("production", f"/{case.services[0]}", ANOTHER="fake")  # none of the plan's
    _join(case, "ci-old", "viewer")
    _join(case, "harmless", "no-access")
    verified = case.run("verify", "--json")
    assert verified.exit_code == 2
    assert _problems(verified) == [
        f"{stage}/{service}, 1 secret, can be read by the identity ci-old, "
        "which the project file does not name"
        for stage in ENVIRONMENTS
        for service in case.services
    ]


def test_an_additional_privilege_counts(case: Case) -> None:
    id = _join(case, "ci-old", "no-access")
    project = str(case.place("production", "/")["projectId"])
    grant(case.world.deployer, OF_IDENTITIES, identityId=id, projectId=project)
    assert [each.split(",")[0] for each in _problems(case.run("verify", "--json"))] == [
        f"production/{service}" for service in case.services
    ]


def test_an_identity_with_a_services_name_is_not_considered_the_service(case: Case) -> None:
    api, _ = case.services
    _join(case, f"{api}-production", "viewer")
    output = _problems(case.run("verify", "--json"))
    assert len(output) == 4
    assert all(
        each.endswith(f"{api}-production, which has the name of a service's but is not its own")
        for each in output
    )


def test_a_manually_added_person_is_reported(case: Case) -> None:
    _join_person(case, "viewer")
    verified = case.run("verify", "--json")
    assert len(_problems(verified)) == 4
    assert (
        f"can be read by the person {_BEN}, whom the project file does not name" in verified.stdout
    )
    (_, note) = json.loads(verified.stdout)["notes"]
    assert note.startswith(f"{_BEN}: judged by roles, and not by privileges: ")


def test_with_the_administrators_login_privileges_of_persons_count(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = _join_person(case, "no-access")
    grant(case.world.admin, _OF_PERSONS, projectMembershipId=seat)
    assert case.run("verify").exit_code == 0
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)
    verified = case.run("verify")
    assert verified.exit_code == 2
    assert verified.stdout.count(f"can be read by the person {_BEN}") == 2
    assert _BEN not in verified.stderr


def test_a_failed_login_of_the_administrator_is_noted(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    _join_person(case, "no-access")
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", "fake-and-wrong")
    verified = case.run("verify")
    assert verified.exit_code == 0
    assert f"Note: {_BEN}: judged by roles, and not by privileges: POST " in verified.stderr
    assert "fake-and-wrong" not in verified.shown


def test_a_person_reads_only_what_the_project_file_grants(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, web = case.services
    content = json.loads(case.workspace_file.read_text(encoding="utf-8"))
    content["people"] = {_BEN: {"production": {f"/{api}": "viewer"}}}
    case.workspace_file.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)
    case.deploy()
    assert case.run("verify").exit_code == 0
    listed = ok(case.world.deployer.get(_members(case)))["memberships"]
    (seat,) = (each["id"] for each in listed if each["user"]["email"] == _BEN)
    grant(case.world.admin, _OF_PERSONS, projectMembershipId=seat)
    assert _problems(case.run("verify", "--json")) == [
        f"production/{web}, 1 secret, can be read by the person {_BEN}, "
        "beyond what the project file gives"
    ]


def test_without_a_list_of_members_nothing_is_verified(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, lambda path, _: path.endswith("/memberships/identities"))
    verified = case.run("verify")
    assert verified.exit_code == 1
    assert verified.stdout == "✗ 4 secrets, 0 problems\n"
    assert "Note: other readers could not be listed: GET " in verified.stderr
    report = json.loads((case.root / "migration-report.json").read_text(encoding="utf-8"))
    assert report["verified_at"] == ""
