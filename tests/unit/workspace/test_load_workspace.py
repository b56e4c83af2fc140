"""Test which project files are accepted."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.bundle import DEFAULTS
from infisical_iac.core.errors import FileError, SettingsError, UserError
from infisical_iac.workspace.load import (
    declared_file,
    declared_isolation,
    declared_rate,
    load,
)
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.targets import DokployTarget, FileTarget
from tests.unit.workspace_file import DELIVERED, HEAD


def test_the_shipped_file_is_read() -> None:
    workspace = load(Path(__file__).parents[3] / "group_data" / "chainalign.yaml")
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


def test_a_service_may_have_its_own_lifetime_of_client_secrets() -> None:
    workspace = load(
        HEAD
        + "client_secret_ttl: 7776000\n"
        + "services:\n  a: {folder: /a}\n  b: {folder: /b, client_secret_ttl: 0}\n"
    )
    lives = {(each.service, each.client_secret_ttl) for each in workspace.accounts()}
    assert lives == {("a", 7_776_000), ("b", 0)}


def test_a_service_has_targets_by_environment() -> None:
    workspace = load(
        DELIVERED
        + "      production: {dokploy: {url: https://dokploy.example.com/api/, application: x-1}}\n"
        + "      staging: {file: {host: deploy@app-1, path: /srv/a/credentials.env}}\n"
    )
    assert {
        each.environment: each.target.place for each in workspace.accounts() if each.target
    } == {
        "production": DokployTarget(url="https://dokploy.example.com", application="x-1"),
        "staging": FileTarget(host="deploy@app-1", path="/srv/a/credentials.env"),
    }


def test_folders_are_listed_after_their_parents() -> None:
    folders = load(HEAD + "services: {a: {folder: /x/y/z}}").folders
    assert folders == ["/shared", "/x", "/x/y", "/x/y/z"]


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
    except UserError as refused:
        sentence = str(refused)
    assert sentence.isprintable()


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UserError):
        load(text)


def test_the_list_of_accepted_access_may_be_empty() -> None:
    assert load(HEAD + "accepted:\n").accepted == ()
    entry = "accepted: [{what: token-auth of a-qa, reason: a test, id: some-id}]\n"
    (accepted,) = load(HEAD + entry).accepted
    assert (accepted.what, accepted.id) == ("token-auth of a-qa", "some-id")


class TestDeclaredFile:
    """The project file of commands that connect to no host."""

    @pytest.fixture
    def clone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "inventory").mkdir()
        (tmp_path / "group_data").mkdir()
        (tmp_path / "group_data/all.py").write_text('workspace_file = "group_data/first.yaml"\n')
        return tmp_path

    def test_the_setting_of_all_groups_counts(self, clone: Path) -> None:
        assert declared_file("inventory/hetzner.py") == Path("group_data/first.yaml")

    @pytest.mark.parametrize("group", ["office", "hosts"])
    def test_the_group_of_the_inventory_takes_precedence(self, clone: Path, group: str) -> None:
        (clone / "inventory/office.py").write_text('hosts = ["203.0.113.7"]\n')
        text = f'workspace_file = "group_data/{group}.yaml"\n'
        (clone / f"group_data/{group}.py").write_text(text)
        assert declared_file("inventory/office.py") == Path(f"group_data/{group}.yaml")
        assert declared_file("inventory/other.py") == Path("group_data/first.yaml")

    def test_the_rate_limits_of_the_group_count_too(self, clone: Path) -> None:
        assert declared_rate("inventory/office.py") is None
        (clone / "group_data/office.py").write_text('api_rate = {"reads": 30}\n')
        rate = declared_rate("inventory/office.py")
        assert dict(rate or ()) == {"reads": 30, "writes": 200, "secrets": 40}

    @pytest.mark.parametrize(
        ("value", "code", "fact"),
        [
            ("dict(reads=30)", "settings.no_literal", "group_data/office.py"),
            ('{"reads": 0}', "settings", "'api_rate.reads'"),
            ('{"read": 3}', "settings", "'api_rate.read'"),
            ("60", "settings", "'api_rate'"),
        ],
    )
    def test_rate_limits_that_can_not_be_used_are_refused(
        self, clone: Path, value: str, code: str, fact: str
    ) -> None:
        (clone / "group_data/office.py").write_text(f"api_rate = {value}\n")
        with pytest.raises(SettingsError) as refused:
            declared_rate("inventory/office.py")
        assert refused.value.code == code
        assert fact in str(refused.value)

    def test_the_shipped_file_is_the_default_outside_of_a_clone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert declared_file("inventory/hetzner.py") == Path("group_data/chainalign.yaml")

    def test_the_error_on_a_missing_project_file_names_init(self) -> None:
        with pytest.raises(FileError, match="`infisical-iac init`"):
            load(Path("nowhere/acme.yaml"))

    def test_settings_files_are_not_executed(self, clone: Path) -> None:
        (clone / "group_data/office.py").write_text("workspace_file = open('made', 'w').name\n")
        assert declared_file("inventory/office.py") == Path("group_data/first.yaml")
        assert not (clone / "made").exists()

    def test_the_isolation_is_unknown_unless_a_settings_file_gives_it(self, clone: Path) -> None:
        assert declared_isolation("inventory/office.py") is None
        for said, isolation in (("projects", "projects"), ("rooms", None)):
            (clone / "group_data/office.py").write_text(f"isolation = '{said}'\n")
            assert declared_isolation("inventory/office.py") == isolation

    def test_the_defaults_in_a_checkout_give_no_isolation(self) -> None:
        assert declared_isolation("inventory/hetzner.py", DEFAULTS.parents[1]) is None
