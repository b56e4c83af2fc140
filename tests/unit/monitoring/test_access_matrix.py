"""Test who may do what with each folder, against the Infisical in memory."""

from dataclasses import replace

import pytest

from infisical_iac.agent.identities import Identity
from infisical_iac.monitoring.access_matrix import (
    AccessHolder,
    Cell,
    FolderPlace,
    list_holders,
    tabulate,
)
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.foreign import AccessState
from infisical_iac.workspace.load import load
from infisical_iac.workspace.state import AccountState, Actual, ProjectState
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.pages import MANY, build_report
from tests.unit.people_deployment import PEOPLE

_BACKEND = FolderPlace("production", "/backend")
_SHARED = FolderPlace("production", "/shared")
_PYTHON = FolderPlace("production", "/services/python")


def _named(text: str = PEOPLE) -> dict[str, AccessHolder]:
    return {each.name: each for each in build_report(text).holders}


@pytest.mark.parametrize(
    ("name", "backend", "shared", "python"),
    [
        (ADMIN, "manages", "manages", "manages"),
        ("infisical-iac-deployer", "manages", "manages", "manages"),
        ("ada@example.com", "manages", "manages", "manages"),
        ("ben@example.com", "reads", "reads", ""),
        ("cy@example.com", "", "", ""),
        ("backend-production", "reads", "reads", ""),
        ("backend-staging", "", "", ""),
        ("python-service-production", "", "", "reads"),
    ],
)
def test_the_server_gives_what_the_file_says(
    name: str, backend: str, shared: str, python: str
) -> None:
    holder = _named()[name]
    cells = [holder.cell(each) for each in (_BACKEND, _SHARED, _PYTHON)]
    assert cells == [Cell(backend), Cell(shared), Cell(python)]  # type: ignore[arg-type]
    assert len(holder.actual) == 9
    assert [*holder.differences()] == []


def test_an_identity_that_the_file_does_not_name_differs_everywhere() -> None:
    stranger = _named()["ci-runner"]
    assert stranger.cell(_BACKEND) == Cell("reads", differs=True)
    assert "project file" in stranger.note


def test_accepted_access_has_its_reason_and_does_not_differ() -> None:
    accepted = "accepted: [{what: identity ci-runner with role viewer, reason: previews}]"
    stranger = _named(f"{PEOPLE}\n{accepted}")["ci-runner"]
    assert stranger.cell(_BACKEND) == Cell("reads")
    assert stranger.note.endswith("previews")


def test_a_privilege_that_somebody_changed_differs() -> None:
    report = build_report()
    assert report.access
    goal, actual, access = report.access
    name, other = "backend-production", actual.accounts["backend-staging"]
    account = replace(actual.accounts[name], privileges=other.privileges)
    changed = replace(actual, accounts={**actual.accounts, name: account})
    holders = list_holders(goal.desired, ADMIN, (goal, changed, access))
    (holder,) = (each for each in holders if each.name == name)
    assert holder.cell(_BACKEND) == Cell("", differs=True)
    assert holder.cell(FolderPlace("staging", "/backend")) == Cell("reads", differs=True)
    assert len([*holder.differences()]) == 4


def test_without_a_server_the_matrix_shows_the_access_in_the_file() -> None:
    holders = {each.name: each for each in list_holders(load(PEOPLE), ADMIN, None)}
    assert holders["ben@example.com"].cell(_BACKEND) == Cell("reads")
    assert holders["backend-production"].actual == {}


def test_a_job_sees_names_everywhere_or_values_where_the_file_says() -> None:
    claims = "auth: {github: {repository: acme/backend}}"
    text = f"{TEXT}\nci:\n  check: {{sees: names, {claims}}}\n  build:\n    {claims}\n"
    text += "    sees: {production: [/backend]}"
    holders = {each.name: each for each in list_holders(load(text), ADMIN, None)}
    assert holders["ci-check"].cell(_PYTHON) == Cell("names")
    assert [holders["ci-build"].cell(each).level for each in (_BACKEND, _SHARED, _PYTHON)] == [
        "reads",
        "reads",
        "",
    ]


def test_with_isolation_by_role_a_service_reads_the_folders_of_others() -> None:
    deployment = Deployment()
    deployment.deploy(TEXT, "viewer")
    goal = deployment.goal(load(TEXT), "viewer")
    seen = (goal, read(deployment.client, goal), AccessState())
    holders = {each.name: each for each in list_holders(goal.desired, ADMIN, seen)}
    assert holders["backend-production"].cell(_PYTHON) == Cell("reads")


def test_with_a_project_for_each_folder_its_members_have_access() -> None:
    """The project of /shared is missing, so the matrix shows the file's access there."""
    goal = Deployment().goal(load(TEXT), "projects")
    identity = Identity("1", "backend-production", "no-access")
    member = AccountState(identity, roles=("viewer",))
    parts = {
        "backend.production": Actual(
            "", project=ProjectState("p"), accounts={identity.name: member}
        ),
        "python-service.production": Actual(
            "", project=ProjectState("q"), accounts={identity.name: replace(member, roles=None)}
        ),
    }
    seen = (goal, Actual("", parts=parts), AccessState())
    holders = {each.name: each for each in list_holders(goal.desired, ADMIN, seen)}
    backend = holders["backend-production"]
    assert backend.actual == {_BACKEND: "reads", _PYTHON: ""}
    assert backend.cell(_SHARED) == Cell("reads")
    assert [*backend.differences()] == []


def test_a_table_has_a_few_folders_and_only_those_with_access_to_them() -> None:
    text = PEOPLE.replace("services:", f"services:{MANY}")
    tables = tabulate(load(text), list_holders(load(text), ADMIN, None))
    assert len(tables) == 3 * 3
    assert max(len(each.folders) for each in tables) == 8
    names = {holder.name for holder, _ in tables[0].rows}
    assert "service-0-development" in names
    assert "service-0-staging" not in names
    assert "service-9-development" not in names
