"""Test the settings of logins and the license, and the callbacks that follow from them."""

from typing import Any, get_args

import pytest
import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.instance.login import (
    PROVIDERS,
    TITLES,
    Logins,
    Method,
    Provider,
    callback_address,
    client_secret_of,
    describe_callbacks,
    describe_new_callbacks,
)
from infisical_iac.instance.settings import given_by_key
from infisical_iac.instance.variables import OWNED
from infisical_iac.stack.compose import compose_file
from tests.unit.rendered_stack import TRIXIE, read_deployed
from tests.unit.settings_of import NAME, settings_of

_GITLAB = {"client_id": "fake-client", "address": "https://gitlab.example.com"}
_LOGIN = {"google": {"client_id": "fake.apps.googleusercontent.com"}, "gitlab": _GITLAB}


def _environment(drill: bool = False, **changes: Any) -> dict[str, str]:
    text = compose_file(settings_of(**changes), TRIXIE, drill=drill)
    found: dict[str, str] = yaml.safe_load(text)["services"]["infisical"]["environment"]
    return {name: found[name] for name in found if "LOGIN" in name or "LICENSE" in name}


def test_the_container_gets_each_client_and_its_secret() -> None:
    assert _environment(login=_LOGIN) == {
        "CLIENT_ID_GOOGLE_LOGIN": "fake.apps.googleusercontent.com",
        "CLIENT_SECRET_GOOGLE_LOGIN": "${CLIENT_SECRET_GOOGLE_LOGIN:-}",
        "CLIENT_ID_GITLAB_LOGIN": "fake-client",
        "CLIENT_SECRET_GITLAB_LOGIN": "${CLIENT_SECRET_GITLAB_LOGIN:-}",
        "CLIENT_GITLAB_LOGIN_URL": "https://gitlab.example.com",
    }


@pytest.mark.parametrize(
    ("kind", "variable"), [("online", "LICENSE_KEY"), ("offline", "LICENSE_KEY_OFFLINE")]
)
def test_the_container_gets_the_license(kind: str, variable: str) -> None:
    assert _environment(license_key=kind) == {variable: f"${{{variable}:-}}"}


def test_a_drill_has_neither_logins_nor_the_license() -> None:
    assert _environment(drill=True, login=_LOGIN, license_key="online") == {}


def test_each_provider_has_a_field_and_a_method() -> None:
    assert [*PROVIDERS] == [*get_args(Provider)] == [*Logins.model_fields]
    assert {*PROVIDERS} < {*get_args(Method)} == {*TITLES}
    assert {client_secret_of(each) for each in PROVIDERS} < {*OWNED}


def test_the_addresses_of_a_provider_are_those_that_it_documents() -> None:
    login = settings_of(login=_LOGIN | {"github": {"client_id": "Ov23fake"}}).instance.login
    found = {each: login.provider(each) for each in login.clients}
    assert {name: (each.page, each.token, each.servers) for name, each in found.items()} == {
        "google": (
            "https://accounts.google.com",
            "https://www.googleapis.com/oauth2/v4/token",
            ("https://www.googleapis.com",),
        ),
        "github": (
            "https://github.com",
            "https://github.com/login/oauth/access_token",
            ("https://github.com", "https://api.github.com"),
        ),
        "gitlab": (
            "https://gitlab.example.com",
            "https://gitlab.example.com/oauth/token",
            ("https://gitlab.example.com",),
        ),
    }


def test_each_secret_has_a_name_for_its_rotation() -> None:
    settings = settings_of(login={"github": {"client_id": "Ov23fake"}}, license_key="offline")
    assert [each.name for each in settings.instance.secrets] == ["github", "license"]
    found = [given_by_key(each.key) for each in settings.instance.secrets]
    assert [each and each.name for each in found] == ["github", "license"]


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"login": {"okta": {"client_id": "x"}}}, "google, github, gitlab"),
        ({"login": {"google": {}}}, "client_id"),
        ({"login": {"google": "fake"}}, "{'client_id': '1234.apps"),
        ({"login": {"google": {"client_id": "two words"}}}, "without blanks"),
        ({"login": {"gitlab": _GITLAB | {"address": "http://gitlab.example.com"}}}, "https://"),
        ({"login": {"gitlab": _GITLAB | {"address": "https://gitlab.example.com/"}}}, "slash"),
        ({"login_methods": ("email", "google")}, "add it to login"),
        ({"login_methods": ("email", "oidc")}, "license_key"),
        ({"login_methods": ("oidc",), "license_key": "online"}, "add 'email'"),
        ({"login_methods": "email"}, "('email',)"),
        ({"login_methods": ("emial",)}, "'email'"),
    ],
)
def test_a_login_that_can_not_work_is_refused(changes: dict[str, Any], fact: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(**changes)
    assert fact in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"login": {"google": {"client_id": "GOCSPX-obviously-fake"}}}, "GOCSPX"),
        ({"login": {"github": {"client_id": "0123456789" * 4}}}, "0123456789"),
        ({"login": {"gitlab": {"client_id": "gloas-obviously-fake"}}}, "gloas"),
        ({"login": {"gitlab": _GITLAB | {"client_secret": "obviously-fake"}}}, "obviously"),
        ({"license_key": "obviously-fake"}, "obviously"),
    ],
)
def test_a_secret_in_the_settings_is_refused_without_showing_it(
    changes: dict[str, Any], secret: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(**changes)
    assert secret not in str(refused.value)


@pytest.mark.parametrize("methods", [("email",), ("google",), ("email", "google", "gitlab")])
def test_methods_that_let_somebody_in_are_accepted(methods: tuple[str, ...]) -> None:
    settings = settings_of(login=_LOGIN, login_methods=methods)
    assert settings.instance.login_methods == methods


def test_sso_is_accepted_with_a_license() -> None:
    settings = settings_of(license_key="offline", login_methods=("email", "saml"))
    assert settings.instance.login_methods == ("email", "saml")


def _list_new_callbacks(settings: Settings, deployed: dict[str, str]) -> list[str]:
    login, url = settings.instance.login, settings.stack.site_url
    return [*describe_new_callbacks(login, url, deployed)]


def _deployed(**changes: Any) -> dict[str, str]:
    return {**read_deployed(compose_file(settings_of(**changes), TRIXIE)).variables}


def test_the_callback_of_a_new_provider_is_reported() -> None:
    settings = settings_of(login=_LOGIN)
    google, gitlab = _list_new_callbacks(settings, _deployed())
    assert f"https://{NAME}/api/v1/sso/google:" in google
    assert "gitlab.example.com" in gitlab
    assert f"https://{NAME}/api/v1/sso/gitlab:" in gitlab
    assert _list_new_callbacks(settings, {}) == describe_callbacks(
        settings.instance.login, settings.stack.site_url
    )


def test_a_deployed_callback_is_not_reported_again() -> None:
    assert _list_new_callbacks(settings_of(login=_LOGIN), _deployed(login=_LOGIN)) == []


def test_another_gitlab_needs_the_callback() -> None:
    moved = {"gitlab": _GITLAB | {"address": "https://git.example.com"}}
    (sentence,) = _list_new_callbacks(settings_of(login=moved), _deployed(login=_LOGIN))
    assert "git.example.com" in sentence


def test_another_site_url_needs_another_callback() -> None:
    new = "https://vault.example.com"
    deployed = _deployed(login={"gitlab": _GITLAB})
    (sentence,) = _list_new_callbacks(
        settings_of(login={"gitlab": _GITLAB}, site_url=new), deployed
    )
    assert f"https://{NAME}/api/v1/sso/gitlab" in sentence
    assert f"{new}/api/v1/sso/gitlab" in sentence


def test_a_callback_has_one_slash_after_the_site() -> None:
    assert callback_address("github", "http://localhost:8080/").count("//") == 1
