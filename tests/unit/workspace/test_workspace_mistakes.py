"""Test the report of mistakes in the project file."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.workspace.load import load
from tests.unit.workspace_file import DELIVERED, HEAD

DOKPLOY = DELIVERED + "      production: {dokploy: "
FILE = DELIVERED + "      production: {file: "

MISTAKES = {
    HEAD + "client_secret_ttl: 3600": (
        "line 6, client_secret_ttl: 3600 is out of range; write seconds, from 86400 (a day)"
    ),
    DELIVERED + "      prod: {file: {host: a, path: /b}}": (
        "line 10, services.a.deliver.prod: 'prod' is no environment; there are: staging, production"
    ),
    DELIVERED + "      production: {}": (
        "services.a.deliver.production: write either dokploy or file here"
    ),
    DELIVERED + "      production: {dokply: {}}": "unknown; did you mean 'dokploy'?",
    DOKPLOY + "{url: 'https://a.example', aplication: x}}": "unknown; did you mean 'application'?",
    DOKPLOY + "{application: x}}": "has no 'url'; add the address of Dokploy such as",
    DOKPLOY + "{url: 'https://a.example'}}": (
        "services.a.deliver.production.dokploy: write either an application or a compose here"
    ),
    DOKPLOY + "{url: 'https://a.example', application: x, compose: y}}": (
        "write either an application or a compose here"
    ),
    DOKPLOY + "{url: 'http://a.example', compose: y}}": "'http://a.example' is no address of a",
    DOKPLOY + "{url: 'https://u@a.example', compose: y}}": "is no address of a Dokploy",
    DOKPLOY + "{url: 'https://a.example', compose: a/b}}": "'a/b' is no id",
    FILE + "{host: -oProxyCommand=x, path: /b}}": "'-oProxyCommand=x' is no host",
    FILE + "{host: a, path: b}}": "'b' is no file; write its whole path",
    FILE + "{host: a, path: /a/../b}}": "'/a/../b' is no file",
    FILE + "{hst: a, path: /b}}": "unknown; did you mean 'host'?",
    FILE
    + "{host: a, path: /b}}\n  b: {folder: /b, deliver: {staging: {file: {host: a, path: /b}}}}": (
        "services.b.deliver.staging: /b on a takes the credentials of a.production already"
    ),
    HEAD + "accepted: [{what: identity a with role viewer}]": (
        "accepted[0]: has no 'reason'; add who wants it and what for"
    ),
    HEAD + "accepted: [{reason: x}]": "has no 'what'; add what `infisical-iac plan` shows",
    HEAD + "accepted: [{what: ci-runner, reason: x}]": (
        "accepted[0].what: 'ci-runner' names no access; copy what `infisical-iac plan` shows"
    ),
    HEAD + "accepted: [{what: person a, reason: ' '}]": "the reason is missing; write who wants it",
    HEAD + "accepted: [{what: person a, reason: x, ids: y}]": "unknown; did you mean 'id'?",
    HEAD + "accepted: [{what: person a, reason: x}, {what: person a, reason: y}]": (
        "accepted[1]: 'person a' is listed twice; remove one of them"
    ),
    "project: [": "line 1: this is no YAML",
    "a: 1\n b: 2": "line 2: this is no YAML",
    "a: !!python/object:os.system {}": "line 1: this is no YAML",
    "\0": "character #x0000 is not allowed",
    "": "must begin with keys: project, environments",
    "- one": "must begin with keys: project, environments",
    "environments: [{slug: a, name: A}]": "line 1: has no 'project'; add name and slug",
    "project: {name: A, slug: abcde}": "line 1: has no 'environments'; add a list",
    "project: {name: A, slug: abcde}\nenvironments: []": (
        "line 2, environments: at least one is needed"
    ),
    "project: x\nenvironments: [{slug: a, name: A}]": ("line 1, project: write keys with values"),
    "project: {name: A, slug: abcd}\nenvironments: [{slug: a, name: A}]": (
        "line 1, project.slug: 'abcd' is no slug of a project; write 5 to 36"
    ),
    HEAD + "servces: {}": "line 6, servces: this key is unknown; did you mean 'services'?",
    HEAD + "services:\n  a:\n    folder: /a\n    import: [/shared]": (
        "line 9, services.a.import: this key is unknown; did you mean 'imports'?"
    ),
    HEAD + "services:\n  a:\n    imports: [/shared]": (
        "line 7, services.a: has no 'folder'; add its own folder such as `folder: /backend`"
    ),
    HEAD + "services:\n  a:": "line 7, services.a: has no 'folder'; add its own folder",
    HEAD + "services:\n  a: {folder: /a}\n  a: {folder: /b}": (
        "line 8: services.a is in line 7 too"
    ),
    HEAD + "services:\n  a: {folder: /a}\n  b: {folder: /a}": (
        "line 8, services.b.folder: /a is the folder of 'a' already"
    ),
    HEAD + "services:\n  a: {folder: /shared}": "/shared is a shared folder; give it its own",
    HEAD + "services:\n  a: {folder: a}": "line 7, services.a.folder: 'a' is no folder",
    HEAD + "services:\n  a: {folder: /a/}": "'/a/' is no folder",
    HEAD + "services:\n  a: {folder: /a.b}": "'/a.b' is no folder",
    HEAD + "services:\n  a: {folder: /}": "'/' is no folder",
    HEAD + "services:\n  A b: {folder: /a}": "'A b' is no slug",
    HEAD + "services:\n  a: {folder: /a, imports: [/shred]}": (
        "line 7, services.a.imports[0]: /shred is no entry of shared_folders; "
        "did you mean '/shared'?"
    ),
    HEAD + "services:\n  a: {folder: /a, imports: [/shared, /shared]}": (
        "services.a.imports[1]: /shared is imported twice; remove one of them"
    ),
    HEAD + "services:\n  a: {folder: /a, access_token_ttl: 100000}": (
        "services.a: access_token_ttl 100000 is above access_token_max_ttl 86400"
    ),
    HEAD + "access_token_ttl: 5": "line 6, access_token_ttl: 5 is out of range",
    HEAD + "access_token_ttl: yes": "line 6, access_token_ttl: write a whole number",
    HEAD.replace("[/shared]", "[/shared, /shared]"): (
        "line 5, shared_folders[1]: /shared is listed twice"
    ),
    HEAD.replace("slug: production", "slug: staging"): (
        "line 4, environments[1].slug: the environment 'staging' is listed twice"
    ),
    HEAD.replace("name: Production", "name: Staging"): (
        "line 4, environments[1].name: another environment is named 'Staging'"
    ),
    HEAD.replace("slug: staging", "slug: Staging"): (
        "line 3, environments[0].slug: 'Staging' is no slug"
    ),
    HEAD.replace("slug: staging", f"slug: {'a' * 65}"): "is no slug; write at most 64",
    HEAD.replace("name: Staging", "name: ' '"): "environments[0].name: ' ' is no name",
    HEAD.replace("slug: staging", "slug: 7"): (
        "environments[0].slug: write text, in quotes if needed"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(text: str) -> None:
    with pytest.raises(UserError) as refused:
        load(text)
    assert MISTAKES[text] in str(refused.value)


def test_two_services_whose_identities_would_share_a_name_are_refused() -> None:
    text = (
        "project: {name: A, slug: abcde}\n"
        "environments: [{slug: b-c, name: BC}, {slug: c, name: C}]\n"
        "services:\n  a: {folder: /a}\n  a-b: {folder: /ab}\n"
    )
    with pytest.raises(UserError, match=r"'a-b-c' as that of 'a\.b-c' is; rename"):
        load(text)


def test_all_mistakes_are_reported_at_once() -> None:
    text = HEAD + "services:\n  a: {folder: x}\n  b: {imports: []}\nextra: 1"
    with pytest.raises(UserError) as refused:
        load(text)
    assert str(refused.value).count("the project file, line") == 3


def test_a_missing_file_is_named_with_the_setting_to_check(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check its option, or the setting 'workspace_file'"):
        load(tmp_path / "none.yaml")


def test_a_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(UserError, match="is not in UTF-8"):
        load(path)
    path.write_text("a: 1", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml, line 1, a: this key is unknown"):
        load(path)
