"""Test the list of secrets that a person who left could read."""

from typing import Any

import pytest

from infisical_iac.workspace.access import permissions
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Access
from infisical_iac.workspace.readable import readable
from infisical_iac.workspace.state import PersonState, Privilege
from tests.unit.deployment import TEXT

NAMES = {
    ("development", "/"): ["DEBUG"],
    ("production", "/backend"): ["DATABASE_URL", "TOKEN"],
    ("production", "/backend/jobs"): ["CRON_KEY"],
    ("production", "/shared"): ["SENTRY_DSN"],
}
EVERYTHING = [
    "development / DEBUG",
    "production /backend DATABASE_URL",
    "production /backend TOKEN",
    "production /backend/jobs CRON_KEY",
    "production /shared SENTRY_DSN",
]


def _person(*granted: dict[str, Any], role: str = "no-access") -> PersonState:
    return PersonState("seat", (role,), (Privilege("id", "any", False, granted),))


def _rule(**conditions: Any) -> dict[str, Any]:
    return {"subject": "secrets", "action": ["readValue"], "conditions": conditions}


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("none", []),
        ("viewer", EVERYTHING),
        ({"development": "developer"}, EVERYTHING[:1]),
        ({"production": {"/backend": "viewer"}}, EVERYTHING[1:4]),
        ({"production": {"/backend/jobs": "admin", "/shared": "viewer"}}, EVERYTHING[3:]),
    ],
)
def test_secrets_readable_by_a_role_of_the_file_are_listed(
    access: Access, expected: list[str]
) -> None:
    assert readable(_person(*permissions(access, load(TEXT))), NAMES) == expected


@pytest.mark.parametrize("role", ["admin", "member", "viewer", "of-our-own", "viewer for a time"])
def test_a_role_in_the_project_reads_everything(role: str) -> None:
    assert readable(_person(role=role), NAMES) == EVERYTHING


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (_rule(environment="development"), EVERYTHING[:1]),
        (_rule(environment={"$ne": "production"}), EVERYTHING[:1]),
        (_rule(environment={"$in": ["development"]}), EVERYTHING[:1]),
        (_rule(secretName={"$eq": "TOKEN"}), EVERYTHING[2:3]),
        (_rule(secretPath={"$glob": "/*"}), EVERYTHING[:3] + EVERYTHING[4:]),
        ({"subject": ["secrets"], "action": "read"}, EVERYTHING),
        ({"subject": "secrets", "action": "describeSecret"}, []),
        ({"subject": "secret-folders", "action": ["read"]}, []),
        ({**_rule(), "inverted": True}, []),
    ],
)
def test_secrets_readable_by_a_foreign_privilege_are_listed(
    rule: dict[str, Any], expected: list[str]
) -> None:
    assert readable(_person(rule), NAMES) == expected


def test_secrets_with_unknown_conditions_are_listed() -> None:
    assert readable(_person(_rule(secretTags={"$in": ["x"]})), NAMES) == EVERYTHING
    assert readable(_person(_rule(secretPath={"$glob": "/{a,b}"})), NAMES) == EVERYTHING
    assert readable(_person(_rule(environment={"$new": "x"})), NAMES) == EVERYTHING
