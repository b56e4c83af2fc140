"""Test the report of mistakes in the project file."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.workspace.load import load
from tests.unit.workspace_file import DELIVERED, HEAD

DOKPLOY = DELIVERED + "      production: {dokploy: "
FILE = DELIVERED + "      production: {file: "

# For each text, the place of the mistake, and a fact in the error.
MISTAKES = {
    HEAD + "client_secret_ttl: 3600": ("line 6, client_secret_ttl", "from 86400 (a day)"),
    DELIVERED + "      prod: {file: {host: a, path: /b}}": (
        "line 10, services.a.deliver.prod",
        "there are: staging, production",
    ),
    DELIVERED + "      production: {}": (
        "line 10, services.a.deliver.production",
        "either dokploy or file",
    ),
    HEAD + "hygiene: {max_ages: {}}": (".max_ages", "'max_age'?"),
    HEAD + "hygiene: {max_age: {'*': 0}}": ("hygiene.max_age.*", "0 is out of range"),
    HEAD + "hygiene: {max_age: {'*': 90d}}": ("hygiene.max_age.*", "a whole number"),
    HEAD + "hygiene: {max_age: {'': 9}}": ("hygiene.max_age.", "'' is not a pattern"),
    HEAD + "hygiene: {unread_days: -1}": ("hygiene.unread_days", "-1 is out of range"),
    DELIVERED + "      production: {dokply: {}}": (".production.dokply", "'dokploy'?"),
    DOKPLOY + "{url: 'https://a.example', aplication: x}}": (
        ".production.dokploy.aplication",
        "'application'?",
    ),
    DOKPLOY + "{application: x}}": (".production.dokploy", "has no 'url'"),
    DOKPLOY + "{url: 'https://a.example'}}": (
        "line 10, services.a.deliver.production.dokploy",
        "an application or a compose",
    ),
    DOKPLOY + "{url: 'https://a.example', application: x, compose: y}}": (
        ".production.dokploy",
        "an application or a compose",
    ),
    DOKPLOY + "{url: 'http://a.example', compose: y}}": (
        ".production.dokploy.url",
        "'http://a.example' is not the address",
    ),
    DOKPLOY + "{url: 'https://u@a.example', compose: y}}": (
        ".production.dokploy.url",
        "@a.example' is not the address",
    ),
    DOKPLOY + "{url: 'https://a.example', compose: a/b}}": (
        ".production.dokploy.compose",
        "'a/b' is not an id",
    ),
    FILE + "{host: -oProxyCommand=x, path: /b}}": (
        ".production.file.host",
        "'-oProxyCommand=x' is not a host",
    ),
    FILE + "{host: a, path: b}}": (".production.file.path", "'b' is not a file"),
    FILE + "{host: a, path: /a/../b}}": (".production.file.path", "'/a/../b' is not a file"),
    FILE + "{hst: a, path: /b}}": (".production.file.hst", "'host'?"),
    FILE
    + "{host: a, path: /b}}\n  b: {folder: /b, deliver: {staging: {file: {host: a, path: /b}}}}": (
        "services.b.deliver.staging",
        "of a.production already",
    ),
    HEAD + "accepted: [{what: identity a with role viewer}]": ("accepted[0]", "has no 'reason'"),
    HEAD + "accepted: [{reason: x}]": ("accepted[0]", "has no 'what'"),
    HEAD + "accepted: [{what: ci-runner, reason: x}]": (
        "accepted[0].what",
        "'ci-runner' names no access",
    ),
    HEAD + "accepted: [{what: person a, reason: ' '}]": ("accepted[0].reason", "is missing"),
    HEAD + "accepted: [{what: person a, reason: x, ids: y}]": ("accepted[0].ids", "'id'?"),
    HEAD + "accepted: [{what: person a, reason: x}, {what: person a, reason: y}]": (
        "accepted[1]",
        "'person a' is listed twice",
    ),
    "environments: [{slug: a, name: A}]": ("line 1", "has no 'project'"),
    "project: {name: A, slug: abcde}": ("line 1", "has no 'environments'"),
    "project: {name: A, slug: abcde}\nenvironments: []": ("line 2, environments", "at least one"),
    "project: x\nenvironments: [{slug: a, name: A}]": ("line 1, project", "keys with values"),
    "project: {name: A, slug: abcd}\nenvironments: [{slug: a, name: A}]": (
        "line 1, project.slug",
        "5 to 36",
    ),
    HEAD + "servces: {}": ("line 6, servces", "'services'?"),
    HEAD + "services:\n  a:\n    folder: /a\n    import: [/shared]": (
        "line 9, services.a.import",
        "'imports'?",
    ),
    HEAD + "services:\n  a:\n    imports: [/shared]": (
        "line 7, services.a",
        "such as `folder: /backend`",
    ),
    HEAD + "services:\n  a:": ("line 7, services.a", "has no 'folder'"),
    HEAD + "services:\n  a: {folder: /a}\n  b: {folder: /a}": (
        "line 8, services.b.folder",
        "the folder of 'a'",
    ),
    HEAD + "services:\n  a: {folder: /shared}": (
        "line 7, services.a.folder",
        "/shared is a shared folder",
    ),
    HEAD + "services:\n  a: {folder: a}": ("line 7, services.a.folder", "'a' is not a folder"),
    HEAD + "services:\n  a: {folder: /a/}": ("line 7, services.a.folder", "'/a/' is not a folder"),
    HEAD + "services:\n  a: {folder: /a.b}": (
        "line 7, services.a.folder",
        "'/a.b' is not a folder",
    ),
    HEAD + "services:\n  a: {folder: /}": ("line 7, services.a.folder", "'/' is not a folder"),
    HEAD + "services:\n  A b: {folder: /a}": ("line 7, services.A b", "'A b' is not a slug"),
    HEAD + "services:\n  a: {folder: /a, imports: [/shred]}": (
        "line 7, services.a.imports[0]",
        "'/shared'?",
    ),
    HEAD + "services:\n  a: {folder: /a, imports: [/shared, /shared]}": (
        "line 7, services.a.imports[1]",
        "/shared is imported twice",
    ),
    HEAD + "services:\n  a: {folder: /a, access_token_ttl: 100000}": (
        "line 7, services.a",
        "above access_token_max_ttl 86400",
    ),
    HEAD + "access_token_ttl: 100000\nci:\n  tests: {sees: names, auth: universal}": (
        "line 6, access_token_ttl",
        "above access_token_max_ttl 86400",
    ),
    HEAD + "access_token_max_ttl: 600\nci:\n  tests: {sees: names, auth: universal}": (
        "line 6, access_token_max_ttl",
        "access_token_ttl 1800",
    ),
    HEAD + "access_token_ttl: 5": ("line 6, access_token_ttl", "5 is out of range"),
    HEAD + "access_token_ttl: yes": ("line 6, access_token_ttl", "a whole number"),
    HEAD.replace("[/shared]", "[/shared, /shared]"): (
        "line 5, shared_folders[1]",
        "/shared is listed twice",
    ),
    HEAD.replace("slug: production", "slug: staging"): (
        "line 4, environments[1].slug",
        "'staging' is listed twice",
    ),
    HEAD.replace("name: Production", "name: Staging"): (
        "line 4, environments[1].name",
        "is named 'Staging'",
    ),
    HEAD.replace("slug: staging", "slug: Staging"): (
        "line 3, environments[0].slug",
        "'Staging' is not a slug",
    ),
    HEAD.replace("slug: staging", f"slug: {'a' * 65}"): (
        "line 3, environments[0].slug",
        "at most 64",
    ),
    HEAD.replace("name: Staging", "name: ' '"): (
        "line 3, environments[0].name",
        "' ' is not a name",
    ),
    HEAD.replace("slug: staging", "slug: 7"): ("line 3, environments[0].slug", "text, in quotes"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(text: str) -> None:
    place, fact = MISTAKES[text]
    with pytest.raises(FileError) as refused:
        load(text)
    assert refused.value.code == "file.project"
    (sentence,) = [each for each in str(refused.value).split("; the project") if fact in each]
    assert f"{place}: " in sentence


@pytest.mark.parametrize("text", ["", "- one"])
def test_a_file_without_keys_is_refused_with_the_required_keys(text: str) -> None:
    with pytest.raises(FileError, match="keys: project, environments,") as refused:
        load(text)
    assert refused.value.code == "file.project"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("project: [", "line 1: "),
        ("a: 1\n b: 2", "line 2: "),
        ("a: !!python/object:os.system {}", "line 1: "),
        ("\0", "character #x0000"),
    ],
)
def test_a_text_that_is_not_yaml_is_refused_with_its_place(text: str, fact: str) -> None:
    with pytest.raises(FileError, match=fact) as refused:
        load(text)
    assert refused.value.code == "file.yaml"


def test_a_service_that_is_listed_twice_is_named_with_both_lines() -> None:
    with pytest.raises(FileError, match=r"line 8: services\.a .* line 7 ") as refused:
        load(HEAD + "services:\n  a: {folder: /a}\n  a: {folder: /b}")
    assert refused.value.code == "file.duplicate_key"


def test_two_services_whose_identities_would_share_a_name_are_refused() -> None:
    text = (
        "project: {name: A, slug: abcde}\n"
        "environments: [{slug: b-c, name: BC}, {slug: c, name: C}]\n"
        "services:\n  a: {folder: /a}\n  a-b: {folder: /ab}\n"
    )
    with pytest.raises(FileError, match=r"'a-b-c' like that of 'a\.b-c'; rename"):
        load(text)


def test_all_mistakes_are_reported_at_once() -> None:
    text = HEAD + "services:\n  a: {folder: x}\n  b: {imports: []}\nextra: 1"
    with pytest.raises(FileError) as refused:
        load(text)
    assert str(refused.value).count("the project file, line") == 3


def test_a_missing_file_is_named_with_the_setting_to_check(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.yaml: .* 'workspace_file'") as refused:
        load(tmp_path / "none.yaml")
    assert refused.value.code == "file.missing"


def test_mistakes_are_reported_with_the_path_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(FileError, match=r"mine\.yaml is not in UTF-8") as encoded:
        load(path)
    assert encoded.value.code == "file.encoding"
    path.write_text("a: 1", encoding="utf-8")
    with pytest.raises(FileError, match=r"mine\.yaml, line 1, a: ") as mistaken:
        load(path)
    assert mistaken.value.code == "file.project"
    assert "is unknown; there are:" in str(mistaken.value)
