"""Test that the canary is made, read and repaired, next to the project of a project file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from infisical_iac.agent import contents, identities
from infisical_iac.agent.canary import CANARY_FILE, CanaryRun, CanaryTarget, run_canary
from infisical_iac.agent.runner import Runner
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.core.errors import CheckFailed
from infisical_iac.workspace import canary
from infisical_iac.workspace.canary import CanaryLogin
from infisical_iac.workspace.converge import apply

from .first import EMAIL, PASSWORD, Deployer, set_up
from .items import Expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_iac.workspace.state import ApiChange

    from .services import Standin

_FILE = Path(__file__).resolve().parents[2] / "group_data" / "chainalign.yaml"


@pytest.fixture
def organization_admin(standin: Standin) -> Deployer:
    """An admin of the organization, on a new instance."""
    with Client(standin.url) as client:
        return set_up(client)


@pytest.fixture
def deployer(standin: Standin, organization_admin: Deployer) -> Iterator[Client]:
    """A client with the deployer's token."""
    with Client(standin.url) as client:
        yield login.universal(
            client, organization_admin.client_id, organization_admin.client_secret
        )


def _keep(client: Client) -> list[ApiChange]:
    """Make and repair the canary, and return the changes that were made."""
    due = canary.due(canary.observe(client, EMAIL), EMAIL)
    return list(apply(client, due))


def test_the_canary_is_made_read_and_repaired(deployer: Client) -> None:
    assert not canary.is_alive(deployer)
    assert len(_keep(deployer)) == 1
    assert canary.is_alive(deployer)
    assert _keep(deployer) == []
    project = contents.project(deployer, canary.SLUG)
    assert project is not None
    assert "upgrades" in project["description"]  # people see what it is for
    place = {"projectId": project["id"], "environment": "prod", "secretPath": "/"}
    deployer.patch("/api/v4/secrets/CANARY", json={**place, "secretValue": "dead"})
    with pytest.raises(CheckFailed, match="altered"):
        canary.is_alive(deployer)
    assert _keep(deployer) == [Expected("~", "canary", "CANARY", "altered → alive")]
    deployer.delete("/api/v4/secrets/CANARY", json=place)
    assert _keep(deployer) == [Expected("~", "canary", "secret CANARY")]
    (environment,) = project["environments"]
    deployer.delete(f"/api/v1/projects/{project['id']}/environments/{environment['id']}")
    assert not canary.is_alive(deployer)
    assert _keep(deployer) == [Expected("~", "canary", "prod", "deleted → restored")]
    assert canary.is_alive(deployer)
    assert _keep(deployer) == []


# The fields of the canary's secret with the value that the test writes, and the lines of the next
# plan. There are no lines if the canary's text can still be read.
EDITS: dict[str, tuple[object, list[str]]] = {
    "secretValue": ("dead", ["~ canary: secret CANARY: altered → alive"]),
    "newSecretName": ("RENAMED", ["~ canary: secret CANARY"]),
    "skipMultilineEncoding": (True, []),
    "tagIds": ([], []),
    "metadata": ({"fake": "words"}, []),
    "secretMetadata": ([{"key": "fake", "value": "words"}], []),
    "secretReminderNote": ("fake words", []),
    "secretReminderRepeatDays": (30, []),
    "secretReminderRecipients": ([], []),
    "secretComment": ("fake words", []),
    # The field selects the secret: a write to a missing personal secret creates none.
    "type": ("shared", []),
}


def test_each_field_of_the_canarys_secret_is_repaired_or_does_not_matter(deployer: Client) -> None:
    text = (Path(__file__).parent / "writable.json").read_text(encoding="utf-8")
    assert set(json.loads(text)["secret"]) == EDITS.keys()
    _keep(deployer)
    project = contents.project(deployer, canary.SLUG)
    assert project is not None
    place = {"projectId": project["id"], "environment": "prod", "secretPath": "/"}
    for field, (value, lines) in EDITS.items():
        deployer.patch("/api/v4/secrets/CANARY", json={**place, field: value})
        assert [str(each) for each in _keep(deployer)] == lines, field
        assert _keep(deployer) == []
        assert canary.is_alive(deployer)


def test_the_administrator_can_read_the_canary_too(standin: Standin, deployer: Client) -> None:
    _keep(deployer)
    with Client(standin.url) as client:
        assert canary.is_alive(login.password(client, EMAIL, PASSWORD))


def test_no_command_on_the_project_sees_the_canary(
    standin: Standin, organization_admin: Deployer, deployer: Client
) -> None:
    variables = {
        "INFISICAL_API_URL": standin.url,
        "INFISICAL_CLIENT_ID": organization_admin.client_id,
        "INFISICAL_CLIENT_SECRET": organization_admin.client_secret,
        "INFISICAL_ADMIN_EMAIL": EMAIL,
        "INFISICAL_ADMIN_PASSWORD": PASSWORD,
    }

    def run_command(*arguments: str) -> str:
        done = CliRunner(env=variables).invoke(main, [*arguments, "--project-file", str(_FILE)])
        assert done.exit_code in (0, 2), done.output
        return done.output

    looks = [
        ("workspace", "plan", "--json", "--prune"),
        ("credentials", "list", "--json"),
    ]
    assert json.loads(run_command(*looks[0]))["changes"]
    run_command("workspace", "apply", "--yes")
    without = [run_command(*look) for look in looks]
    assert contents.project(deployer, canary.SLUG) is None
    _keep(deployer)
    assert [run_command(*look) for look in looks] == without


class _Host(Runner):
    """A host with the file of the canary's login only."""

    def __init__(self, login: CanaryLogin) -> None:
        super().__init__(Path("/none"))
        self.login = login

    def text(self, path: str) -> str | None:
        assert path == CANARY_FILE
        return self.login.render()


def _fly(standin: Standin, login: CanaryLogin) -> CanaryRun:
    return run_canary(_Host(login), CanaryTarget(standin.url), 0.0)


def _make_login(client: Client, known: CanaryLogin) -> CanaryLogin:
    """Make or correct the login, and return it; it then differs in nothing."""
    project = contents.project(client, canary.SLUG)
    assert project is not None
    stored: list[CanaryLogin] = []
    canary.make_login(client, project["id"], known, stored.append)
    (login,) = stored
    assert canary.parse_login(login.render()) == login
    assert canary.diff_login(client, project["id"], login) == ""
    return login


def test_the_login_of_the_canary_writes_and_deletes_in_its_own_project_only(
    standin: Standin, deployer: Client
) -> None:
    """Its project has the role only, so that it works with each method of isolation."""
    _keep(deployer)
    login_of_canary = _make_login(deployer, CanaryLogin())
    for _ in range(2):
        flown = _fly(standin, login_of_canary)
        assert flown.failure == ""
        assert [*flown.seconds] == ["login", "write", "read", "delete"]
    place = {"projectId": login_of_canary.project, "environment": "prod", "secretPath": "/"}
    left = deployer.get("/api/v4/secrets", params=place)["secrets"]
    assert [each["secretKey"] for each in left] == ["CANARY"]
    assert canary.is_alive(deployer)
    organization = identities.organization_id(deployer)
    own = identities.find(deployer, organization, canary.IDENTITY)
    assert own is not None
    assert own.role == "no-access"
    assert _make_login(deployer, login_of_canary) == login_of_canary


def test_a_lost_login_of_the_canary_is_made_again(standin: Standin, deployer: Client) -> None:
    _keep(deployer)
    first = _make_login(deployer, CanaryLogin())
    identities.revoke_client_secret(deployer, first.identity, first.secret_id)
    assert _fly(standin, first).failure == "logging in fails: HTTP 401"
    assert canary.diff_login(deployer, first.project, first) != ""
    second = _make_login(deployer, first)
    assert second.identity == first.identity
    assert _fly(standin, second).failure == ""
    altered = replace(second, client_secret="obviously-fake")
    assert canary.diff_login(deployer, first.project, altered) != ""
    # A file that is lost too: the client secret that nobody has any more is revoked.
    third = _make_login(deployer, CanaryLogin())
    secrets = identities.client_secrets(deployer, first.identity)
    assert [each.id for each in secrets] == [third.secret_id]
    seat = f"/api/v1/projects/{first.project}/memberships/identities/{first.identity}"
    deployer.patch(seat, json={"roles": [{"role": "viewer", "isTemporary": False}]})
    assert "viewer → member" in canary.diff_login(deployer, first.project, third)
    deployer.delete(seat)
    assert "none → member" in canary.diff_login(deployer, first.project, third)
    assert _make_login(deployer, third) == third
    canary.remove_login(deployer)
    canary.remove_login(deployer)
    assert canary.diff_login(deployer, first.project, third) != ""
