"""Test reading environments, and the list of secrets that a person who left could read."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.api.client import Client
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.access import permissions
from infisical_iac.workspace.environment_contents import find_level, readable
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Access
from infisical_iac.workspace.state import (
    Actual,
    EnvironmentState,
    Import,
    PersonState,
    Privilege,
    ProjectState,
)
from tests.unit.deployment import TEXT
from tests.unit.fake_infisical import FakeInfisical

_STAGING, _PRODUCTION = (
    EnvironmentState(id, slug, slug, position)
    for position, (id, slug) in enumerate([("s", "staging"), ("p", "production")], start=1)
)


def _client() -> Client:
    server = FakeInfisical()
    server.project = {"id": "id", "slug": "slug"}
    server.environments = [{"id": each.id, "slug": each.slug} for each in (_STAGING, _PRODUCTION)]
    server.folders = {"s": {"/backend", "/shared"}, "p": {"/backend"}}
    server.store("staging", "/shared", "KEY")
    server.store("staging", "/backend", "URL", "KEY")
    server.store("production", "/backend", "KEY")
    # The imports are not in their order, because a server may list them in any order.
    for position, id, reserved in ((2, "a", False), (3, "theirs", True), (1, "b", False)):
        source = {"importEnv": {"id": "s"}, "importPath": f"/{id}", "isReserved": reserved}
        there = {"id": id, "into": ("s", "/backend"), "position": position}
        server.imports.append({**there, **source})
    return server.client()


def test_names_of_secrets_are_sorted_by_environment_and_folder() -> None:
    actual = Actual("o", ProjectState("id"), environments=(_STAGING, _PRODUCTION))
    assert list(environment_contents.read_names(_client(), actual).items()) == [
        (("staging", "/backend"), ["KEY", "URL"]),
        (("staging", "/shared"), ["KEY"]),
        (("production", "/backend"), ["KEY"]),
    ]


def test_a_missing_project_has_no_names() -> None:
    assert environment_contents.read_names(_client(), Actual("o")) == {}


def test_each_folder_is_read_with_its_imports_in_their_order() -> None:
    assert environment_contents.read(_client(), "id", [_STAGING, _PRODUCTION]) == [
        replace(
            _STAGING,
            folders={"/backend": "folder-s.backend", "/shared": "folder-s.shared"},
            imports={
                "/backend": [
                    Import("b", "/backend", ("s", "/b"), 1),
                    Import("a", "/backend", ("s", "/a"), 2),
                ],
                "/shared": [],
            },
        ),
        replace(
            _PRODUCTION,
            folders={"/backend": "folder-p.backend"},
            imports={"/backend": []},
        ),
    ]


def test_secrets_are_counted_by_folder() -> None:
    assert environment_contents.count_secrets(_client(), "id", "staging") == {
        "/backend": 2,
        "/shared": 1,
    }


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


def _level(*rules: dict[str, Any], roles: tuple[str, ...] = ("no-access",)) -> str:
    privilege = Privilege("1", "slug", False, rules)
    return find_level(roles, [privilege], "production", "/backend")


@pytest.mark.parametrize(
    ("role", "level"),
    [
        ("no-access", ""),
        ("viewer", "reads"),
        ("viewer for a time", "reads"),
        ("member", "writes"),
        ("admin", "manages"),
        ("of-our-own", "reads"),
    ],
)
def test_a_role_gives_a_level(role: str, level: str) -> None:
    assert _level(roles=(role,)) == level


@pytest.mark.parametrize(
    ("access", "level"),
    [
        ("none", ""),
        ("viewer", "reads"),
        ("developer", "writes"),
        ({"production": "admin"}, "manages"),
        ({"production": {"/backend": "viewer"}}, "reads"),
        ({"production": {"/shared": "viewer"}}, ""),
        ({"staging": "admin"}, ""),
    ],
)
def test_the_privilege_of_a_person_gives_the_level_of_the_file(access: Access, level: str) -> None:
    assert _level(*permissions(access, load(TEXT))) == level


def test_the_highest_level_counts_and_what_is_forbidden_gives_none() -> None:
    names = {"subject": "secrets", "action": "describeSecret"}
    writes = {"subject": ["secrets"], "action": ["readValue", "edit"]}
    assert _level(names) == "names"
    assert _level(names, writes) == "writes"
    assert _level({**writes, "inverted": True}) == ""
    assert _level({"subject": "*", "action": "*"}) == "manages"
