"""Test that a snapshot is refused if its key, versions or rows do not match the host."""

import json
from typing import Any

import pytest

from infisical_iac.backup import manifest
from infisical_iac.backup.manifest import refuse, refuse_difference
from infisical_iac.core.errors import CheckFailed, FileError, Refused
from tests.unit.settings_of import settings_of

_FOUND: dict[str, Any] = {
    "format": 1,
    "at": "2026-11-25T02:30:11Z",
    "host": "secrets",
    "infisical": {"version": "v0.165.16"},
    "postgresql": {"version": "17.6 (Debian 17.6-1)"},
    "encryption_key": "0123456789abcdef",
    "rows": {"secrets_v2": 3000, "users": 2},
}


def _parse(**values: Any) -> manifest.Manifest:
    return manifest.parse(json.dumps({**_FOUND, **values}))


def test_a_matching_snapshot_is_accepted() -> None:
    refuse(_parse(), key="0123456789abcdef", settings=settings_of())
    newer = settings_of(infisical_version="v0.166.2", postgres_image="postgres:18.1")
    refuse(_parse(), key="0123456789abcdef", settings=newer)


def test_a_snapshot_without_versions_is_accepted() -> None:
    refuse(
        _parse(infisical={"version": ""}, postgresql={"version": ""}),
        key="0123456789abcdef",
        settings=settings_of(),
    )


def test_a_snapshot_with_another_encryption_key_is_refused_with_both_fingerprints() -> None:
    with pytest.raises(Refused, match=r"fingerprint 0123456789abcdef, .* has ffff: give the"):
        refuse(_parse(), key="ffff", settings=settings_of())


@pytest.mark.parametrize(
    ("version", "older"),
    [("v0.165.16", "v0.165.9"), ("v0.166.0", "v0.165.16"), ("v1.0.0", "v0.165.16")],
)
def test_an_older_infisical_than_the_snapshots_is_refused(version: str, older: str) -> None:
    found = _parse(infisical={"version": version})
    with pytest.raises(Refused, match=f"set infisical_version to {version}"):
        refuse(found, key=found.key, settings=settings_of(infisical_version=older))


def test_an_older_postgresql_than_the_snapshots_is_refused() -> None:
    found = _parse(postgresql={"version": "18.1"})
    with pytest.raises(Refused, match="set postgres_image to one of version 18"):
        refuse(found, key=found.key, settings=settings_of())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "rows": 3}'])
def test_a_malformed_manifest_is_refused(text: str) -> None:
    with pytest.raises(FileError, match="can't be read"):
        manifest.parse(text)


def test_a_manifest_of_another_format_is_refused() -> None:
    with pytest.raises(FileError, match="format 2, and this version"):
        _parse(format=2)


def test_the_same_rows_are_accepted() -> None:
    refuse_difference(_parse(), {"users": 2, "secrets_v2": 3000})


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ({"secrets_v2": 2999, "users": 2}, "secrets_v2 2999 instead of 3000"),
        ({"users": 2}, "secrets_v2 0 instead of 3000"),
        ({"secrets_v2": 3000, "users": 2, "strangers": 1}, "strangers 1 instead of 0"),
    ],
)
def test_tables_with_other_rows_are_named(rows: dict[str, int], named: str) -> None:
    with pytest.raises(CheckFailed, match=named):
        refuse_difference(_parse(), rows)


def test_many_differences_are_counted() -> None:
    with pytest.raises(CheckFailed, match="and 4 more"):
        refuse_difference(_parse(rows={}), {f"table_{number}": 1 for number in range(7)})
