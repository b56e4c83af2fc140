"""Test that files of other versions, and keys that are gone, are refused with what to do."""

import re
from typing import Any

import pytest

from infisical_iac.core import settings
from infisical_iac.core.compatibility import Removed, Renamed, Schema, find_moved_key, refusal
from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.workspace.load import load
from tests.unit.settings_of import defaults

_SCHEMA = Schema(
    releases=("0.1.0", "0.2.0", "0.3.0"),
    moved=(
        Renamed("domain", "site_url", "0.2.0"),
        Removed("admin_password", "set INFISICAL_ADMIN_PASSWORD on the first run", "0.3.0"),
        Renamed("services.*.ttl", "access_token_ttl", "0.3.0"),
    ),
)
_HEAD = "project: {name: A, slug: abcde}\nenvironments: [{slug: a, name: A}]\n"


def _values(**changed: object) -> dict[str, Any]:
    return defaults(**{"schema_version": 3, **changed})


_UNKNOWN, _VERSION = "settings.unknown_key", "settings.schema_version"


def _load_refused(code: str, **changed: object) -> str:
    """Return the sentence with which settings are refused, by an error with this code."""
    with pytest.raises(SettingsError) as refused:
        settings.load(_values(**changed), _SCHEMA)
    assert refused.value.code == code
    return str(refused.value)


def test_wording_of_renamed_and_removed_keys() -> None:
    assert [str(each) for each in _SCHEMA.moved[:2]] == [
        "was renamed to 'site_url' in 0.2.0 (CHANGELOG.md, \"0.2.0\")",
        'was removed in 0.3.0 (CHANGELOG.md, "0.3.0"); '
        "set INFISICAL_ADMIN_PASSWORD on the first run",
    ]


def test_a_renamed_setting_is_refused_with_its_new_name_and_the_release() -> None:
    assert _load_refused(_UNKNOWN, domain="x") == f"setting 'domain' {_SCHEMA.moved[0]}"


def test_a_removed_setting_is_refused_with_its_remedy_and_without_its_value() -> None:
    sentence = _load_refused(_UNKNOWN, admin_password="obviously-fake-password")
    assert sentence == f"setting 'admin_password' {_SCHEMA.moved[1]}"


def test_a_renamed_key_of_the_project_file_is_found_by_its_place() -> None:
    text = _HEAD + "schema_version: 3\nservices:\n  b: {folder: /b, ttl: 900}\n"
    with pytest.raises(UserError) as refused:
        load(text, _SCHEMA)
    assert str(refused.value).endswith(f"line 5, services.b.ttl: {_SCHEMA.moved[2]}")
    with pytest.raises(UserError, match="line 4, ttl: this key is unknown"):
        load(_HEAD + "schema_version: 3\nttl: 900\n", _SCHEMA)


def test_a_newer_file_is_refused() -> None:
    assert re.search(r"\b4 .* newer .*\b3\b", _load_refused(_VERSION, schema_version=4))
    with pytest.raises(UserError, match="line 3, schema_version: 2 was written for a newer"):
        load(_HEAD + "schema_version: 2\n")


def test_an_older_file_is_refused_with_all_that_changed_since() -> None:
    moved_in_2 = [f"  {each.old!r} {each}" for each in _SCHEMA.moved[1:]]
    first, *lines = _load_refused(_VERSION, schema_version=2).splitlines()
    assert re.search(r"\b2 .* older .*\b3\b", first)
    assert lines == moved_in_2
    lines = _load_refused(_VERSION, schema_version=1).splitlines()[1:]
    assert lines == [f"  'domain' {_SCHEMA.moved[0]}", *moved_in_2]


def test_an_older_file_without_a_moved_key_is_refused_with_the_changelogs_entry() -> None:
    sentence = refusal(1, Schema(releases=("0.1.0", "0.4.0")))
    assert sentence is not None
    assert 'CHANGELOG.md, "0.4.0"' in sentence
    assert sentence.endswith("write 2")


def test_a_project_file_without_a_version_has_the_first() -> None:
    assert load(_HEAD).schema_version == 1
    with pytest.raises(UserError, match="schema_version: 1 is older than 3"):
        load(_HEAD, _SCHEMA)


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None, [1]])
def test_a_value_that_is_no_version_is_refused(version: object) -> None:
    sentence = refusal(version, Schema(releases=("0.1.0",)))
    assert sentence is not None
    assert sentence.endswith("write 1")


def test_an_unknown_key_has_not_moved() -> None:
    assert find_moved_key(("services", "a", "b", "ttl"), _SCHEMA) is None
    assert find_moved_key(("ttl",), _SCHEMA) is None
