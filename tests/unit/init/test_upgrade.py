"""Test that files of an earlier version are rewritten for this one, with all comments kept."""

import ast

import pytest
import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.schema import SETTINGS_SCHEMA, Removed, Renamed, Schema
from infisical_iac.init.upgrade import (
    Joined,
    upgrade_pin,
    upgrade_project_text,
    upgrade_settings_text,
)

_SCHEMA = Schema(
    releases=("0.1.0", "0.2.0", "0.3.0"),
    moved=(
        Renamed("domain", "site_url", "0.2.0"),
        Removed("admin_password", "set INFISICAL_ADMIN_PASSWORD on the first run", "0.3.0"),
        Renamed("targets.*.url", "repository", "0.3.0"),
        Removed("targets.*.old", "leave it out", "0.3.0"),
        Renamed("services.*.ttl", "access_token_ttl", "0.3.0"),
        Removed("legacy", "declare it below services", "0.3.0"),
        Removed("services.*.legacy", "leave it out", "0.3.0"),
    ),
)
_DIGEST = f"sha256:{'a' * 64}"

_SETTINGS = '''\
"""Settings that differ at Äcme."""

schema_version = 1  # of the settings

# The address. domain is what people type.
domain = "https://sécrets.example.com"  # with https
copy = domain

admin_password = (
    "obviously-fake"  # remove it!
)
targets = (
    {"name": "local", "url": "/var/backups"},
    {"name": "other", "url": "sftp:u@h:/x"},  # the second one
)
'''

_UPGRADED = '''\
"""Settings that differ at Äcme."""

schema_version = 3  # of the settings

# The address. domain is what people type.
site_url = "https://sécrets.example.com"  # with https
copy = site_url

# Removed in 0.3.0: set INFISICAL_ADMIN_PASSWORD on the first run.
# admin_password = (
#     "obviously-fake"  # remove it!
# )
targets = (
    {"name": "local", "repository": "/var/backups"},
    {"name": "other", "repository": "sftp:u@h:/x"},  # the second one
)
'''


def test_settings_get_the_names_of_this_version() -> None:
    text, notes = upgrade_settings_text(_SETTINGS, _SCHEMA)
    assert text == _UPGRADED
    (note,) = notes
    assert note.startswith("admin_password ")
    assert "0.3.0" in note


def test_a_second_upgrade_changes_nothing() -> None:
    assert upgrade_settings_text(_UPGRADED, _SCHEMA) == (_UPGRADED, ())


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", '"""Only a docstring."""\n', "import os\n", "x = 1\n"]
)
def test_a_file_of_this_version_is_not_changed(text: str) -> None:
    assert upgrade_settings_text(text, SETTINGS_SCHEMA) == (text, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""D."""\n\nx = 1\n', '"""D."""\n\nschema_version = 3\n\nx = 1\n'),
        ("x = 1\n", "schema_version = 3\n\nx = 1\n"),
        ("schema_version = 2\n", "schema_version = 3\n"),
        ("schema_version: int = 2\n", "schema_version: int = 3\n"),
    ],
)
def test_settings_get_the_schema_version(text: str, expected: str) -> None:
    assert upgrade_settings_text(text, _SCHEMA).text == expected


def test_a_renamed_setting_is_renamed_in_the_list_of_public_names() -> None:
    text = '__all__ = ["domain", "copy"]\nschema_version = 3\ndomain = "x"\n'
    expected = '__all__ = ["site_url", "copy"]\nschema_version = 3\nsite_url = "x"\n'
    assert upgrade_settings_text(text, _SCHEMA).text == expected


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('schema_version = 3\ndomain = "a"\nsite_url = "b"\n', "site_url"),
        ('schema_version = 3; admin_password = "a"\n', "admin_password"),
        ('schema_version = 3\ntargets = ({"old": 1},)\n', "targets.*.old"),
        ('schema_version = 3\ntargets = ({"url": 1, "repository": 2},)\n', "repository"),
    ],
)
def test_an_ambiguous_key_is_left_unchanged_with_a_note(text: str, key: str) -> None:
    upgraded = upgrade_settings_text(text, _SCHEMA)
    assert upgraded.text == text
    assert key in upgraded.notes[0]


@pytest.mark.parametrize("text", ["x = (\n", "x = 1\n  y = 2\n", "\0"])
def test_a_file_that_is_not_python_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        upgrade_settings_text(text, _SCHEMA)


@pytest.mark.parametrize("upgrade", [upgrade_settings_text, upgrade_project_text])
def test_a_file_of_a_newer_version_is_refused(upgrade: type) -> None:
    sign = "=" if upgrade is upgrade_settings_text else ":"
    with pytest.raises(SettingsError) as error:
        upgrade(f"schema_version {sign} 4\n".replace(" :", ":"), _SCHEMA)
    assert error.value.code == "settings.schema_version"


# This release moves a digest into the setting of its version.
def test_a_digest_of_infisical_is_joined_with_its_version() -> None:
    text = f"""\
infisical_version = "v0.166.2"  # pinned
# From `docker buildx imagetools inspect`.
infisical_digest = "{_DIGEST}"
"""
    expected = f"""\
infisical_version = "v0.166.2@{_DIGEST}"  # pinned
# From `docker buildx imagetools inspect`.
# Moved to infisical_version.
# infisical_digest = "{_DIGEST}"
"""
    assert upgrade_settings_text(text) == (expected, ())
    assert upgrade_settings_text(expected) == (expected, ())


@pytest.mark.parametrize(
    ("text", "has_note"),
    [
        ('infisical_digest = ""\ninfisical_version = "v0.166.2"\n', False),
        (f'infisical_digest = "{_DIGEST}"\n', False),
        (f'infisical_digest = "{_DIGEST}"\ninfisical_version = f"v{{1}}"\n', True),
        (f'infisical_digest = "{_DIGEST}"\ninfisical_version = "v1.2.3@{_DIGEST}"\n', True),
    ],
)
def test_only_literal_values_are_joined(text: str, has_note: bool) -> None:
    upgraded = upgrade_settings_text(text)
    assert upgraded.text == text
    assert bool(upgraded.notes) == has_note


def test_the_shipped_settings_need_no_upgrade() -> None:
    for name in ("all.py", "hetzner.py", "staging.py"):
        with open(f"group_data/{name}", encoding="utf-8") as file:
            text = file.read()
        assert upgrade_settings_text(text) == (text, ()), name


_PROJECT = """\
# The project.
project: {name: A, slug: abcde}  # its names
services:
  backend:
    folder: /backend
    ttl: 900  # seconds
    legacy:
      - one

      # about two
      - two
    # about nothing
    other: 1
  worker: {folder: /worker, ttl: 60, legacy: 1}
legacy: yes

environments: []
"""

_UPGRADED_PROJECT = """\
# The project.
schema_version: 3
project: {name: A, slug: abcde}  # its names
services:
  backend:
    folder: /backend
    access_token_ttl: 900  # seconds
    # Removed in 0.3.0: leave it out.
    # legacy:
    #   - one
    #
    #   # about two
    #   - two
    # about nothing
    other: 1
  worker: {folder: /worker, access_token_ttl: 60, legacy: 1}
# Removed in 0.3.0: declare it below services.
# legacy: yes

environments: []
"""


def test_old_keys_of_a_project_file_are_renamed() -> None:
    text, notes = upgrade_project_text(_PROJECT, _SCHEMA)
    assert text == _UPGRADED_PROJECT
    assert sorted(note.split()[0] for note in notes) == ["legacy", "remove", "services.*.legacy"]
    assert yaml.safe_load(text)["services"]["backend"] == {
        "folder": "/backend",
        "access_token_ttl": 900,
        "other": 1,
    }


@pytest.mark.parametrize("text", ["", "- a\n", "text\n", "schema_version: 3\nproject: {}\n"])
def test_a_project_file_of_this_version_is_not_changed(text: str) -> None:
    assert upgrade_project_text(text, _SCHEMA) == (text, ())


def test_a_project_file_with_both_names_is_left_unchanged_with_a_note() -> None:
    text = "schema_version: 3\nservices: {a: {ttl: 1, access_token_ttl: 2}}\n"
    upgraded = upgrade_project_text(text, _SCHEMA)
    assert (upgraded.text, len(upgraded.notes)) == (text, 1)


def test_a_project_file_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(SettingsError):
        upgrade_project_text("a: [\n", _SCHEMA)


def test_the_version_of_a_project_file_is_raised() -> None:
    text = "# first\nschema_version: 1  # of the file\nproject: {}\n"
    assert upgrade_project_text(text, _SCHEMA).text == text.replace("1 ", "3 ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('dependencies = ["infisical-iac==0.1.0"]', 'dependencies = ["infisical-iac==0.2.0"]'),
        ("x = ['infisical-iac == 0.1.0 ; a']", "x = ['infisical-iac == 0.2.0 ; a']"),
        ('x = ["infisical-iac>=0.1.0"]', 'x = ["infisical-iac>=0.1.0"]'),
        ('x = ["infisical-iac-x==0.1.0"]', 'x = ["infisical-iac-x==0.1.0"]'),
    ],
)
def test_the_pinned_version_is_raised(text: str, expected: str) -> None:
    assert upgrade_pin(text, "infisical-iac", "0.2.0") == expected


def test_settings_with_joined_values_are_valid_python() -> None:
    joined = (Joined("b", "a", "#"),)
    text = upgrade_settings_text('a = "x"; c = 1\nb = "y"\n', SETTINGS_SCHEMA, joined).text
    assert ast.literal_eval(ast.parse(text).body[0].value) == "x#y"  # type: ignore[attr-defined]
