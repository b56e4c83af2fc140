"""Test that roles in the file become permissions and descriptions."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.workspace.access import describe_access, permissions, project_role
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Access
from tests.standin.permissions import Permissions, Rule
from tests.unit.deployment import TEXT

WORKSPACE = load(TEXT)
ENVIRONMENTS = ("development", "staging", "production")
CONTRACT = Path(__file__).parents[2] / "contract" / "openapi-subset.json"


def may(access: Access, action: str, environment: str, path: str, of: str = "secrets") -> bool:
    rules = Permissions(Rule.of(each) for each in permissions(access, WORKSPACE))
    return rules.can(action, of, {"environment": environment, "secretPath": path})


BEN: Access = {
    "development": "developer",
    "staging": "none",
    "production": {"/backend": "viewer", "/shared": "viewer", "/backend/jobs": "admin"},
}


@pytest.mark.parametrize(
    ("action", "environment", "path", "allowed"),
    [
        ("readValue", "development", "/anywhere", True),
        ("edit", "development", "/", True),
        ("readValue", "staging", "/backend", False),
        ("readValue", "production", "/backend", True),
        ("readValue", "production", "/backend/deep/er", True),
        ("readValue", "production", "/backends", False),
        ("readValue", "production", "/", False),
        ("edit", "production", "/backend", False),
        ("edit", "production", "/backend/jobs/nightly", True),
    ],
)
def test_a_role_applies_to_its_folder_and_below(
    action: str, environment: str, path: str, allowed: bool
) -> None:
    assert may(BEN, action, environment, path) is allowed


def test_all_roles_see_folders_and_imports_and_only_admins_change_them() -> None:
    for subject in ("secret-folders", "secret-imports"):
        assert may(BEN, "read", "production", "/backend", subject)
        assert not may(BEN, "create", "development", "/backend", subject)
        assert may(BEN, "create", "production", "/backend/jobs", subject)
        assert not may(BEN, "read", "staging", "/", subject)


@pytest.mark.parametrize("access", ["admin", "none", {}, {"staging": "none"}])
def test_the_mark_of_an_admin_permits_nothing(access: Access) -> None:
    assert permissions(access, WORKSPACE) == []
    for action in ("describeSecret", "readValue", "create", "edit", "delete"):
        assert not any(may(access, action, each, "/backend") for each in ENVIRONMENTS)


def test_only_an_admin_everywhere_is_an_admin_of_the_project() -> None:
    assert project_role("admin") == "admin"
    assert project_role("developer") == "no-access"
    assert project_role(dict.fromkeys(ENVIRONMENTS, "admin")) == "no-access"


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("admin", ["admin of the project"]),
        ("viewer", ["viewer in every environment"]),
        ("none", ["no access"]),
        ({"staging": "none"}, ["no access"]),
        (
            {"development": "developer", "production": {"/a": "viewer", "/b": "viewer"}},
            ["developer in development", "viewer of /a and /b in production"],
        ),
        (
            {"production": {"/a": "viewer", "/b": "admin", "/c": "none"}},
            ["viewer of /a in production", "admin of /b in production"],
        ),
    ],
)
def test_roles_are_described_by_environment_and_folders(
    access: Access, expected: list[str]
) -> None:
    assert describe_access(access).split(", ") == expected


_ROLES = st.sampled_from(["none", "viewer", "developer", "admin"])
_FOLDERS = st.dictionaries(st.sampled_from(["/a", "/b", "/b/c"]), _ROLES)
_ACCESS = _ROLES | st.dictionaries(st.sampled_from(ENVIRONMENTS), _ROLES | _FOLDERS)


@cache
def _validator() -> Any:
    # People's privileges have the same permissions as identities', which the document describes.
    document = json.loads(CONTRACT.read_text(encoding="utf-8"))
    route = document["paths"]["/api/v2/identity-project-additional-privilege"]["post"]
    body = route["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator(body["properties"]["permissions"])


@given(access=_ACCESS)
def test_every_permission_has_the_form_that_the_server_requires(access: Any) -> None:
    _validator().validate(permissions(access, WORKSPACE))
