"""The canary in a server of its own, beside the project of a project file."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .services import Standin

_FILE = Path(__file__).resolve().parents[2] / "group_data" / "chainalign.yaml"


@pytest.fixture
def made(standin: Standin) -> Deployer:
    """An admin of the organization, on a new instance."""
    with Client(standin.url) as client:
        return set_up(client)


@pytest.fixture
def deployer(standin: Standin, made: Deployer) -> Iterator[Client]:
    """A client with the deployer's token."""
    with Client(standin.url) as client:
        yield login.universal(client, made.client_id, made.client_secret)


def _keep(client: Client) -> list[str]:
    due = canary.due(canary.look(client, EMAIL), EMAIL)
    return [str(change) for change in apply(client, due)]


def test_it_is_made_read_and_repaired_whatever_is_done_to_it(deployer: Client) -> None:
    assert not canary.lives(deployer)
    assert len(_keep(deployer)) == 1
    assert canary.lives(deployer)
    assert _keep(deployer) == []
    project = contents.project(deployer, canary.SLUG)
    assert project is not None
    assert "proves after upgrades and restores" in project["description"]
    place = {"projectId": project["id"], "environment": "prod", "secretPath": "/"}
    deployer.patch("/api/v4/secrets/CANARY", json={**place, "secretValue": "dead"})
    with pytest.raises(CheckFailed, match="the canary was altered"):
        canary.lives(deployer)
    assert _keep(deployer) == ["~ canary: secret CANARY: altered → alive"]
    deployer.delete("/api/v4/secrets/CANARY", json=place)
    assert _keep(deployer) == ["~ canary: secret CANARY"]
    (environment,) = project["environments"]
    deployer.delete(f"/api/v1/projects/{project['id']}/environments/{environment['id']}")
    assert not canary.lives(deployer)
    (told,) = _keep(deployer)
    assert told.startswith("~ canary: environment prod: deleted → restored")
    assert canary.lives(deployer)
    assert _keep(deployer) == []


# What can be written of the canary's secret, and what is told of that: nothing where its text can
# still be read.
HANDS: dict[str, tuple[object, list[str]]] = {
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
    # Which secret is meant: a personal one that is not there is made by nobody.
    "type": ("shared", []),
}


def test_each_field_of_its_secret_is_told_or_does_not_matter(deployer: Client) -> None:
    text = (Path(__file__).parent / "writable.json").read_text(encoding="utf-8")
    assert set(json.loads(text)["secret"]) == HANDS.keys()
    _keep(deployer)
    project = contents.project(deployer, canary.SLUG)
    assert project is not None
    place = {"projectId": project["id"], "environment": "prod", "secretPath": "/"}
    for field, (value, told) in HANDS.items():
        deployer.patch("/api/v4/secrets/CANARY", json={**place, field: value})
        assert _keep(deployer) == told, field
        assert _keep(deployer) == []
        assert canary.lives(deployer)


def test_the_administrator_can_read_it_too(standin: Standin, deployer: Client) -> None:
    _keep(deployer)
    with Client(standin.url) as client:
        assert canary.lives(login.password(client, EMAIL, PASSWORD))


def test_nothing_that_looks_into_the_workspace_sees_it(
    standin: Standin, made: Deployer, deployer: Client
) -> None:
    variables = {
        "INFISICAL_API_URL": standin.url,
        "INFISICAL_CLIENT_ID": made.client_id,
        "INFISICAL_CLIENT_SECRET": made.client_secret,
        "INFISICAL_ADMIN_EMAIL": EMAIL,
        "INFISICAL_ADMIN_PASSWORD": PASSWORD,
    }

    def said(*arguments: str) -> str:
        done = CliRunner(env=variables).invoke(main, [*arguments, "--file", str(_FILE)])
        assert done.exit_code in (0, 2), done.output
        return done.output

    looks = [
        ("workspace", "plan", "--json", "--prune"),
        ("credentials", "list", "--json"),
    ]
    assert json.loads(said(*looks[0]))["changes"]
    said("workspace", "apply", "--yes")
    without = [said(*look) for look in looks]
    assert contents.project(deployer, canary.SLUG) is None
    _keep(deployer)
    assert [said(*look) for look in looks] == without
