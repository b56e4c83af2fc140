"""Test that `migrate verify` compares the readers of migrated secrets with the project file."""

import pytest

from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import digest
from infisical_iac.migrate.verify import Expected, access, find_changes
from infisical_iac.workspace.load import load

_KEY = b"k" * 32
_WORKSPACE = load(
    """
project: {name: ChainAlign, slug: chainalign}
environments: [{slug: development, name: D}, {slug: production, name: P}]
shared_folders: [/shared]
services:
  backend: {folder: /backend, imports: [/shared]}
  worker: {folder: /worker}
"""
)
_OWN = Name("production", "/backend", "FAKE")
_SHARED = Name("production", "/shared", "FAKE")
_NOBODY: dict[str, set[Name]] = {
    f"{service}-{environment}": set()
    for service in ("backend", "worker")
    for environment in ("development", "production")
}


def _problems(name: Name, *readers: str) -> list[str]:
    expected = {name: Expected("backend", "")}
    seen = {**_NOBODY, **{each: {name} for each in readers}}
    return [each.partition(" ")[2] for each in access(expected, _WORKSPACE, seen)]


@pytest.mark.parametrize("name", [_OWN, _SHARED, Name("production", "/backend/deep", "FAKE")])
def test_a_secret_that_only_its_service_reads_is_no_problem(name: Name) -> None:
    assert _problems(name, "backend-production") == []


def test_a_service_that_cannot_read_its_own_secret_is_reported() -> None:
    (sentence,) = _problems(_OWN)
    assert "can't be read" in sentence
    assert "backend-production" in sentence


@pytest.mark.parametrize("other", ["worker-production", "backend-development"])
@pytest.mark.parametrize("name", [_OWN, _SHARED])
def test_another_identity_that_reads_a_secret_is_reported(name: Name, other: str) -> None:
    (sentence,) = _problems(name, "backend-production", other)
    assert "can be read" in sentence
    assert other in sentence
    assert "backend-production" not in sentence


def test_services_that_are_viewers_of_the_project_may_read_each_others_secrets() -> None:
    """The isolation `viewer` can't prevent this; docs/operate/isolation.md says so."""
    expected = {_OWN: Expected("backend", "")}
    seen = {each: {_OWN} for each in _NOBODY}
    assert list(access(expected, _WORKSPACE, seen, "viewer")) == []
    seen["backend-production"] = set()
    (sentence,) = access(expected, _WORKSPACE, seen, "viewer")
    assert "backend-production" in sentence


def test_members_without_a_login_are_not_judged() -> None:
    assert list(access({_OWN: Expected("backend", "")}, _WORKSPACE, {})) == []


def test_values_are_compared_by_their_hashes() -> None:
    expected = {_OWN: Expected("backend", digest(_KEY, "fake"))}
    assert list(find_changes(expected, {_OWN: Stored("fake")}, _KEY)) == []
    for there, output in (
        ({}, "is not in Infisical"),
        ({_OWN: Stored("other")}, "has another value"),
        ({_OWN: Stored("fake", is_hidden=True)}, "does not show its value"),
    ):
        (sentence,) = find_changes(expected, there, _KEY)
        assert sentence.startswith(f"{_OWN} {output}")


def test_secrets_that_are_all_missing_are_one_problem() -> None:
    other = _OWN._replace(key="OTHER")
    expected = dict.fromkeys((_OWN, other), Expected("backend", digest(_KEY, "fake")))
    (sentence,) = find_changes(expected, {}, _KEY)
    assert "`infisical-iac migrate apply`" in sentence
    (sentence,) = find_changes(expected, {other: Stored("fake")}, _KEY)
    assert sentence.startswith(str(_OWN))
