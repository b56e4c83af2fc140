"""Test that the canary is made, read and repaired, next to the project of a project file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from infisical_iac.api import contents, login
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.core.errors import CheckFailed
from infisical_iac.workspace import canary
from infisical_iac.workspace.converge import apply

from .first import EMAIL, PASSWORD, Deployer, set_up
from .items import Expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_iac.workspace.api_change import ApiChange

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
