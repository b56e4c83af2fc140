"""Test which files of a user's repository are missing, and which are copies of the tool's."""

from pathlib import Path

import pytest

from infisical_iac.core import own_repository
from infisical_iac.core.bundle import DEFAULTS
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.settings import load

_ADMIN = {"admin_email": "admin@example.com"}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty repository, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFISICAL_IAC_INVENTORY", raising=False)
    (tmp_path / "group_data").mkdir()
    return tmp_path


def _copy_defaults(repository: Path, more: str = "") -> None:
    (repository / "group_data/all.py").write_text(DEFAULTS.read_text() + more)


def test_a_missing_inventory_is_named_with_the_command_that_writes_one(repository: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        own_repository.require_inventory("inventory/acme.py")
    assert raised.value.code == "settings.inventory"
    message, remedy = raised.value.split()
    assert {"inventory/acme.py", str(repository)} <= {*message.split()}
    assert "`infisical-iac init`" in remedy


def test_a_host_of_a_connector_needs_no_inventory_file() -> None:
    own_repository.require_inventory("@local")


def test_a_missing_deploy_file_is_named_with_the_command_that_writes_it() -> None:
    with pytest.raises(FileError) as raised:
        own_repository.require_deploy()
    assert raised.value.code == "file.deploy"
    assert "deploy.py" in raised.value.split()[0]
    assert "`infisical-iac init`" in raised.value.split()[1]


def test_settings_of_servers_are_read_from_the_inventorys_group(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "group_data/acme.py").write_text("")
    monkeypatch.setenv("INFISICAL_IAC_INVENTORY", "inventory/acme.py")
    assert own_repository.settings_file() == Path("group_data/acme.py")
    monkeypatch.setenv("INFISICAL_IAC_INVENTORY", "inventory/other.py")
    assert own_repository.settings_file() == Path("group_data/hetzner.py")


def test_annotated_settings_are_assignments_too(repository: Path) -> None:
    file = repository / "group_data/all.py"
    file.write_text("one = 1\ntwo: int = 2\nthree: int\n")
    assert [*own_repository.read_assignments(file)] == ["one", "two"]


def test_a_repository_without_group_data_has_the_defaults_of_the_package() -> None:
    assert load(_ADMIN).stack.postgres_image.startswith("postgres:17.11@")
    assert own_repository.describe_copied_defaults() == []


def test_a_copy_of_the_defaults_is_read_with_a_hint(repository: Path) -> None:
    _copy_defaults(repository)
    (hint,) = own_repository.describe_copied_defaults()
    assert "group_data/all.py" in hint
    assert "ignored" not in hint


def test_removed_settings_in_a_copy_of_the_defaults_are_named_and_not_refused(
    repository: Path,
) -> None:
    _copy_defaults(repository, "\nold_port = 80\n")
    assert load({**_ADMIN, "old_port": 80}) == load(_ADMIN)
    (hint,) = own_repository.describe_copied_defaults()
    assert "old_port" in hint


def test_an_unknown_setting_of_a_group_is_refused_despite_a_copy_of_the_defaults(
    repository: Path,
) -> None:
    _copy_defaults(repository, "\nold_port = 80\n")
    (repository / "group_data/acme.py").write_text("old_port = 81\n")
    with pytest.raises(SettingsError) as raised:
        load({**_ADMIN, "old_port": 81})
    assert raised.value.code == "settings.unknown_key"


def test_a_file_for_all_groups_with_a_few_settings_is_not_a_copy_of_the_defaults(
    repository: Path,
) -> None:
    (repository / "group_data/all.py").write_text('organization = "Acme"\nold_port = 80\n')
    assert own_repository.describe_copied_defaults() == []
    with pytest.raises(SettingsError) as raised:
        load({**_ADMIN, "old_port": 80})
    assert raised.value.code == "settings.unknown_key"


def test_the_defaults_of_a_checkout_are_not_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DEFAULTS.parents[1])
    assert not own_repository.has_copied_defaults()
