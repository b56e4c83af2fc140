"""Test that with the isolation `projects` each service and folder has a project of its own."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, closing
from datetime import date
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import identities
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.workspace.memory import locate, parse, render
from infisical_iac.workspace.moving import refuse_unenforced
from infisical_iac.workspace.second_factor import PREFIX, Account, SecondFactors

from .conftest import REAL
from .first import EMAIL, set_up
from .items import Expected
from .projects import ADA, API, BEN, MOST_CUTS, NAMES_JOB, Projects, file, is_cut, on
from .services import RedisServer, Standin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .postgres import Postgres

pytestmark = pytest.mark.real

_EVERY = [
    f"acme-co-{name}-{stage}" for name in ("api", "shared", "web") for stage in ("live", "staging")
]


@pytest.fixture(scope="module")
def deployed(request: pytest.FixtureRequest) -> Iterator[Projects]:
    """A deployment on a release that has no privileges, or on the real one."""
    with ExitStack() as opened:
        if REAL in os.environ:
            made = opened.enter_context(on(request.getfixturevalue("world"), "projects"))
        else:
            postgres: Postgres = request.getfixturevalue("postgres")
            redis_server: RedisServer = request.getfixturevalue("redis_server")
            uri, url = postgres.create_database("projects"), redis_server.url_for("projects")
            settings = {"STANDIN_PERMISSION_CACHE_SECONDS": "0", "STANDIN_PRIVILEGES": "lost"}
            standin = opened.enter_context(closing(Standin(uri, url, **settings).wait()))
            anyone = opened.enter_context(Client(standin.url))
            organization, *credentials = set_up(anyone)
            deployer = login.universal(anyone, *credentials)
            made = Projects(deployer, anyone, credentials[0], organization)
        made.apply()
        yield made


@pytest.fixture
def project(deployed: Projects) -> Iterator[Projects]:
    """The deployment, which each test leaves as the file says."""
    yield deployed
    deployed.content = file()
    if deployed.plan(prune=True).due:
        deployed.apply(prune=True)
        left = deployed.plan()
        assert (left.due, left.foreign) == ([], [])


def test_an_apply_makes_one_project_for_each_folder_and_another_changes_nothing(
    project: Projects,
) -> None:
    assert project.slugs() == _EVERY
    assert project.plan().due == []
    assert project.foreign() == []
    assert parse(render(project.memory)) == project.memory


def test_an_identity_reads_its_own_project_and_those_of_its_imports_and_no_other(
    project: Projects,
) -> None:
    for key in ("api.live", "api.staging", "web.live", "/shared.live", "/shared.staging"):
        project.write(key, "KEY")
    reader = project.log_in("api-live")
    seen = [key for key in ("api.live", "/shared.live") if _reads(reader, project.at(key))]
    assert seen == ["api.live", "/shared.live"]
    for key in ("api.staging", "web.live", "/shared.staging"):
        with pytest.raises(ApiError) as refused:
            _reads(reader, project.at(key))
        assert refused.value.status == 403
    for key in ("api.live", "api.staging", "web.live", "/shared.live", "/shared.staging"):
        project.deployer.delete("/api/v4/secrets/KEY", json=project.at(key))


def _reads(client: Client, at: dict[str, str]) -> bool:
    listed = client.get("/api/v4/secrets", params=at)["secrets"]
    return [each["secretKey"] for each in listed] == ["KEY"]


def _rename(made: Projects) -> None:
    made.deployer.patch(f"{API}/{made.id_of('api.live')}", json={"slug": "quite-another"})


def _unprotect(made: Projects) -> None:
    body = {"name": "Acme api Live", "hasDeleteProtection": False}
    made.deployer.patch(f"{API}/{made.id_of('api.live')}", json=body)


def _end_seat(made: Projects) -> None:
    id = made.memory.identities["api-live"]
    made.deployer.delete(f"{API}/{made.id_of('/shared.live')}/memberships/identities/{id}")


def _raise_seat(made: Projects) -> None:
    id = made.memory.identities["api-live"]
    path = f"{API}/{made.id_of('api.live')}/memberships/identities/{id}"
    made.deployer.patch(path, json={"roles": [{"role": "admin", "isTemporary": False}]})


def _join_another(made: Projects) -> None:
    id = made.memory.identities["web-live"]
    path = f"{API}/{made.id_of('api.live')}/memberships/identities/{id}"
    made.deployer.post(path, json={"roles": [{"role": "viewer", "isTemporary": False}]})


def _drop_environment(made: Projects) -> None:
    id = made.id_of("web.live")
    (environment,) = made.deployer.get(f"{API}/{id}")["project"]["environments"]
    made.deployer.delete(f"{API}/{id}/environments/{environment['id']}")


def _rename_folder(made: Projects) -> None:
    at = {"projectId": made.id_of("web.live"), "environment": "live", "path": "/"}
    (folder,) = made.deployer.get("/api/v2/folders", params=at)["folders"]
    made.deployer.patch(f"/api/v2/folders/{folder['id']}", json={**at, "name": "moved"})


def _lose_admin(made: Projects) -> None:
    path = f"{API}/{made.id_of('web.live')}/memberships"
    (person,) = made.deployer.get(path)["memberships"]
    made.deployer.delete(f"{path}/{person['id']}")


DRIFTS: dict[str, tuple[Callable[[Projects], None], Expected]] = {
    "slug": (_rename, Expected("~", "project acme-co-api-live", "quite-another")),
    "protection": (_unprotect, Expected("~", "project acme-co-api-live", "protection")),
    "seat": (
        _end_seat,
        Expected("+", "project membership of api-live of project acme-co-shared-live", "viewer"),
    ),
    "role": (
        _raise_seat,
        Expected("~", "project membership of api-live of project acme-co-api-live", "admin"),
    ),
    "another service": (
        _join_another,
        Expected("-", "project membership of web-live of project acme-co-api-live", "viewer"),
    ),
    "environment": (
        _drop_environment,
        Expected("~", "environment live of project acme-co-web-live", "restored"),
    ),
    "folder": (
        _rename_folder,
        Expected("~", "folder /web in live of project acme-co-web-live", "moved"),
    ),
    "administrator": (
        _lose_admin,
        Expected("+", f"project member {EMAIL} of project acme-co-web-live", "admin"),
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_a_manual_change_is_planned_and_repaired(project: Projects, name: str) -> None:
    cause, expected = DRIFTS[name]
    cause(project)
    assert project.plan().due == [expected]
    assert project.apply() == [expected]


def test_a_stranger_in_one_project_is_reported_with_its_project_and_pruned(
    project: Projects,
) -> None:
    body = {"name": "ci", "organizationId": project.organization, "role": "no-access"}
    id = project.deployer.post("/api/v1/identities", json=body)["identity"]["id"]
    roles = {"roles": [{"role": "viewer", "isTemporary": False}]}
    path = f"{API}/{project.id_of('api.live')}/memberships/identities/{id}"
    project.deployer.post(path, json=roles)
    what = "identity ci with role viewer in acme-co-api-live"
    assert project.foreign() == [what]
    project.content["accepted"] = [{"what": what, "reason": "a test"}]
    assert project.foreign() == []
    del project.content["accepted"]
    assert project.apply(prune=True) == [Expected("-", what, "membership")]


def test_a_service_that_ends_an_import_leaves_the_shared_project(project: Projects) -> None:
    project.content["services"]["api"]["imports"] = []
    assert project.apply() == [
        Expected(
            "-", f"project membership of api-{stage} of project acme-co-shared-{stage}", "viewer"
        )
        for stage in ("staging", "live")
    ]


def test_a_renamed_service_keeps_its_projects_secrets_and_identities(project: Projects) -> None:
    project.write("web.live", "KEPT")
    before = project.id_of("web.live"), project.memory.identities["web-live"]
    services = project.content["services"]
    services["front"] = {"folder": "/front", "renamed_from": "web"}
    del services["web"]
    changes = project.apply()
    assert project.plan().due == []
    assert [str(each) for each in changes if each.kind != "~"] == []
    assert (project.id_of("front.live"), project.memory.identities["front-live"]) == before
    at = project.at("front.live")
    listed = project.deployer.get("/api/v4/secrets", params=at)["secrets"]
    assert [each["secretKey"] for each in listed] == ["KEPT"]
    project.content["services"]["web"] = {"folder": "/web", "renamed_from": "front"}
    del project.content["services"]["front"]
    project.apply()
    project.deployer.delete("/api/v4/secrets/KEPT", json=project.at("web.live"))


def test_projects_of_a_removed_service_are_removed_by_a_prune_after_their_name(
    project: Projects,
) -> None:
    project.content["services"]["job"] = {"folder": "/job"}
    project.apply()
    project.write("job.live", "KEY")
    del project.content["services"]["job"]
    assert project.apply() == []
    plan = project.plan(prune=True)
    removed = {each.change.what: each.name for each in plan.removals}
    assert removed == {
        "identity job-live": "",
        "identity job-staging": "",
        "project acme-co-job-live": "acme-co-job-live",
        "project acme-co-job-staging": "",
    }
    project.apply(prune=True)
    assert project.slugs() == _EVERY
    assert "job.live" not in project.memory.parts


def test_a_project_that_nobody_made_here_is_left_alone(project: Projects) -> None:
    body = {"projectName": "Other", "slug": "acme-co-other-live", "shouldCreateDefaultEnvs": False}
    made = project.deployer.post(API, json=body)["project"]["id"]
    assert project.apply(prune=True) == []
    assert "acme-co-other-live" in project.slugs()
    project.deployer.delete(f"{API}/{made}")


def test_people_become_members_of_the_projects_of_their_folders(project: Projects) -> None:
    project.content["people"] = {
        ADA: "admin",
        BEN: {"staging": "developer", "live": {"/api": "viewer"}},
    }
    project.apply()
    assert project.plan().due == []
    assert _roles(project, BEN) == {
        "acme-co-api-live": "viewer",
        "acme-co-api-staging": "member",
        "acme-co-shared-staging": "member",
        "acme-co-web-staging": "member",
    }
    assert _roles(project, ADA) == dict.fromkeys(_EVERY, "admin")
    project.content["people"][BEN] = {"staging": "viewer"}
    project.apply()
    assert _roles(project, BEN)["acme-co-api-live"] == "no-access"
    del project.content["people"]
    assert len(project.foreign()) == len(_EVERY) + 4


def _roles(made: Projects, email: str) -> dict[str, str]:
    found = {}
    for each in made.projects():
        for member in made.deployer.get(f"{API}/{each['id']}/memberships")["memberships"]:
            if member["user"]["email"] == email:
                found[each["slug"]] = member["roles"][0]["role"]
    return dict(sorted(found.items()))


def test_a_person_without_a_required_second_factor_has_no_access_to_any_project(
    project: Projects,
) -> None:
    project.content["people"] = {BEN: {"staging": "developer"}}
    project.apply()
    project.content["require_second_factor"] = {"from": "2026-01-01", "grace_days": 0}
    lacking = SecondFactors(date.max, [Account((BEN,))], unseen="")
    project.factors = lacking
    assert {each.what for each in project.apply()} == {
        f"person {BEN} of project {slug}" for slug in _EVERY if slug.endswith("staging")
    }
    assert {*_roles(project, BEN).values()} == {"no-access"}
    planned = project.plan()
    assert planned.due == []
    (note,) = (each for each in planned.notes if each.startswith(PREFIX))
    assert note.endswith("runs")
    project.factors = SecondFactors(date.max, [Account((BEN,), factor="totp")], unseen="")
    project.apply()
    assert {*_roles(project, BEN).values()} == {"member"}
    project.factors = SecondFactors()


def test_a_job_that_sees_names_is_blocked_only_where_there_are_no_privileges(
    project: Projects,
) -> None:
    project.content["ci"] = NAMES_JOB
    project.apply()
    planned = project.plan()
    assert planned.due == []
    assert [each.what for each in planned.blocked] == (
        [] if REAL in os.environ else ["access of ci-check"]
    )
    _end_seat(project)
    (repaired,) = project.apply()
    assert repaired.what.startswith("project membership of api-live")


def test_a_role_on_a_part_of_a_folder_is_refused(project: Projects) -> None:
    project.content["people"] = {ADA: {"live": {"/api/inner": "viewer"}}}
    with pytest.raises(UserError) as refused:
        project.plan()
    assert refused.value.code == "error.people_isolation"
    words = re.findall(r"[\w@./-]+", str(refused.value))
    assert {ADA, "/api/inner", "live", "projects"} <= {each.rstrip(".") for each in words}


@pytest.mark.skipif(REAL in os.environ, reason="the real release has privileges")
def test_a_move_to_privileges_is_refused_where_none_are_enforced(project: Projects) -> None:
    with pytest.raises(CheckFailed) as refused:
        refuse_unenforced(project.reach(), "privilege")
    assert refused.value.code == "checks.isolation"
    assert project.slugs() == _EVERY


def test_an_apply_that_is_cut_at_any_change_is_completed_by_the_next(project: Projects) -> None:
    project.clear()
    cuts = 0
    while cuts < MOST_CUTS and is_cut(project, lambda made: made.apply()):
        cuts += 1
    assert 20 < cuts < MOST_CUTS
    assert project.slugs() == _EVERY
    own = identities.organization_id(project.deployer)
    everybody = [each["name"] for each in identities.everybody(project.deployer, own)]
    names = project.desired.identities()
    assert sorted(each for each in everybody if each in names) == sorted(names)
    project.memory = parse("")
    assert project.plan().due == []


def test_a_shared_folder_that_the_file_no_longer_names_is_read_by_no_service(
    project: Projects,
) -> None:
    project.apply()  # The test before has left no memory.
    project.content["shared_folders"] = []
    project.content["services"]["api"]["imports"] = []
    assert project.apply() == [
        Expected(
            "-", f"project membership of api-{stage} of project acme-co-shared-{stage}", "viewer"
        )
        for stage in ("staging", "live")
    ]
    assert project.plan().due == []


def test_a_narrowed_role_counts_in_a_project_that_the_file_no_longer_names(
    project: Projects,
) -> None:
    project.content["services"]["job"] = {"folder": "/job"}
    project.content["people"] = {BEN: {"staging": "developer"}}
    project.apply()
    del project.content["services"]["job"]
    assert project.plan().due == []
    project.content["people"] = {BEN: {"live": "viewer"}}
    project.apply()
    assert project.plan().due == []
    roles = _roles(project, BEN)
    assert roles["acme-co-job-staging"] == "no-access"
    assert "acme-co-job-live" not in roles


def test_a_project_of_others_with_the_slug_of_a_new_service_is_not_taken_over(
    project: Projects,
) -> None:
    body = {"projectName": "Trap", "slug": "acme-co-job-live", "shouldCreateDefaultEnvs": False}
    trap = project.deployer.post(API, json=body)["project"]["id"]
    body = {"name": "spy", "organizationId": project.organization, "role": "no-access"}
    spy = project.deployer.post("/api/v1/identities", json=body)["identity"]["id"]
    roles = {"roles": [{"role": "admin", "isTemporary": False}]}
    project.deployer.post(f"{API}/{trap}/memberships/identities/{spy}", json=roles)
    project.content["services"]["job"] = {"folder": "/job"}
    (blocked,) = project.plan().blocked
    assert "acme-co-job-live" in str(blocked)
    project.apply()
    assert "job.live" not in project.memory.parts
    assert "job.staging" in project.memory.parts
    seats = project.deployer.get(f"{API}/{trap}/memberships/identities")["identityMemberships"]
    assert "job-live" not in {each["identity"]["name"] for each in seats}
    with pytest.raises(UserError) as refused:
        locate(project.deployer, project.reach())
    assert refused.value.code == "error.no_project"
    project.deployer.delete(f"{API}/{trap}/memberships/identities/{spy}")
    project.apply()
    assert project.plan().due == []
    assert project.memory.parts["job.live"].project == trap
    body = {"name": "Trap", "hasDeleteProtection": False}
    project.deployer.patch(f"{API}/{trap}", json=body)
    project.deployer.delete(f"{API}/{trap}")
    project.deployer.delete(f"/api/v1/identities/{spy}")
