"""What the workspace file may say, and how a mistake in it is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace

HEAD = """\
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
"""


def test_the_shipped_file_is_read() -> None:
    workspace = load(Path(__file__).parents[2] / "group_data" / "chainalign.yaml")
    assert [each.slug for each in workspace.environments] == [
        "development",
        "staging",
        "production",
    ]
    assert workspace.folders == ["/backend", "/python-services", "/shared"]
    assert [account.identity for account in workspace.accounts()] == [
        "backend-development",
        "backend-staging",
        "backend-production",
        "python-service-development",
        "python-service-staging",
        "python-service-production",
    ]


def test_a_service_may_have_its_own_token_times() -> None:
    workspace = load(
        HEAD
        + "access_token_ttl: 900\n"
        + "services:\n"
        + "  a: {folder: /a}\n"
        + "  b: {folder: /b, access_token_ttl: 600, access_token_max_ttl: 7200}\n"
    )
    times = {(each.service, each.ttl, each.max_ttl) for each in workspace.accounts()}
    assert times == {("a", 900, 86400), ("b", 600, 7200)}


def test_a_service_may_have_its_own_life_of_client_secrets() -> None:
    workspace = load(
        HEAD
        + "client_secret_ttl: 7776000\n"
        + "services:\n  a: {folder: /a}\n  b: {folder: /b, client_secret_ttl: 0}\n"
    )
    lives = {(each.service, each.client_secret_ttl) for each in workspace.accounts()}
    assert lives == {("a", 7_776_000), ("b", 0)}


def test_a_service_says_by_environment_where_its_credentials_go() -> None:
    workspace = load(
        DELIVERED
        + "      production: {dokploy: {url: https://dokploy.example.com/api/, application: x-1}}\n"
        + "      staging: {file: {host: deploy@app-1, path: /srv/a/credentials.env}}\n"
    )
    assert {each.environment: str(each.target) for each in workspace.accounts()} == {
        "production": "application x-1 of Dokploy at https://dokploy.example.com",
        "staging": "/srv/a/credentials.env on deploy@app-1",
    }


def test_parents_of_folders_come_before_them() -> None:
    folders = load(HEAD + "services: {a: {folder: /x/y/z}}").folders
    assert folders == ["/shared", "/x", "/x/y", "/x/y/z"]


DELIVERED = HEAD + "services:\n  a:\n    folder: /a\n    deliver:\n"
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
        "services.a.deliver.production: either dokploy or file must stand here"
    ),
    DELIVERED + "      production: {dokply: {}}": "unknown; did you mean 'dokploy'?",
    DOKPLOY + "{url: 'https://a.example', aplication: x}}": "unknown; did you mean 'application'?",
    DOKPLOY + "{application: x}}": "has no 'url'; add the address of Dokploy such as",
    DOKPLOY + "{url: 'https://a.example'}}": (
        "services.a.deliver.production.dokploy: either an application or a compose must stand here"
    ),
    DOKPLOY + "{url: 'https://a.example', application: x, compose: y}}": (
        "either an application or a compose must stand here"
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
    "project: x\nenvironments: [{slug: a, name: A}]": (
        "line 1, project: keys with values must stand here"
    ),
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
        "line 8: services.a is there a second time, after line 7"
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
        "services.a.imports[1]: /shared is imported already"
    ),
    HEAD + "services:\n  a: {folder: /a, access_token_ttl: 100000}": (
        "services.a: access_token_ttl 100000 is above access_token_max_ttl 86400"
    ),
    HEAD + "access_token_ttl: 5": "line 6, access_token_ttl: 5 is out of range",
    HEAD + "access_token_ttl: yes": "line 6, access_token_ttl: a whole number must stand here",
    HEAD.replace("[/shared]", "[/shared, /shared]"): (
        "line 5, shared_folders[1]: /shared is there already"
    ),
    HEAD.replace("slug: production", "slug: staging"): (
        "line 4, environments[1].slug: the environment 'staging' is there already"
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
        "environments[0].slug: text, in quotes if need be must stand here"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(text: str) -> None:
    with pytest.raises(WorkspaceError) as refused:
        load(text)
    assert MISTAKES[text] in str(refused.value)


def test_two_services_whose_identities_would_share_a_name_are_refused() -> None:
    text = (
        "project: {name: A, slug: abcde}\n"
        "environments: [{slug: b-c, name: BC}, {slug: c, name: C}]\n"
        "services:\n  a: {folder: /a}\n  a-b: {folder: /ab}\n"
    )
    with pytest.raises(WorkspaceError, match=r"'a-b-c' as that of 'a\.b-c' is; rename"):
        load(text)


def test_all_mistakes_are_told_at_once() -> None:
    text = HEAD + "services:\n  a: {folder: x}\n  b: {imports: []}\nextra: 1"
    with pytest.raises(WorkspaceError) as refused:
        load(text)
    assert str(refused.value).count("the workspace file, line") == 3


def test_a_missing_file_is_named_with_the_setting_to_check(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="check its option, or the setting 'workspace_file'"):
        load(tmp_path / "none.yaml")


def test_a_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(WorkspaceError, match="is not in UTF-8"):
        load(path)
    path.write_text("a: 1", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"mine\.yaml, line 1, a: this key is unknown"):
        load(path)


_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
_ANY = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_LEAVES, inner, max_size=3)
)
_KEYS = st.sampled_from([*Workspace.model_fields, "other"])


@given(st.dictionaries(_KEYS, _ANY))
def test_any_yaml_is_read_or_refused_with_a_sentence(data: dict[str, Any]) -> None:
    sentence = ""
    try:
        load(yaml.safe_dump(data))
    except WorkspaceError as refused:
        sentence = str(refused)
    assert sentence.isprintable()


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(WorkspaceError):
        load(text)
