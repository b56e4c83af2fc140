"""Test that every request of a deploy fits the OpenAPI document of the server."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from infisical_iac.workspace import canary, credentials
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.canary import Canary
from infisical_iac.workspace.load import load
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.drifts import DRIFTS

CONTRACT = Path(__file__).parents[2] / "contract" / "openapi-subset.json"


def _record_requests() -> list[tuple[str, str, Any]]:
    deployment = Deployment()
    deployment.deploy()
    for spoil, _ in DRIFTS.values():
        spoil(deployment.server)
        deployment.deploy()
    desired = load(TEXT)
    actual = read(deployment.client, deployment.goal(desired))
    for step in credentials.plan(desired, credentials.holders(deployment.client, actual), {}):
        credentials.create(deployment.client, step)
    holders = credentials.holders(deployment.client, actual)
    for step in credentials.plan(desired, holders, {}):
        credentials.revoke_orphans(deployment.client, step)
    calls = [call for change in canary.due(Canary(), ADMIN) for call in change.calls]
    made = [(call.method, "/".join(call.path), call.body) for call in calls]
    return [*deployment.server.requests, *made]


@pytest.fixture(scope="module")
def recorded_requests() -> list[tuple[str, str, Any]]:
    return _record_requests()


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    return dict(json.loads(CONTRACT.read_text(encoding="utf-8"))["paths"])


def _operation(paths: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    # As in any router, a path without variables takes precedence over one with variables.
    for template in sorted(paths, key=lambda each: each.count("{")):
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            operation = paths[template].get(method.lower())
            if operation is not None:
                return dict(operation)
    return None


def _body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return dict(schema) if schema is not None else None


@cache
def _validator(schema: str) -> Validator:
    parsed = json.loads(schema)
    kind = validator_for(parsed)
    kind.check_schema(parsed)
    return kind(parsed)


def test_every_body_fits_its_schema(
    recorded_requests: list[tuple[str, str, Any]], paths: dict[str, Any]
) -> None:
    checked = set()
    for method, path, text in {(*route, json.dumps(body)) for *route, body in recorded_requests}:
        operation = _operation(paths, method, path)
        schema = _body_schema(operation) if operation else None
        if schema is not None:
            _validator(json.dumps(schema)).validate(json.loads(text))
            checked.add((method, re.sub(r"/[a-z]+-\d+", "/{}", path)))
    assert {
        ("POST", "/api/v1/projects"),
        ("PATCH", "/api/v1/projects/{}"),
        ("POST", "/api/v1/projects/{}/environments"),
        ("PATCH", "/api/v1/projects/{}/environments/{}"),
        ("POST", "/api/v2/folders"),
        ("POST", "/api/v2/secret-imports"),
        ("POST", "/api/v1/identities"),
        ("PATCH", "/api/v1/identities/{}"),
        ("POST", "/api/v1/auth/universal-auth/identities/{}"),
        ("PATCH", "/api/v1/auth/universal-auth/identities/{}"),
        ("POST", "/api/v1/auth/universal-auth/identities/{}/client-secrets"),
        ("POST", "/api/v1/projects/{}/memberships"),
        ("PATCH", "/api/v1/projects/{}/memberships/{}"),
        ("POST", "/api/v1/projects/{}/memberships/identities/{}"),
        ("PATCH", "/api/v1/projects/{}/memberships/identities/{}"),
        ("POST", "/api/v2/identity-project-additional-privilege"),
        ("PATCH", "/api/v2/identity-project-additional-privilege/{}"),
    } <= checked


def test_the_server_has_an_operation_for_every_request(
    recorded_requests: list[tuple[str, str, Any]], paths: dict[str, Any]
) -> None:
    unknown = {
        (method, path)
        for method, path, _ in recorded_requests
        if not _operation(paths, method, path)
    }
    assert unknown == set()
