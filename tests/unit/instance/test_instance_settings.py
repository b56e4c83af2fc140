"""Test the settings of mail, and the variables that follow from them."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.instance.settings import VARIABLES
from infisical_iac.instance.variables import PLAIN, SECRET
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.model import with_own_settings
from tests.certificates import OwnAuthority
from tests.unit.rendered_stack import TRIXIE
from tests.unit.settings_of import settings_of

_SMTP = {"host": "smtp.example.com", "user": "infisical", "from_address": "iac@example.com"}


def _infisical(drill: bool = False, **changes: Any) -> dict[str, Any]:
    text = compose_file(settings_of(**changes), TRIXIE, drill=drill)
    found: dict[str, Any] = yaml.safe_load(text)["services"]["infisical"]
    return found


def test_mail_goes_out_by_starttls_with_a_login() -> None:
    found = _infisical(smtp=_SMTP)["environment"]
    assert {name: found.get(name) for name in (*VARIABLES, "SMTP_PASSWORD")} == {
        "SMTP_HOST": "smtp.example.com",
        "SMTP_PORT": "587",
        "SMTP_USERNAME": "infisical",
        "SMTP_FROM_ADDRESS": "iac@example.com",
        "SMTP_FROM_NAME": "Infisical",
        "SMTP_REQUIRE_TLS": "true",
        "SMTP_IGNORE_TLS": "false",
        "SMTP_PASSWORD": "${SMTP_PASSWORD:-}",
    }


def test_mail_without_a_login_needs_no_password() -> None:
    settings = settings_of(smtp={"host": "10.0.0.9", "from_address": "a@b.example", "tls": "none"})
    assert settings.instance.secrets == ()
    assert settings.instance.variables["SMTP_IGNORE_TLS"] == "true"


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"tls": "tls"}, "port 465"),
        ({"port": 465}, "tls 'tls'"),
        ({"tls": "none"}, "clear text"),
        ({"tls": "none", "host": "192.0.2.1.example.com"}, "clear text"),
        ({"tls": "none", "host": "134744072"}, "clear text"),
        ({"tls": "none", "host": "0x08080808"}, "clear text"),
        ({"tls": "none", "host": "::ffff:808:808"}, "clear text"),
        ({"user": "mäiler"}, "ASCII"),
        ({"port": 70000}, "587"),
        ({"host": "smtp://smtp.example.com"}, "without a scheme"),
        ({"from_address": "nobody"}, "e-mail address"),
        ({"from_name": 'A "quoted" name'}, "without quotes"),
        ({"tls": "ssl"}, "starttls"),
        ({"password": "fake"}, "password"),
        ({"hots": "x"}, "did you mean 'host'"),
    ],
)
def test_a_mail_server_that_can_not_work_is_refused(change: dict[str, Any], fact: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(smtp=_SMTP | change)
    assert fact in str(refused.value)


@pytest.mark.parametrize(
    "host", ["10.0.0.9", "100.64.0.9", "mail", "mail2.internal", "fd00::1", "localhost"]
)
def test_a_private_server_may_do_without_tls(host: str) -> None:
    settings = settings_of(smtp=_SMTP | {"host": host, "tls": "none", "port": 25})
    assert settings.instance.variables["SMTP_REQUIRE_TLS"] == "false"


def test_a_drill_sends_no_mail_and_knows_no_given_secret() -> None:
    found = _infisical(
        drill=True,
        smtp=_SMTP,
        infisical_environment={"OTEL_EXPORT_TYPE": "otlp"},
        infisical_secrets=("GITHUB_API_TOKEN",),
    )["environment"]
    named = ("SMTP", "OTEL", "GITHUB")
    assert [name for name in found if name.startswith(named)] == []


def test_an_earlier_release_gets_the_deployed_settings(tmp_path: Path) -> None:
    """The firewall, the secrets and the authorities on the host belong to them."""
    before = compose_file(
        settings_of(
            infisical_version="v0.164.0",
            internal_networks=("10.0.0.0/24",),
            infisical_secrets=("GITHUB_API_TOKEN",),
            extra_ca=str(OwnAuthority(tmp_path).ca),
            infisical_memory="2g",
        ),
        TRIXIE,
    )
    today = compose_file(settings_of(smtp=_SMTP), TRIXIE)
    text = with_own_settings(before, today)
    found = yaml.safe_load(text)["services"]["infisical"]
    assert found["image"] == "infisical/infisical:v0.164.0"
    assert found["environment"]["ALLOW_INTERNAL_IP_CONNECTIONS"] == "false"
    assert found["environment"]["SMTP_HOST"] == "smtp.example.com"
    assert "GITHUB_API_TOKEN" not in found["environment"]
    assert "NODE_EXTRA_CA_CERTS" not in found["environment"]
    assert "volumes" not in found
    assert found["environment"]["NODE_OPTIONS"] == "--max-old-space-size=1365"
    assert with_own_settings(text, today) == text


@pytest.mark.parametrize("ingress", ["caddy", "none"])
def test_a_plan_after_a_rollback_finds_the_file_as_it_should_be(
    tmp_path: Path, ingress: str
) -> None:
    release = {"infisical_version": "v0.164.0", "infisical_memory": "2g", "ingress": ingress}
    mail = {"smtp": _SMTP, "extra_ca": str(OwnAuthority(tmp_path).ca)}
    plain = compose_file(settings_of(**release), TRIXIE)
    mailing = compose_file(settings_of(**release | mail), TRIXIE)
    today = settings_of(**mail, ingress=ingress)
    assert with_own_settings(plain, compose_file(today, TRIXIE)) == mailing
    today = settings_of(ingress=ingress)
    assert with_own_settings(mailing, compose_file(today, TRIXIE)) == plain


def test_a_release_in_another_form_gets_the_deployed_settings() -> None:
    """An earlier version of this project wrote such files in a rollback."""
    before = yaml.safe_dump(yaml.safe_load(compose_file(settings_of(), TRIXIE)))
    today = compose_file(settings_of(smtp=_SMTP), TRIXIE)
    found = yaml.safe_load(with_own_settings(before, today))["services"]["infisical"]
    assert found["environment"]["SMTP_HOST"] == "smtp.example.com"


def test_dollars_in_values_are_escaped_for_compose() -> None:
    found = _infisical(infisical_environment={"CDN_HOST": "a$b${HOME}"})["environment"]
    assert found["CDN_HOST"] == "a$$b$${HOME}"


@pytest.mark.parametrize("setting", ["infisical_environment", "infisical_secrets"])
def test_no_variable_is_twice_in_the_environment(setting: str) -> None:
    """Docker Compose refuses a file with a key twice; PyYAML takes the last one."""
    values: dict[str, Any] = {
        "infisical_environment": {"TELEMETRY_ENABLED": "true"},
        "infisical_secrets": tuple(sorted(PLAIN.keys() | SECRET)),
    }
    text = compose_file(settings_of(**{setting: values[setting]}), TRIXIE)
    block = text.partition("    environment:\n")[2].partition("\n    depends_on:")[0]
    names = re.findall(r"^      (\w+):", block, re.MULTILINE)
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert set(values[setting]) <= set(names)


_FAKE = "obviously-fake"


@pytest.mark.parametrize(
    "wrong",
    [
        {"login": {"google": _FAKE}},
        {"login": {"google": (_FAKE,)}},
        {"login": {"gitlab": {"client_id": "1234", "address": _FAKE}}},
        {"login": {"google": {"client_id": {_FAKE}}}},
        {"login": ({"google": {"client_id": "1", "client_secret": _FAKE}},)},
        {"login": _FAKE},
        {"infisical_environment": {"OTEL_COLLECTOR_BASIC_AUTH_PASSWORD": (_FAKE,)}},
        {"infisical_environment": ({"GITHUB_API_TOKEN": _FAKE},)},
        {"infisical_environment": _FAKE},
        {"infisical_secrets": {"GITHUB_API_TOKEN": _FAKE}},
        {"infisical_secrets": ({"GITHUB_API_TOKEN": _FAKE},)},
        {"infisical_secrets": _FAKE},
        {"smtp": ("smtp.example.com", _FAKE)},
        {"smtp": (_SMTP | {"password": _FAKE},)},
        {"smtp": _FAKE},
        {"registry_login": ({"registry": "r.example", "user": "u", "password_variable": _FAKE},)},
        {"registry_login": ("r.example", "u", _FAKE)},
        {"license_key": _FAKE},
        {"license_key": (_FAKE,)},
    ],
)
def test_no_value_of_the_wrong_form_is_shown(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(**wrong)
    assert next(iter(wrong)) in str(refused.value)
    assert _FAKE not in str(refused.value)


def test_a_number_among_the_variables_is_not_shown() -> None:
    with pytest.raises(SettingsError, match="in quotes") as refused:
        settings_of(infisical_environment={"OTEL_COLLECTOR_BASIC_AUTH_PASSWORD": 12345678})
    assert "12345678" not in str(refused.value)


def test_a_password_is_asked_for_by_the_kind_of_its_server() -> None:
    """`127.0.0.1` alone does not say which password is meant."""
    local = _SMTP | {"host": "127.0.0.1", "tls": "none", "port": 25}
    settings = settings_of(smtp=local, outbound_proxy="http://infisical@proxy.internal:3128")
    mail, proxy = (each.purpose for each in settings.instance.secrets)
    assert mail.endswith(" the mail server 127.0.0.1")
    assert proxy.endswith(" the proxy proxy.internal:3128")
