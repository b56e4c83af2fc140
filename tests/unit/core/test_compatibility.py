"""Test that files of other versions and removed keys are refused, and old names still work."""

import re
from typing import Any

import pytest

from infisical_iac.core import settings
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.schema import (
    Removed,
    Renamed,
    Schema,
    explain_version,
    find_moved_key,
    warn_once,
)
from infisical_iac.workspace.load import load
from tests.unit.settings_of import defaults

SCHEMA = Schema(
    releases=("0.1.0", "0.2.0", "0.3.0"),
    moved=(
        Renamed("domain", "site_url", "0.2.0"),
        Removed("admin_password", "set INFISICAL_ADMIN_PASSWORD on the first run", "0.3.0"),
        Renamed("services.*.ttl", "access_token_ttl", "0.3.0"),
    ),
)
HEAD = "project: {name: A, slug: abcde}\nenvironments: [{slug: a, name: A}]\n"
_UNKNOWN, _VERSION = "settings.unknown_key", "settings.schema_version"


def _values(**changed: object) -> dict[str, Any]:
    return defaults(**{"schema_version": 3, **changed})


def _load_refused(code: str, **changed: object) -> str:
    """Load settings that are refused with this code; return the message."""
    with pytest.raises(SettingsError) as refused:
        settings.load(_values(**changed), SCHEMA)
    assert refused.value.code == code
    return str(refused.value)


@pytest.fixture(autouse=True)
def _warnings_of_each_test() -> None:
    warn_once.cache_clear()


def test_the_old_name_of_a_setting_works_and_warns_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "https://secrets.example.com"
    for _ in range(2):
        assert settings.load(_values(domain=url), SCHEMA).stack.site_url == url
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"Warning: setting 'domain' {SCHEMA.moved[0]}")


def test_a_setting_with_its_old_name_and_the_new_one_is_refused() -> None:
    both = {"domain": "https://a.example.com", "site_url": "https://b.example.com"}
    assert str(SCHEMA.moved[0]) in _load_refused(_UNKNOWN, **both)


def test_a_value_at_an_old_name_is_validated_as_at_the_new_one() -> None:
    with pytest.raises(SettingsError, match=r"\bsite_url\b"):
        settings.load(_values(domain=7), SCHEMA)


def test_files_without_an_old_name_warn_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    settings.load(_values(), SCHEMA)
    load(HEAD + "schema_version: 3\nservices: {b: {folder: /b}}\n", SCHEMA)
    assert capsys.readouterr().err == ""


def test_a_removed_setting_is_refused_with_its_remedy_and_without_its_value() -> None:
    sentence = _load_refused(_UNKNOWN, admin_password="obviously-fake-password")
    assert sentence == f"setting 'admin_password' {SCHEMA.moved[1]}"


def test_a_renamed_key_of_the_project_file_works_and_warns_by_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = HEAD + "schema_version: 3\nservices:\n  b: {folder: /b, ttl: 900}\n"
    assert load(text, SCHEMA).services["b"].access_token_ttl == 900
    assert f"line 5, services.b.ttl: {SCHEMA.moved[2]}" in capsys.readouterr().err
    wrong = text.replace("900", "none")
    with pytest.raises(FileError, match=r"line 5, services\.b\.access_token_ttl: "):
        load(wrong, SCHEMA)


def test_a_key_of_the_project_file_with_both_names_is_refused() -> None:
    services = "services:\n  b: {folder: /b, ttl: 900, access_token_ttl: 800}\n"
    with pytest.raises(FileError, match=r"line 5, services\.b\.ttl: ") as refused:
        load(HEAD + "schema_version: 3\n" + services, SCHEMA)
    assert str(SCHEMA.moved[2]) in str(refused.value)
    assert refused.value.code == "file.project"


def test_a_key_that_was_not_renamed_at_its_place_is_unknown() -> None:
    with pytest.raises(FileError, match=r"line 4, ttl: .*\bunknown"):
        load(HEAD + "schema_version: 3\nttl: 900\n", SCHEMA)


def test_a_newer_file_is_refused() -> None:
    assert re.search(r"\b4 .* newer .*\b3\b", _load_refused(_VERSION, schema_version=4))
    with pytest.raises(FileError, match=r"line 3, schema_version: 2 .*\bnewer .*\b1\b") as refused:
        load(HEAD + "schema_version: 2\n")
    assert refused.value.code == "file.schema_version"


def test_an_older_file_is_refused_with_all_later_changes() -> None:
    moved_in_2 = [f"  {each.old!r} {each}" for each in SCHEMA.moved[1:]]
    first, *lines = _load_refused(_VERSION, schema_version=2).splitlines()
    assert re.search(r"\b2 .* older .*\b3\b", first)
    assert lines == moved_in_2
    lines = _load_refused(_VERSION, schema_version=1).splitlines()[1:]
    assert lines == [f"  'domain' {SCHEMA.moved[0]}", *moved_in_2]


def test_an_older_file_without_a_moved_key_is_refused_with_the_changelogs_entry() -> None:
    sentence = explain_version(1, Schema(releases=("0.1.0", "0.4.0")))
    assert sentence is not None
    assert "`infisical-iac outdated --since 0.1.0` prints for 0.4.0" in sentence
    assert sentence.endswith("write 2")


def test_a_project_file_without_a_version_has_version_1() -> None:
    assert load(HEAD).schema_version == 1
    with pytest.raises(FileError, match=r"schema_version: 1 .*\bolder .*\b3\b") as refused:
        load(HEAD, SCHEMA)
    assert refused.value.code == "file.schema_version"


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None, [1]])
def test_a_value_that_is_not_a_version_is_refused(version: object) -> None:
    sentence = explain_version(version, Schema(releases=("0.1.0",)))
    assert sentence is not None
    assert sentence.endswith("write 1")


def test_an_unknown_key_has_not_moved() -> None:
    assert find_moved_key(("services", "a", "b", "ttl"), SCHEMA) is None
    assert find_moved_key(("ttl",), SCHEMA) is None
