"""Test that the password for a registry is read only from a file or a variable."""

from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.stack.registry_login import RegistryLogin, choose_login, read_password
from tests.unit.settings_of import settings_of

_LOGIN = {"registry": "registry.example.com", "user": "deploy"}


def _login(**values: Any) -> RegistryLogin:
    return RegistryLogin(**{**_LOGIN, **values})


def test_the_password_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("not-a-secret\n")
    file.chmod(0o600)
    assert read_password(_login(password_file=str(file))) == "not-a-secret"


def test_the_password_is_read_from_a_variable() -> None:
    login = _login(password_variable="REGISTRY_PASSWORD")
    assert read_password(login, {"REGISTRY_PASSWORD": "not-a-secret"}) == "not-a-secret"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("not-a-secret\n")
    file.chmod(0o640)
    with pytest.raises(SettingsError, match=f"chmod 600 {file}") as error:
        read_password(_login(password_file=str(file)))
    assert error.value.code == "settings.registry_password_readable"
    assert "not-a-secret" not in str(error.value)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_missing_password_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with pytest.raises(SettingsError, match=str(file)) as error:
        read_password(_login(password_file=str(file)))
    assert error.value.code == "settings.registry_password"


def test_a_missing_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="REGISTRY_PASSWORD") as error:
        read_password(_login(password_variable="REGISTRY_PASSWORD"), {})
    assert error.value.code == "settings.registry_password"


def test_a_login_is_for_one_registry() -> None:
    private = _login(password_variable="A")
    hub = _login(registry="docker.io", password_variable="B")
    assert choose_login([private, hub], "registry.example.com") == private
    assert choose_login([private, hub], "docker.io") == hub
    assert choose_login([private, hub], "ghcr.io") is None
    assert choose_login([], "docker.io") is None


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({}, "password_file or password_variable"),
        ({"password_file": "a", "password_variable": "B"}, "password_file or password_variable"),
        ({"registry": "https://registry.example.com", "password_file": "a"}, "write its host"),
        ({"user": "--help", "password_file": "a"}, "write the name"),
        ({"user": "a:b", "password_file": "a"}, "write the name"),
        ({"password_variable": "not a name"}, "password_variable"),
        ({"password": "not-a-secret"}, "password_file"),
    ],
)
def test_an_invalid_login_is_refused(change: dict[str, str], fact: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings_of(registry_login=({**_LOGIN, **change},))
    assert fact in str(error.value)


def test_a_password_in_the_settings_is_not_shown() -> None:
    with pytest.raises(SettingsError) as error:
        settings_of(registry_login=({**_LOGIN, "password": "not-a-secret"},))
    assert "not-a-secret" not in str(error.value)
