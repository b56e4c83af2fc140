"""Files of other versions, and keys that are no more: each is told with what to do."""

import runpy
from typing import Any

import pytest

from infisical_iac.core import settings
from infisical_iac.core.compatibility import Removed, Renamed, Schema, moved, refusal
from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.workspace.load import load

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
    module = runpy.run_path("group_data/all.py")
    defaults = {key: value for key, value in module.items() if not key.startswith("__")}
    return defaults | {"admin_email": "admin@example.com", "schema_version": 3} | changed


def _refused(**changed: object) -> str:
    with pytest.raises(SettingsError) as refused:
        settings.load(_values(**changed), _SCHEMA)
    return str(refused.value)


def test_a_renamed_setting_is_told_by_its_new_name_and_the_changelogs_entry() -> None:
    assert _refused(domain="x") == (
        "setting 'domain' was renamed to 'site_url' in 0.2.0 (CHANGELOG.md, \"0.2.0\")"
    )


def test_a_removed_setting_is_told_with_what_to_do_instead_and_without_its_value() -> None:
    told = _refused(admin_password="obviously-fake-password")
    assert told == (
        "setting 'admin_password' was removed in 0.3.0 (CHANGELOG.md, \"0.3.0\"); "
        "set INFISICAL_ADMIN_PASSWORD on the first run"
    )


def test_a_key_of_the_workspace_file_is_found_by_its_place() -> None:
    text = _HEAD + "schema_version: 3\nservices:\n  b: {folder: /b, ttl: 900}\n"
    with pytest.raises(UserError) as refused:
        load(text, _SCHEMA)
    assert str(refused.value) == (
        "the project file, line 5, services.b.ttl: "
        "was renamed to 'access_token_ttl' in 0.3.0 (CHANGELOG.md, \"0.3.0\")"
    )
    with pytest.raises(UserError, match="line 4, ttl: this key is unknown"):
        load(_HEAD + "schema_version: 3\nttl: 900\n", _SCHEMA)


def test_a_newer_file_asks_for_an_upgrade() -> None:
    assert "4 was written for a newer infisical-iac: upgrade it" in _refused(schema_version=4)
    with pytest.raises(UserError, match="line 3, schema_version: 2 was written for a newer"):
        load(_HEAD + "schema_version: 2\n")


def test_an_older_file_is_told_what_changed_since() -> None:
    told = _refused(schema_version=2)
    assert told == (
        "setting 'schema_version': 2 is older than 3, which this infisical-iac reads: "
        "make these changes and write 3\n"
        "  'admin_password' was removed in 0.3.0 (CHANGELOG.md, \"0.3.0\"); set "
        "INFISICAL_ADMIN_PASSWORD on the first run\n"
        "  'services.*.ttl' was renamed to 'access_token_ttl' in 0.3.0 (CHANGELOG.md, \"0.3.0\")"
    )
    assert "'domain' was renamed to 'site_url'" in _refused(schema_version=1)


def test_an_older_file_of_which_no_key_moved_is_told_where_to_read() -> None:
    told = refusal(1, Schema(releases=("0.1.0", "0.4.0")))
    assert told is not None
    assert 'see CHANGELOG.md, "0.4.0"; make these changes and write 2' in told


def test_a_workspace_file_without_a_version_is_of_the_first() -> None:
    assert load(_HEAD).schema_version == 1
    with pytest.raises(UserError, match="schema_version: 1 is older than 3"):
        load(_HEAD, _SCHEMA)


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None, [1]])
def test_what_is_no_version_is_refused(version: object) -> None:
    assert refusal(version, Schema(releases=("0.1.0",))) == "this is no version; write 1"


def test_a_key_that_never_was_did_not_move() -> None:
    assert moved(("services", "a", "b", "ttl"), _SCHEMA) is None
    assert moved(("ttl",), _SCHEMA) is None
