"""Test `infisical-iac workspace` against an Infisical at a URL."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.agent.login import own_organizations
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.core.errors import SettingsError
from infisical_iac.workspace.reach import reach

from .first import EMAIL, PASSWORD, Deployer, set_up
from .services import Standin

_FILE = Path(__file__).resolve().parents[2] / "group_data" / "chainalign.yaml"
_CHANGES = 44  # one project, one person, and what three environments and two services need

Command = Callable[..., Result]


@pytest.fixture
def deployer(standin: Standin) -> Deployer:
    """An admin of the organization, on a new instance."""
    with Client(standin.url) as client:
        return set_up(client)


@pytest.fixture
def command(standin: Standin, deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `infisical-iac workspace <arguments>` against the instance."""
    monkeypatch.setenv("INFISICAL_API_URL", f"{standin.url}/api")
    monkeypatch.setenv("INFISICAL_CLIENT_ID", deployer.client_id)
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", deployer.client_secret)
    monkeypatch.setenv("INFISICAL_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)

    def run(*arguments: str, answer: str = "") -> Result:
        given = ["workspace", *arguments, "--project-file", str(_FILE)]
        return CliRunner().invoke(main, given, input=answer)

    return run


def test_the_plan_after_an_apply_is_empty(command: Command) -> None:
    planned = command("plan")
    assert planned.exit_code == 2
    assert "+ project chainalign" in planned.output.splitlines()
    assert "+ identity python-service-production" in planned.output.splitlines()
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    made = applied.output.splitlines()
    assert made[:-1] == planned.output.splitlines()
    assert made[-1] == f"{_CHANGES} changes made."
    settled = command("plan")
    assert (settled.exit_code, settled.output) == (0, "Nothing to change.\n")
    again = command("apply")
    assert (again.exit_code, again.output) == (0, "Nothing to change.\n")


def test_json_has_the_same_changes_as_text(command: Command) -> None:
    planned = json.loads(command("plan", "--json").stdout)["changes"]
    assert {"kind": "+", "what": "project chainalign", "detail": "", "diff": ""} in planned
    applied = json.loads(command("apply", "--yes", "--json").stdout)["changes"]
    assert applied == planned
    settled = json.loads(command("plan", "--json").stdout)
    assert settled == {
        "changes": [],
        "blocked": [],
        "unnamed": [],
        "foreign": [],
        "rotate": {},
        "notes": [],
    }


def test_answering_no_changes_nothing(command: Command) -> None:
    refused = command("apply", answer="n\n")
    assert refused.exit_code == 1
    assert "Make these changes?" in refused.output
    assert command("plan").exit_code == 2


def test_answering_yes_makes_the_changes(command: Command) -> None:
    assert command("apply", answer="y\n").exit_code == 0
    assert command("plan").exit_code == 0


def test_wrong_credentials_are_an_error_without_the_secret(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", "fake-and-wrong")
    refused = command("plan")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    assert "401" in refused.output
    assert "fake-and-wrong" not in refused.output


def test_a_missing_variable_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFISICAL_ADMIN_EMAIL")
    refused = command("plan")
    assert refused.exit_code == 1
    assert "INFISICAL_ADMIN_EMAIL" in refused.output


def test_a_missing_project_file_is_named(command: Command) -> None:
    refused = CliRunner().invoke(main, ["workspace", "plan", "--project-file", "nowhere.yaml"])
    assert refused.exit_code == 1
    assert "nowhere.yaml" in refused.output


def test_the_administrator_is_logged_in_once_and_only_on_demand(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INFISICAL_ADMIN_PASSWORD")
    with reach("", _FILE, None) as reached:
        with pytest.raises(SettingsError, match="set INFISICAL_ADMIN_PASSWORD too"):
            reached.admin()
        monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)
        admin = reached.admin()
        assert reached.admin() is admin
        assert [each.name for each in own_organizations(admin)] == ["ChainAlign"]
