"""Test additions to a project file: nothing that was written by hand changes."""

import difflib
from pathlib import Path

import pytest
import yaml

from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.init.project_file import add_environment, add_person, add_service, scalar
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Environment

_SHIPPED = (Path(__file__).resolve().parents[3] / "group_data" / "chainalign.yaml").read_text()
_QA = Environment(slug="qa", name="Quality")
# Mappings are indented by four spaces and sequences are not; with comments, quotes and blanks.
_BY_HAND = """\
schema_version: 1
project:   {name: "Acme",  slug: 'acme-shop'}   # ours
environments:
- slug: development
  name: "Development"   # dev

- slug: production
  name: Production
  # the end of environments
shared_folders: [ /shared ]
services:
    backend:   # Node
        folder:    /backend
        imports: [ /shared, ]
        # deliver:
        #   production: x

    # web is no service yet:
    # web:
    #     folder: /web

# --- people ---
people:
    ada@example.com:  admin # boss
# the end
"""
_IN_BRACES = """\
# one line each
project: {name: Acme, slug: acme-shop}   # ours
environments: [{slug: dev, name: Dev}]  # few
services: {backend: {folder: /backend}}  # one
people: {} # nobody yet
"""
_BARE = "project: {name: Acme, slug: acme-shop}\nenvironments:\n  - {slug: dev, name: Dev}"


def _diff(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are gone and the lines that are new."""
    lines = [*difflib.ndiff(before.splitlines(), after.splitlines())]
    gone = [line[2:] for line in lines if line.startswith("- ")]
    return gone, [line[2:] for line in lines if line.startswith("+ ")]


def _add_all(text: str) -> str:
    text = add_service(text, "web", "/web")
    return add_person(add_environment(text, _QA), "zoe@example.com", "viewer")


@pytest.mark.parametrize("text", [_SHIPPED, _BY_HAND, _IN_BRACES, _BARE, _BARE + "\npeople:\n"])
def test_additions_change_nothing_else(text: str) -> None:
    before, after = yaml.safe_load(text), yaml.safe_load(_add_all(text))
    web = {"folder": "/web", **({"imports": ["/shared"]} if "shared_folders" in before else {})}
    assert after == {
        **before,
        "services": {**before.get("services", {}), "web": web},
        "environments": [*before["environments"], {"slug": "qa", "name": "Quality"}],
        "people": {**(before.get("people") or {}), "zoe@example.com": "viewer"},
    }
    load(_add_all(text))


@pytest.mark.parametrize("text", [_SHIPPED, _BY_HAND])
def test_additions_change_no_existing_line(text: str) -> None:
    gone, _ = _diff(text, _add_all(text))
    assert gone == []


def test_an_added_entry_is_formatted_like_the_entries_around_it() -> None:
    _, added = _diff(_BY_HAND, _add_all(_BY_HAND))
    assert added == [
        "",
        "- slug: qa",
        "  name: Quality",
        "    web:",
        "        folder: /web",
        "        imports: [/shared]",
        "    zoe@example.com: viewer",
    ]
    lines = _add_all(_BY_HAND).splitlines()
    assert lines.index("    web:") == lines.index("    #     folder: /web") + 1
    assert lines.index("- slug: qa") == lines.index("  # the end of environments") + 2


def test_the_first_person_is_added_below_the_example() -> None:
    lines = add_person(_SHIPPED, "zoe@example.com", "viewer").splitlines()
    assert lines[lines.index("people:") - 1] == "#       /shared: viewer"


def test_only_lines_in_braces_are_rewritten_and_keep_their_comments() -> None:
    gone, added = _diff(_IN_BRACES, _add_all(_IN_BRACES))
    assert len(gone) == 3
    assert [line.partition("#")[2] for line in added if "#" in line] == [
        " few",
        " one",
        " nobody yet",
    ]


def test_windows_line_endings_are_kept() -> None:
    text = _BY_HAND.replace("\n", "\r\n")
    assert _add_all(text) == _add_all(_BY_HAND).replace("\n", "\r\n")


@pytest.mark.parametrize(
    "add",
    [
        lambda: add_service(_SHIPPED, "backend", "/other"),
        lambda: add_service(_SHIPPED, "other", "/backend"),
        lambda: add_environment(_SHIPPED, Environment(slug="staging", name="Other")),
        lambda: add_environment(_SHIPPED, Environment(slug="other", name="Staging")),
        lambda: add_person(_BY_HAND, "ada@example.com", "viewer"),
    ],
)
def test_an_entry_that_exists_is_refused(add: object) -> None:
    assert callable(add)
    with pytest.raises(SettingsError) as refused:
        add()
    assert refused.value.code == "settings.in_project_file"


@pytest.mark.parametrize("text", ["", "services: [", "project: 1", "a: &a {b: 1}\nservices: *a"])
def test_a_file_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(FileError):
        add_service(text, "web", "/web")


@pytest.mark.parametrize("name", ["null", "123", "true", "1e3", "on"])
def test_a_name_that_yaml_reads_as_another_type_is_quoted(name: str) -> None:
    assert yaml.safe_load(scalar(name)) == name
    assert name in load(add_service(_SHIPPED, name, "/web")).services
