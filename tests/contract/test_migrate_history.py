"""Test `infisical-iac migrate history` after the files are gone, with Infisical's values."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.workspace import reach
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.load import load

from .migrating import FILE, VALUES, Case, backend
from .world import EMAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .world import World

_FILE = "backend/.env.production"


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A repository whose file was committed, moved, and deleted."""
    case = backend(world, tmp_path)
    for arguments in (["init", "--quiet"], ["add", _FILE], ["commit", "--quiet", "-m", "before"]):
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *author, *arguments], cwd=case.root, check=True)
    assert case.run("plan").exit_code == 2
    assert case.run("apply").exit_code == 0
    (case.root / _FILE).unlink()
    return case


def _on_host(case: Case, calls: list[Any]) -> Callable[..., Any]:
    """Return a fake of the connection to a host, which records its arguments."""

    @contextmanager
    def reach_case(inventory: str, file: Path | None, _: None, lock: object) -> Iterator[Any]:
        calls.append((inventory, file, lock))
        identity = case.world.deployer_identity
        with Client(case.world.standin.url) as client:
            yield Reached(
                client=login.universal(client, identity.client_id, identity.client_secret),
                address=case.world.standin.url,
                deployer=identity.client_id,
                admin=lambda: pytest.fail("a search needs no administrator"),
                has_admin=True,
                desired=load(case.workspace_file, admin_email=EMAIL),
                isolation="privilege",
                admin_email=EMAIL,
            )

    return reach_case


def _history(case: Case, *arguments: str) -> Result:
    given = [str(case.root), "--project-file", str(case.workspace_file), *arguments]
    return CliRunner(env=case.environment()).invoke(main, ["migrate", "history", *given])


def _clean(case: Case) -> str:
    given = ["migrate", "clean", str(case.plan_file), "--no-archive", "--yes"]
    return CliRunner().invoke(main, given).output


def test_migrated_values_are_found_in_the_history_of_a_deleted_file(case: Case) -> None:
    found = _history(case, "--json")
    assert found.exit_code == 2, found.output
    output = json.loads(found.stdout)
    labels = [f"{_FILE} {name}" for name in ("DATABASE_URL", "HASH", "JSON", "PEM", "UNICODE")]
    assert output["searched"] == labels
    assert {each["label"] for each in output["rotate"]} >= {labels[0], labels[1], labels[3]}
    assert [value for value in VALUES.values() if value and value in found.output] == []


def test_only_just_verified_values_are_deleted_without_an_archive(case: Case) -> None:
    case.write(_FILE, FILE)
    case.deploy()
    assert "`infisical-iac migrate verify`" in _clean(case)
    assert case.run("verify").exit_code == 0
    case.put("production", "/backend", HASH="changed-fake")
    assert case.run("verify").exit_code == 2
    assert "`infisical-iac migrate verify`" in _clean(case)
    case.put("production", "/backend", HASH=VALUES["/backend/HASH"])
    assert case.run("verify").exit_code == 0
    assert "Deleted 1 file." in _clean(case)
    assert not (case.root / _FILE).exists()


def test_a_rotated_value_is_reported_and_not_considered_absent(case: Case) -> None:
    case.put("production", "/backend", DATABASE_URL="postgres://fake:rotated-fake@db:5432/app")
    found = _history(case)
    label = f"{_FILE} DATABASE_URL was not searched for: "
    (line,) = (each for each in found.output.splitlines() if each.startswith(label))
    assert "production/backend/DATABASE_URL " in line
    assert "rotated-fake" not in found.output


def test_on_a_host_the_values_are_read_through_ssh_and_no_lock_is_taken(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(reach, "_on_host", _on_host(case, calls))
    given = ["migrate", "history", str(case.root), "--inventory", "a-host.py", "--json"]
    found = CliRunner(env={"INFISICAL_API_URL": None}).invoke(main, given)
    assert found.exit_code == 2, found.output
    assert calls == [("a-host.py", None, None)]
    assert json.loads(found.stdout) == json.loads(_history(case, "--json").stdout)
    assert [value for value in VALUES.values() if value and value in found.output] == []
