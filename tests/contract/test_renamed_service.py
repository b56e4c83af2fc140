"""Test that a renamed service keeps its identities and credentials, at a URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.dokploy.server import ID, KEY, Dokploy, serving

from .crediting import ENVIRONMENTS, Case
from .items import Expected, parse_all
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infisical_iac.core.change import Change
    from infisical_iac.workspace.credential_file import Credential

    from .world import World


@pytest.fixture
def dokploy() -> Iterator[Dokploy]:
    """An application without variables."""
    with serving(Dokploy("application", {"env": ""})) as server:
        yield server


@pytest.fixture
def case(world: World, tmp_path: Path, dokploy: Dokploy) -> Case:
    """A service with a secret, whose credentials have been delivered to the application."""
    target = {"dokploy": {"url": dokploy.url, "application": ID}}
    made = Case(world, tmp_path, {"production": target}, variables={"DOKPLOY_API_KEY": KEY})
    made.deploy()
    body = {**_place(made, "/backend"), "secrets": [{"secretKey": "A", "secretValue": "fake"}]}
    ok(world.deployer.post("/api/v4/secrets/batch", json=body))
    made.rotate()
    dokploy.requests.clear()
    return made


def _place(case: Case, folder: str) -> dict[str, Any]:
    slug = json.loads(_file(case).read_text())["project"]["slug"]
    project = ok(case.world.deployer.get(f"/api/v1/projects/slug/{slug}"))
    return {"projectId": project["id"], "environment": "production", "secretPath": folder}


def _file(case: Case) -> Path:
    return case.root / "workspace.json"


def _rename(case: Case, folder: str = "/backend") -> str:
    """Rename the service in the file, and return the name that it had."""
    content, old = json.loads(_file(case).read_text()), case.service
    service = content["services"].pop(old)
    case.service = f"api-{old}"
    content["services"][case.service] = {**service, "folder": folder}
    _file(case).write_text(json.dumps(content))
    return old


def _set_renamed_from(case: Case, former: str | None) -> None:
    """Write `renamed_from` into the file, or remove it."""
    content = json.loads(_file(case).read_text())
    content["services"][case.service]["renamed_from"] = former
    _file(case).write_text(json.dumps(content))


def _apply(case: Case) -> list[Change]:
    """Apply the project file, and return the changes that were made."""
    ran = case.invoke("workspace", "apply", "--yes")
    assert ran.exit_code == 0, ran.output
    return parse_all(ran.stdout)


def _is_converged(case: Case) -> bool:
    """Return whether there is neither a change nor an access that the file does not give."""
    planned = case.invoke("workspace", "plan", "--prune")
    return planned.exit_code == 0 and planned.stdout == "Nothing to change.\n"


def _read(case: Case, credential: Credential, folder: str) -> list[str]:
    """Return the names of the secrets that a service is shown with its credential."""
    body = {"clientId": credential.client_id, "clientSecret": credential.client_secret}
    with case.world.standin.client() as client:
        token = ok(client.post("/api/v1/auth/universal-auth/login", json=body))["accessToken"]
    with case.world.standin.client(token) as client:
        found = ok(client.get("/api/v4/secrets", params=_place(case, folder)))["secrets"]
    return [each["secretKey"] for each in found]


def test_a_renamed_service_keeps_its_identities_and_credentials(
    case: Case, dokploy: Dokploy
) -> None:
    held, listed = case.read_credential(), case.list_client_secrets()
    old = _rename(case)
    _set_renamed_from(case, old)
    assert _apply(case) == [
        Expected("~", f"identity {old}-{each}", f"{old}-{each} → {case.service}-{each}")
        for each in ENVIRONMENTS
    ]
    assert _read(case, held, "/backend") == ["A"]
    assert case.overview()["file"] == "works"
    pushed = case.run("push").stdout
    names = f"{old}.production → {case.service}.production"
    assert parse_all(pushed) == [Expected("~", f"credentials {old}.production", names)]
    assert pushed.splitlines()[-1] == "Nothing to deliver."
    assert dokploy.changes == []
    assert (case.read_credential(), case.list_client_secrets()) == (held, listed)
    assert [each.name for each in case.directory.iterdir()] == [f"{case.service}.production.env"]
    assert _is_converged(case)


def test_a_folder_renamed_with_its_service_keeps_its_secrets(case: Case) -> None:
    held = case.read_credential()
    old = _rename(case, "/api")
    _set_renamed_from(case, old)
    done = _apply(case)
    assert Expected("~", "folder /api in production", "backend → api") in done
    assert {each.kind for each in done} == {"~"}
    assert _read(case, held, "/api") == ["A"]
    assert _is_converged(case)


def test_renamed_from_may_be_removed_after_the_apply(case: Case) -> None:
    old = _rename(case)
    _set_renamed_from(case, old)
    _apply(case)
    case.run("push")
    _set_renamed_from(case, None)
    assert _is_converged(case)
    first = case.read_credential()
    case.rotate("--overlap", "0")
    assert case.list_client_secrets() == [case.read_credential().secret_id]
    assert not case.logs_in(first)


def test_a_rotation_before_the_apply_uses_the_new_name(case: Case) -> None:
    old = _rename(case)
    _set_renamed_from(case, old)
    done = parse_all(case.rotate("--overlap", "0").stdout)
    assert (done[0].kind, done[0].what) == ("~", f"credentials {old}.production")
    assert Expected("+", f"credentials {case.service}.production") in done
    assert case.logs_in(case.read_credential())
    assert len(_apply(case)) == len(ENVIRONMENTS)
    assert _is_converged(case)


def test_without_renamed_from_plan_and_apply_warn_of_lost_credentials(case: Case) -> None:
    old = _rename(case)
    remedy = f"`renamed_from: {old}`"
    for arguments in ((), ("--prune",)):
        planned = case.invoke("workspace", "plan", *arguments)
        assert planned.exit_code == 2
        assert remedy in " ".join(planned.stderr.split())
        warned = case.invoke("workspace", "apply", *arguments, answer="n\n")
        before, asked, _ = warned.stderr.partition("Make these changes?")
        assert asked
        assert remedy in " ".join(before.split())
    _set_renamed_from(case, old)
    _apply(case)
    assert _is_converged(case)
