"""Test the wording of messages about project and host. Other tests assert codes and facts."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import proof
from infisical_iac.agent.keys import KeysState
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.core.errors import (
    CheckFailed,
    FileError,
    Refused,
    SettingsError,
    UserError,
    agent_failures,
)
from infisical_iac.host.model import MachineState
from infisical_iac.stack import keys
from infisical_iac.workspace import canary
from infisical_iac.workspace.access import describe_access
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.credentials import create, plan
from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import apply_plan, compute_plan
from infisical_iac.workspace.preflight import admin_password, refuse, refuse_unfinished_scaling
from infisical_iac.workspace.reconcile import decide
from infisical_iac.workspace.second_factor import Account, SecondFactors
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.deployment import TEXT, Deployment
from tests.unit.held import DESIRED
from tests.unit.people_deployment import PEOPLE, PeopleDeployment
from tests.unit.workspace_file import DELIVERED, HEAD

if TYPE_CHECKING:
    from infisical_iac.workspace.model import Access


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            HEAD + "servces: {}",
            "line 6, servces: this key is unknown; did you mean 'services'?",
        ),
        (
            HEAD + "services:\n  a:\n    imports: [/shared]",
            "line 7, services.a: has no 'folder'; add its own folder such as `folder: /backend`",
        ),
        (
            HEAD + "services:\n  a: {folder: /a}\n  b: {folder: /a}",
            "line 8, services.b.folder: /a is the folder of 'a' already; give each service its "
            "own, and put what both need into a shared folder",
        ),
        (
            HEAD + "services:\n  a: {folder: /a}\n  a: {folder: /b}",
            "line 8: services.a is in line 7 too; keep one of them",
        ),
        (
            DELIVERED + "      production: {dokploy: {url: 'https://a.example'}}",
            "line 10, services.a.deliver.production.dokploy: write either an application or a "
            "compose here, by its id",
        ),
        (
            "a: 1\n b: 2",
            "line 2: this is not YAML (mapping values are not allowed here); check quotes, colons "
            "and indentation",
        ),
        (
            TEXT.replace("slug: chainalign", f"slug: {canary.SLUG}"),
            "line 2, project.slug: infisical-iac-canary is the canary's; give yours another slug",
        ),
    ],
)
def test_wording_of_a_mistake_in_the_project_file(text: str, sentence: str) -> None:
    with pytest.raises(FileError) as refused:
        load(text)
    assert str(refused.value) == f"the project file, {sentence}"


def test_wording_of_the_purpose_of_a_new_canary() -> None:
    (change,) = canary.due(canary.Canary(), "admin@example.com")
    assert change.detail.endswith(
        "; secret CANARY; proves after upgrades and restores that secrets can be decrypted"
    )


def test_wording_of_a_missing_project_file() -> None:
    with pytest.raises(FileError) as refused:
        load(Path("group_data/acme.yaml"))
    assert str(refused.value) == (
        "there is no file group_data/acme.yaml: change to your repository's directory, write the "
        "file with `infisical-iac init`, or name another one by the command's option or the "
        "setting 'workspace_file'"
    )


def test_wording_of_a_project_with_another_slug() -> None:
    deployment = Deployment()
    deployment.deploy()
    assert deployment.server.project is not None
    deployment.server.project["slug"] = "renamed"
    deployment.remembered = Memory(deployment.remembered.environments)
    (blocked,) = deployment.changes()
    assert blocked.detail == (
        "blocked: the project of the last run now has the slug 'renamed', not 'chainalign' as in "
        "the project file: set the slug back in Infisical, or write the new one into the file"
    )


def test_wording_of_people_with_an_isolation_that_excludes_them() -> None:
    with pytest.raises(UserError) as refused:
        Deployment().changes(PEOPLE, isolation="viewer")
    assert str(refused.value) == (
        "people get their roles as additional privileges, which isolation 'viewer' does not "
        "manage: set isolation to 'privilege' or 'projects', or remove `people` from the "
        "project file"
    )


def test_wording_of_roles() -> None:
    access: Access = {"development": "developer", "production": {"/a": "viewer", "/b": "viewer"}}
    assert describe_access(access) == "developer in development, viewer of /a and /b in production"


def test_wording_of_a_missing_identity() -> None:
    (step,) = plan(DESIRED, {}, {})
    with pytest.raises(UserError) as refused:
        create(Deployment().client, step)
    assert str(refused.value) == (
        "the identity 'backend-production' is not in Infisical yet: run `infisical-iac apply` first"
    )


_MACHINE = MachineState(os="debian", release="13", root=True, systemd=True, free_disk_gb=30.0)


def test_wording_of_a_refused_user_of_the_host() -> None:
    with pytest.raises(Refused) as refused:
        refuse(replace(_MACHINE, root=False), minimum_free_disk_gb=8.0)
    assert str(refused.value) == (
        "the host's user is not root: set INFISICAL_SSH_USER to root or to a user that may use "
        "sudo without a password"
    )


def test_wording_of_a_cluster_host_in_the_inventory_of_a_single_host() -> None:
    with pytest.raises(Refused) as refused:
        refuse_unfinished_scaling(replace(_MACHINE, clustered=True), topology="single")
    assert str(refused.value) == (
        "the host belongs to a cluster, but is a single host in this inventory: name the "
        "inventory of the whole cluster; with it, `infisical-iac scale-in` brings Infisical back "
        "to one host, and `infisical-iac scale-out --undo` undoes a scale-out that failed early"
    )


def test_wording_of_a_weak_password() -> None:
    with pytest.raises(SettingsError) as refused:
        admin_password("short-fake", is_new=True)
    assert str(refused.value) == (
        "INFISICAL_ADMIN_PASSWORD is weak: give at least 20 characters, 8 of them different, or "
        "leave it unset and one is made on the host"
    )


def test_wording_of_a_lost_encryption_key() -> None:
    state = KeysState(database=True, missing=frozenset({"encryption_key"}))
    with pytest.raises(Refused) as refused:
        keys.refuse(state, admin_email="ada@example.com", password_given=False)
    assert str(refused.value) == (
        "/etc/infisical/keys/encryption_key is missing, but the database made with it exists: "
        "restore the file from the recovery kit, as a new key can't decrypt the data"
    )


def test_wording_of_a_public_address_that_no_longer_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(proof, "is_public", lambda *_, **__: False)
    address = PublicAddress("https://secrets.example.com")
    with pytest.raises(CheckFailed) as failed, agent_failures():
        proof.check_opened(FakeRunner(tmp_path), address, Before({}, public=True))
    assert str(failed.value) == ("https://secrets.example.com no longer answers, as it did before")


def test_wording_of_the_record_of_ids() -> None:
    deployment = Deployment()
    deployment.converge()
    goal = deployment.goal(load(TEXT))
    found = read(deployment.client, goal)
    change, _ = decide(replace(goal, memory=Memory()), found, 8080)
    assert str(change) == (
        "~ /etc/infisical/workspace.json: the recorded ids of the project's parts"
    )


def test_wording_of_an_environment_whose_slug_is_taken() -> None:
    deployment = PeopleDeployment()
    deployment.settle(TEXT)
    deployment.server.environment("staging")["slug"] = "uat"
    deployment.server._create_environment({"slug": "staging", "name": "Another"})
    (blocked,) = deployment.plan(TEXT)
    assert str(blocked) == (
        "! environment staging: blocked: its slug is now uat, and another environment has the "
        "slug staging: rename or delete one of them in Infisical"
    )


def test_wording_of_access_that_ends_without_a_second_factor() -> None:
    deployment = PeopleDeployment()
    deployment.settle()
    text = f"{PEOPLE}require_second_factor: {{from: 2027-01-15}}\n"
    accounts = [Account(("ada@example.com",), factor="totp"), Account(("ben@example.com",))]

    def see(day: int) -> tuple[list[str], list[str]]:
        known = SecondFactors(date(2027, 1, day), accounts, unseen="")
        reached = replace(deployment.reach(text), factors=known)
        planned = compute_plan(reached, prune=False)
        apply_plan(reached, planned, lambda _: None)
        return [str(each) for each in planned.due], planned.notes

    change = "~ person ben@example.com: permissions → no access, because a second factor is missing"
    begin = "second factor: ben@example.com has none,"
    assert see(14) == ([], [f"{begin} which ends access on 2027-01-15"])
    assert see(15) == ([change], [f"{begin} so the next `infisical-iac apply` ends access"])
    assert see(16) == (
        [],
        [f"{begin} so no access until one is turned on and `infisical-iac apply` runs"],
    )
