"""Test renaming a service with `renamed_from` in the project file."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from infisical_iac.agent.privileges import PRIVILEGE
from infisical_iac.core.errors import UserError
from infisical_iac.core.journal import Journal
from infisical_iac.workspace import credentials, reconcile
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import apply, list_rename_notes
from infisical_iac.workspace.credential_file import Replaced, Store, parse, render
from infisical_iac.workspace.credentials import Step, plan
from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import remember
from infisical_iac.workspace.model import Workspace
from tests.unit.deployment import TEXT, folder, update
from tests.unit.remembering_deployment import RememberingDeployment, apply_whole
from tests.unit.workspace_file import HEAD

_OLD = "backend: {folder: /backend, imports: [/shared]}"
API = load(TEXT.replace(_OLD, "api: {folder: /backend, renamed_from: backend, imports: [/shared]}"))
API_MOVED = load(
    TEXT.replace(_OLD, "api: {folder: /api, renamed_from: backend, imports: [/shared]}")
)
UNSAID = load(TEXT.replace(_OLD, "api: {folder: /backend, imports: [/shared]}"))
STAGES = ("development", "staging", "production")
RENAMED = [f"~ identity backend-{each}: name backend-{each} → api-{each}" for each in STAGES]


@pytest.fixture
def deployment() -> RememberingDeployment:
    return apply_whole()


def _ids(deployment: RememberingDeployment, service: str) -> list[str]:
    return [deployment.server.identity(f"{service}-{each}")["id"] for each in STAGES]


@pytest.mark.parametrize("remembers", [True, False], ids=["host", "url"])
def test_a_renamed_service_keeps_its_identities(
    deployment: RememberingDeployment, remembers: bool
) -> None:
    if not remembers:
        deployment.memory = Memory()
    ids, privileges = _ids(deployment, "backend"), dict(deployment.server.privileges)
    assert deployment.apply(API) == RENAMED
    assert _ids(deployment, "api") == ids
    assert deployment.server.privileges == privileges
    settled = deployment.plan(API)
    assert (settled.due, settled.foreign, settled.unnamed, settled.left) == ([], [], [], [])
    assert deployment.plan(API, prune=True).due == []


def test_renamed_from_may_be_removed_after_the_rename(deployment: RememberingDeployment) -> None:
    deployment.apply(API)
    settled = deployment.plan(UNSAID, prune=True)
    assert (settled.due, settled.left) == ([], [])


def test_a_new_service_of_the_former_name_gets_its_own_identities(
    deployment: RememberingDeployment,
) -> None:
    deployment.apply(API)
    ids = _ids(deployment, "api")
    both = load(
        TEXT.replace(_OLD, "api: {folder: /backend, imports: [/shared]}\n  backend: {folder: /new}")
    )
    done = deployment.apply(both)
    assert "+ identity backend-staging" in done
    assert not any("api" in each for each in done)
    assert _ids(deployment, "api") == ids


@pytest.mark.parametrize("remembers", [True, False], ids=["host", "url"])
def test_a_killed_rename_is_completed_by_the_next_run(remembers: bool) -> None:
    """The file is small, as each kill takes a separate deployment."""
    small = HEAD + "services:\n  backend: {folder: /backend, imports: [/shared]}"
    before = load(small)
    after = load(
        small.replace("backend: {folder: /backend", "api: {renamed_from: backend, folder: /api")
    )
    whole = 6  # folder, identity and privilege, in two environments
    for died_after in range(1, whole + 1):
        deployment = RememberingDeployment()
        deployment.apply(before)
        id = deployment.server.identity("backend-staging")["id"]
        folder_id = deployment.server.folder_id(_staging(deployment), "/backend")
        if not remembers:
            deployment.memory = Memory()
        due = deployment.plan(after).due
        assert len(due) == whole
        made = apply(deployment.client, due)
        for _ in range(died_after):
            next(made)
        reached = deployment.reach(after)
        assert (
            remember(reached, read(deployment.client, reached)) != deployment.memory
        )  # not done yet
        deployment.apply(after)
        assert deployment.server.identity("api-staging")["id"] == id
        assert deployment.server.folder_id(_staging(deployment), "/api") == folder_id
        assert deployment.plan(after, prune=True).due == []
        assert "backend-staging" not in deployment.memory.identities


def _staging(deployment: RememberingDeployment) -> str:
    return str(deployment.server.environment("staging")["id"])


def test_a_renamed_services_folder_is_renamed_and_keeps_its_contents(
    deployment: RememberingDeployment,
) -> None:
    server, staging = deployment.server, _staging(deployment)
    folder_id = server.folder_id(staging, "/backend")
    done = deployment.apply(API_MOVED)
    assert done[:3] == [update(folder("/api", each), "name", "backend", "api") for each in STAGES]
    assert done[3::2] == RENAMED
    for stage, line in zip(STAGES, done[4::2], strict=True):
        assert line.startswith(f"~ privilege {PRIVILEGE} of api-{stage}: permissions")
        assert f"/api and /shared in {stage}" in line
    assert server.folder_id(staging, "/api") == folder_id
    assert server.folders[staging] == {"/api", "/services", "/services/python", "/shared"}
    assert deployment.plan(API_MOVED, prune=True).due == []


def test_a_service_is_not_renamed_if_the_new_name_of_its_folder_is_taken(
    deployment: RememberingDeployment,
) -> None:
    server, staging = deployment.server, _staging(deployment)
    server.folders[staging].add("/api")
    planned = deployment.plan(API_MOVED)
    (blocked,) = planned.blocked
    assert (blocked.kind, blocked.what) == ("!", folder("/api", "staging"))
    assert "its name is now /backend" in blocked.detail
    deployment.make(API_MOVED, planned)
    assert server.identity("backend-staging")
    assert server.identity("api-production")
    assert deployment.plan(API_MOVED, prune=True).removals == []
    server.rename_folder(staging, "/api", "other")
    assert deployment.apply(API_MOVED)[:2] == [
        update(folder("/api", "staging"), "name", "backend", "api"),
        RENAMED[1],
    ]
    assert deployment.plan(API_MOVED).due == []


def test_a_restored_environment_has_the_folder_of_a_renamed_service(
    deployment: RememberingDeployment,
) -> None:
    staging = _staging(deployment)
    folder_id = deployment.server.folder_id(staging, "/backend")
    deployment.server.delete_environment("staging")
    deployment.apply(API_MOVED)
    assert deployment.server.folder_id(staging, "/api") == folder_id
    assert deployment.plan(API_MOVED).due == []


def test_a_folder_that_another_service_uses_is_not_renamed() -> None:
    text = TEXT.replace(_OLD, _OLD + "\n  worker: {folder: /backend/worker}")
    deployment = RememberingDeployment()
    deployment.apply(load(text))
    moved = "api: {folder: /api, renamed_from: backend}"
    done = deployment.apply(load(text.replace(_OLD, moved)))
    assert "+ folder /api in staging" in done
    assert not any(each.startswith("~ folder") for each in done)


# The steps that follow a rename.


def _rename_notes(deployment: RememberingDeployment, desired: Workspace) -> list[str]:
    return [each for each in deployment.plan(desired).notes if "renamed from" in each]


def test_a_rename_is_noted_with_the_steps_that_follow(deployment: RememberingDeployment) -> None:
    (note,) = _rename_notes(deployment, API_MOVED)
    for fact in ("api, renamed from backend", "`infisical-iac check REPO --fix`", " /api "):
        assert fact in note
    assert "keep `renamed_from` until" in note
    deployment.apply(API_MOVED)
    assert _rename_notes(deployment, API_MOVED) == []
    assert _rename_notes(deployment, UNSAID) == []


def test_an_apply_that_moves_the_files_reports_that_renamed_from_can_be_removed(
    deployment: RememberingDeployment,
) -> None:
    actual = read(deployment.client, deployment.reach(API))
    (note,) = list_rename_notes(API, actual, moves_files=True)
    assert "remove `renamed_from`" in note
    assert "\n" not in note


def test_a_rename_is_noted_once_in_the_plan_of_a_host_and_not_again_by_the_apply(
    deployment: RememberingDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, run = deployment.reach(API_MOVED), Journal()
    saved: list[Memory] = []
    for name, value in {
        "host": SimpleNamespace(name="here", print_prefix=""),
        "journal": SimpleNamespace(current=lambda: run),
        "session": SimpleNamespace(
            deployer=lambda port: deployment.client, administrator=lambda port: deployment.client
        ),
        "read_memory": lambda: deployment.memory,
        "save_memory": saved.append,
    }.items():
        monkeypatch.setattr(reconcile, name, value)
    found = read(deployment.client, reached)
    monkeypatch.setitem(reconcile._latest, "here", found)
    for _ in range(2):
        reconcile._note_renames(reached, found)
    reconcile._converge(reached, 8080)
    assert saved
    assert len(run.notes) == 1
    assert run.operator_notes == []
    reconcile._note_renames(reached, read(deployment.client, deployment.reach(API_MOVED)))
    assert len(run.notes) == 1


# Leftovers of a service that was renamed without `renamed_from`.


def test_credentials_of_a_removed_service_are_reported_with_the_remedy(
    deployment: RememberingDeployment,
) -> None:
    (sentence,) = deployment.plan(UNSAID).left
    for stage in STAGES:
        assert f"backend.{stage}" in sentence
    assert "apply --prune` revokes" in sentence
    assert "`renamed_from: backend`" in sentence
    assert deployment.plan(UNSAID, prune=True).left == deployment.plan(UNSAID).left


def test_a_former_name_has_no_effect_once_the_service_has_identities(
    deployment: RememberingDeployment,
) -> None:
    deployment.apply(UNSAID)
    (gone,) = deployment.plan(UNSAID).left
    assert "apply --prune` revokes" in gone
    assert "renamed_from" not in gone
    planned = deployment.plan(API)
    assert planned.due == []
    (output,) = planned.left
    assert "api already has" in output
    assert "apply --prune` revokes" in output
    assert deployment.plan(API, prune=True).left == []


# Credentials on the host.


def _steps(
    deployment: RememberingDeployment, files: dict[str, str], text: str = "renamed"
) -> list[Step]:
    desired = {"renamed": API, "unsaid": UNSAID, "before": load(TEXT)}[text]
    actual = read(deployment.client, deployment.reach(desired))
    return plan(desired, credentials.holders(deployment.client, actual), files)


class _Died(Exception):
    """The run was killed."""


def _run(
    deployment: RememberingDeployment, files: dict[str, str], text: str = "renamed", lives: int = 99
) -> list[str]:
    """Store credentials as an apply does; die after `lives` files were written or removed."""
    left = [lives]

    def live() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise _Died

    def write(name: str, content: str) -> None:
        live()
        files[name] = content

    def remove(name: str) -> None:
        live()
        files.pop(name, None)

    store = Store("here", lambda: files, write, remove)
    due = [step for step in _steps(deployment, files, text) if not step.is_up_to_date]
    for step in due:
        if step.creates:
            made = credentials.create(deployment.client, step)
            store.write(step.account.credentials, render(made))
        credentials.carry_over(store, step)
        credentials.revoke_orphans(deployment.client, step)
    return [str(step) for step in due]


@pytest.fixture
def files(deployment: RememberingDeployment) -> dict[str, str]:
    """The files of the deployed services."""
    made: dict[str, str] = {}
    _run(deployment, made, "before")
    return made


def test_credentials_are_moved_to_the_new_name(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    before, secrets = dict(files), dict(deployment.server.secrets)
    assert _run(deployment, files) == [
        f"~ credentials backend.{each}: name backend.{each} → api.{each}" for each in STAGES
    ]
    assert files == {name.replace("backend.", "api."): text for name, text in before.items()}
    assert deployment.server.secrets == secrets
    assert _run(deployment, files) == []


def test_a_client_secret_is_recognized_without_renamed_from(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    deployment.apply(API)
    _run(deployment, files)
    assert _run(deployment, files, "unsaid") == []
    assert deployment.plan(UNSAID).foreign == []


def test_an_interrupted_move_of_files_is_completed_by_the_next_run(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    whole = dict(files)
    desired = {name.replace("backend.", "api."): text for name, text in whole.items()}
    for lives in range(6):
        now = dict(whole)
        with pytest.raises(_Died):
            _run(deployment, now, lives=lives)
        assert whole.keys() - now.keys() <= {"backend.development", "backend.staging"}
        assert {*whole.values()} == {*now.values()}
        _run(deployment, now)
        assert now == desired


def test_credentials_that_do_not_work_are_replaced_and_removed(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    files["backend.staging"] = files["backend.staging"].replace("fake-value", "fake-valuE")
    assert _run(deployment, files)[1].split(", ")[:2] == [
        "+ credentials api.staging",
        "- credentials backend.staging",
    ]
    assert "backend.staging" not in files
    assert parse(files["api.staging"])


def test_a_file_of_another_identity_stays(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    deployment.apply(UNSAID)
    assert _run(deployment, files) == [f"+ credentials api.{each}" for each in STAGES]
    assert {f"backend.{each}" for each in STAGES} <= files.keys()


def test_an_unfinished_rotation_continues_under_the_new_name(
    deployment: RememberingDeployment, files: dict[str, str]
) -> None:
    held = parse(files["backend.staging"])
    assert held
    replaced = replace(held, replaced=Replaced(("obviously-fake",)))
    files["backend.staging"] = render(replaced)
    _run(deployment, files)
    assert parse(files["api.staging"]) == replaced


# Refused files.

_A = HEAD + "services:\n  a: {folder: /a, renamed_from: "
_REFUSED = {
    _A + "a}": "line 7, services.a.renamed_from: 'a' is its name now",
    _A + "b}\n  b: {folder: /b}": "'b' is a service of this file; remove that service",
    _A + "c}\n  b: {folder: /b, renamed_from: c}": (
        "line 8, services.b.renamed_from: 'a' was renamed from 'c' too"
    ),
    _A + "/b}": "services.a.renamed_from: '/b' is not a slug",
    _A + "[b, c]}": "services.a.renamed_from: write text, in quotes if needed",
    HEAD + "services:\n  a: {folder: /a, renamed: b}": "did you mean 'renamed_from'?",
}


@pytest.mark.parametrize("text", _REFUSED)
def test_an_impossible_former_name_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refused:
        load(text)
    assert _REFUSED[text] in str(refused.value)
    assert str(refused.value).count("line") <= 2


def test_a_former_identity_that_another_service_has_is_refused() -> None:
    text = (
        "project: {name: A, slug: abcde}\n"
        "environments: [{slug: b-c, name: BC}, {slug: c, name: C}]\n"
        "services:\n  z: {folder: /a, renamed_from: a}\n  a-b: {folder: /ab}\n"
    )
    with pytest.raises(UserError, match=r"was named 'a-b-c', like that of 'a-b\.c'; rename"):
        load(text)
