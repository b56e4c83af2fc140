"""A service that gets another name, with all that it has, against an Infisical at a URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.dokploy.server import ID, KEY, Dokploy, serving

from .crediting import ENVIRONMENTS, Case
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infisical_iac.workspace.credential_file import Credential

    from .world import World


@pytest.fixture
def dokploy() -> Iterator[Dokploy]:
    """An application without variables."""
    with serving(Dokploy("application", {"env": ""})) as server:
        yield server


@pytest.fixture
def case(world: World, tmp_path: Path, dokploy: Dokploy) -> Case:
    """A service with a secret and credentials, which are in the application."""
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
    """Give the service another name in the file; returns the one that it had."""
    content, old = json.loads(_file(case).read_text()), case.service
    service = content["services"].pop(old)
    case.service = f"api-{old}"
    content["services"][case.service] = {**service, "folder": folder}
    _file(case).write_text(json.dumps(content))
    return old


def _say(case: Case, former: str | None) -> None:
    """Write `renamed_from` into the file, or remove it."""
    content = json.loads(_file(case).read_text())
    content["services"][case.service]["renamed_from"] = former
    _file(case).write_text(json.dumps(content))


def _apply(case: Case) -> list[str]:
    ran = case.invoke("workspace", "apply", "--yes")
    assert ran.exit_code == 0, ran.output
    return ran.stdout.splitlines()[:-1]


def _is_settled(case: Case) -> bool:
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


def test_the_service_goes_on_with_its_identities_and_credentials(
    case: Case, dokploy: Dokploy
) -> None:
    held, listed = case.held(), case.listed()
    old = _rename(case)
    _say(case, old)
    assert _apply(case) == [
        f"~ identity {old}-{each}: name {old}-{each} → {case.service}-{each}"
        for each in ENVIRONMENTS
    ]
    assert _read(case, held, "/backend") == ["A"]
    assert case.overview()["file"] == "works"
    pushed = case.run("push")
    assert pushed.stdout.splitlines() == [
        f"~ credentials {old}.production: name {old}.production → {case.service}.production",
        "Nothing to deliver.",
    ]
    assert dokploy.changes == []
    assert (case.held(), case.listed()) == (held, listed)
    assert [each.name for each in case.directory.iterdir()] == [f"{case.service}.production.env"]
    assert _is_settled(case)


def test_the_folder_is_renamed_with_it_and_keeps_its_secrets(case: Case) -> None:
    held = case.held()
    old = _rename(case, "/api")
    _say(case, old)
    done = _apply(case)
    assert "~ folder /api in production: name backend → api" in done
    assert not any(each.startswith(("+", "-")) for each in done)
    assert _read(case, held, "/api") == ["A"]
    assert _is_settled(case)


def test_the_line_may_go_afterwards(case: Case) -> None:
    old = _rename(case)
    _say(case, old)
    _apply(case)
    case.run("push")
    _say(case, None)
    assert _is_settled(case)
    first = case.held()
    case.rotate("--overlap", "0")
    assert case.listed() == [case.held().secret_id]
    assert not case.logs_in(first)


def test_a_rotation_before_the_apply_is_under_the_new_name(case: Case) -> None:
    old = _rename(case)
    _say(case, old)
    told = case.rotate("--overlap", "0").stdout.splitlines()
    assert told[0].startswith(f"~ credentials {old}.production: name ")
    assert f"+ credentials {case.service}.production" in told
    assert case.logs_in(case.held())
    assert len(_apply(case)) == len(ENVIRONMENTS)
    assert _is_settled(case)


def test_without_the_line_a_plan_says_what_would_be_lost(case: Case) -> None:
    old = _rename(case)
    for arguments in ((), ("--prune",)):
        planned = case.invoke("workspace", "plan", *arguments)
        assert planned.exit_code == 2
        assert f"add `renamed_from: {old}` to it first" in " ".join(planned.stderr.split())
        warned = case.invoke("workspace", "apply", *arguments, answer="n\n")
        before, asked, _ = warned.stderr.partition("Make these changes?")
        assert asked
        assert f"add `renamed_from: {old}` to it first" in " ".join(before.split())
    _say(case, old)
    _apply(case)
    assert _is_settled(case)
