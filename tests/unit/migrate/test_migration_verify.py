"""Test who may read what was moved, told from what each identity is shown."""

import pytest

from infisical_iac.migrate.fingerprint import digest
from infisical_iac.migrate.model import Name, Stored
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


def _told(name: Name, *readers: str) -> list[str]:
    wanted = {name: Expected("backend", "")}
    seen = {**_NOBODY, **{each: {name} for each in readers}}
    return [each.partition(" ")[2] for each in access(wanted, _WORKSPACE, seen)]


@pytest.mark.parametrize("name", [_OWN, _SHARED, Name("production", "/backend/deep", "FAKE")])
def test_its_service_reads_it_and_nobody_else_does(name: Name) -> None:
    assert _told(name, "backend-production") == []


def test_a_service_that_can_not_read_what_is_its_own_is_told() -> None:
    (sentence,) = _told(_OWN)
    assert "can't be read" in sentence
    assert "backend-production" in sentence


@pytest.mark.parametrize("other", ["worker-production", "backend-development"])
@pytest.mark.parametrize("name", [_OWN, _SHARED])
def test_another_that_reads_it_is_told(name: Name, other: str) -> None:
    assert _told(name, "backend-production", other) == [
        f"can be read by {other}, which must not read it"
    ]


def test_who_was_not_asked_is_not_judged() -> None:
    assert list(access({_OWN: Expected("backend", "")}, _WORKSPACE, {})) == []


def test_values_are_told_by_their_hashes() -> None:
    wanted = {_OWN: Expected("backend", digest(_KEY, "fake"))}
    assert list(find_changes(wanted, {_OWN: Stored("fake")}, _KEY)) == []
    for there, output in (
        ({}, "is not there"),
        ({_OWN: Stored("other")}, "has another value"),
        ({_OWN: Stored("fake", is_hidden=True)}, "does not show its value to the deployer"),
    ):
        assert list(find_changes(wanted, there, _KEY)) == [f"{_OWN} {output}"]
