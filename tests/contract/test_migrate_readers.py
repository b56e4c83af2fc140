"""Test that `infisical-iac migrate verify` lists other readers of migrated values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from .migrating import ENVIRONMENTS, OF_IDENTITIES, Case, Ran, deploy_case, grant, refuse
from .world import EMAIL, PASSWORD, make_identity, ok

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

_OF_PERSONS = "/api/v1/user-project-additional-privilege"
_BEN = "ben@example.com"


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """Services that read their own folders, in a project without other members."""
    return deploy_case(world, tmp_path)


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


_FOREIGN_READ = re.compile(r"(\S+), (\d+) secrets?, can be read by the (\w+) (\S+), ")


def _foreign_reads(ran: Ran) -> list[tuple[str, int, str, str]]:
    """Return place, number of secrets, kind and name of each unintended reader."""
    found = [_FOREIGN_READ.match(each) for each in _problems(ran)]
    assert None not in found, ran.stdout
    return [(each[1], int(each[2]), each[3], each[4]) for each in found if each]


def _part(ran: Ran, name: str) -> str:
    """Return the part of a reader in the project file."""
    (part,) = (each["part"] for each in json.loads(ran.stdout)["readers"] if each["name"] == name)
    return str(part)


def test_required_readers_are_listed_without_a_problem(case: Case) -> None:
    verified = case.run("verify", "--json")
    assert verified.exit_code == 0, verified.output
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
    (note,) = (each for each in verified.stderr.splitlines() if each.startswith("Note: "))
    assert "--credentials" in note
    for fact in (
        f"✗ production/{api}/FAKE can be read by {web}-development, ",
        f"✗ development/{api}/FAKE can't be read by {api}-development, ",
    ):
        assert verified.stdout.count(fact) == 1


def test_a_manually_made_identity_is_reported_with_what_it_reads(case: Case) -> None:
    case.put("production", f"/{case.services[0]}", ANOTHER="fake")  # not in the plan
    _join(case, "ci-old", "viewer")
    _join(case, "harmless", "no-access")
    verified = case.run("verify", "--json")
    assert verified.exit_code == 2
    assert _foreign_reads(verified) == [
        (f"{stage}/{service}", 1, "identity", "ci-old")
        for stage in ENVIRONMENTS
        for service in case.services
    ]
    assert _part(verified, "ci-old") == "other"
    assert all("does not name" in each for each in _problems(verified))


def test_an_additional_privilege_makes_an_identity_a_reader(case: Case) -> None:
    id = _join(case, "ci-old", "no-access")
    project = str(case.place("production", "/")["projectId"])
    grant(case.world.deployer, OF_IDENTITIES, identityId=id, projectId=project)
    assert [each.split(",")[0] for each in _problems(case.run("verify", "--json"))] == [
        f"production/{service}" for service in case.services
    ]


def test_an_identity_with_a_services_name_is_not_considered_the_service(case: Case) -> None:
    api, _ = case.services
    _join(case, f"{api}-production", "viewer")
    verified = case.run("verify", "--json")
    assert [each[1:] for each in _foreign_reads(verified)] == [
        (1, "identity", f"{api}-production")
    ] * 4
    assert all("name of a service's" in each for each in _problems(verified))


def test_a_manually_added_person_is_reported(case: Case) -> None:
    _join_person(case, "viewer")
    verified = case.run("verify", "--json")
    assert [each[1:] for each in _foreign_reads(verified)] == [(1, "person", _BEN)] * 4
    assert _part(verified, _BEN) == "other"
    assert all("who is not in" in each for each in _problems(verified))
    (_, note) = json.loads(verified.stdout)["notes"]
    assert note.startswith(f"{_BEN}: judged by roles only, ")
    assert "INFISICAL_ADMIN_PASSWORD" in note


def test_with_the_administrators_login_privileges_of_persons_count(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = _join_person(case, "no-access")
    grant(case.world.admin, _OF_PERSONS, projectMembershipId=seat)
    assert case.run("verify").exit_code == 0
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)
    verified = case.run("verify")
    assert verified.exit_code == 2
    assert verified.stdout.count(f"read by the person {_BEN}, ") == 2
    assert _BEN not in verified.stderr


def test_a_failed_login_of_the_administrator_is_noted(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    _join_person(case, "no-access")
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", "fake-and-wrong")
    verified = case.run("verify")
    assert verified.exit_code == 0
    (_, note) = (each for each in verified.stderr.splitlines() if each.startswith("Note: "))
    assert note.startswith(f"Note: {_BEN}: judged by roles only, ")
    assert "privileges: POST /api/" in note
    assert "fake-and-wrong" not in verified.output


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
    verified = case.run("verify", "--json")
    assert _foreign_reads(verified) == [(f"production/{web}", 1, "person", _BEN)]
    assert _part(verified, _BEN) == "named"
    assert all("more than" in each for each in _problems(verified))


def test_without_a_list_of_members_nothing_is_verified(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, lambda path, _: path.endswith("/memberships/identities"))
    verified = case.run("verify")
    assert verified.exit_code == 1
    assert verified.stdout == "✗ 4 secrets, 0 problems\n"
    (_, note) = (each for each in verified.stderr.splitlines() if each.startswith("Note: "))
    assert "could not be listed" in note
    assert "/memberships/identities was answered 403 " in note
    report = json.loads((case.root / "migration-report.json").read_text(encoding="utf-8"))
    assert report["verified_at"] == ""
