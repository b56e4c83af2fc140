"""Test the questions of `infisical-iac init` on the mail server and on logins by a provider."""

from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.bundle import default_settings
from infisical_iac.core.settings import Settings, load
from infisical_iac.init.repository import read_settings
from tests.unit.init.own import NEEDED, check, run_init

_MAIL = ("--smtp-host", "smtp.example.com", "--smtp-user", "infisical")
_WRITTEN = {
    "host": "smtp.example.com",
    "port": 587,
    "tls": "starttls",
    "user": "infisical",
    "from_address": "infisical@example.com",
}
# The entry of the menu that corrects an answer, and the one that ends it.
_CORRECT, _END = "4", "6"


def _values(own: Path) -> dict[str, Any]:
    return read_settings((own / "group_data" / "hetzner.py").read_text())


def _settings(own: Path) -> Settings:
    return load(default_settings() | _values(own))


def test_yes_sets_neither_mail_nor_a_login(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    assert {"smtp", "login"}.isdisjoint(_values(own))


def test_options_set_a_mail_server_with_defaults_for_the_rest(own: Path) -> None:
    ran = check(run_init(own, *NEEDED, *_MAIL, "--yes"))
    assert _values(own)["smtp"] == _WRITTEN
    assert _settings(own).instance.smtp is not None
    assert "SMTP_PASSWORD" in ran.output


def test_port_465_begins_with_tls(own: Path) -> None:
    check(run_init(own, *NEEDED, *_MAIL, "--smtp-port", "465", "--yes"))
    assert _values(own)["smtp"] == {**_WRITTEN, "port": 465, "tls": "tls"}


def test_a_mail_server_without_a_login_needs_no_password(own: Path) -> None:
    server = ("--smtp-host", "mail.internal", "--smtp-user", "none", "--smtp-tls", "none")
    ran = check(run_init(own, *NEEDED, *server, "--yes"))
    assert "user" not in _values(own)["smtp"]
    assert _settings(own).instance.secrets == ()
    assert "SMTP_PASSWORD" not in ran.output


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (("--smtp-host", "https://smtp.example.com"), "--smtp-host: "),
        (("--smtp-host", "smtp"), "--smtp-host: "),
        ((*_MAIL, "--smtp-port", "0"), "--smtp-port: "),
        ((*_MAIL, "--smtp-tls", "ssl"), "--smtp-tls: "),
        ((*_MAIL, "--smtp-tls", "tls"), "--smtp-tls: "),
        ((*_MAIL, "--smtp-port", "465", "--smtp-tls", "starttls"), "--smtp-tls: "),
        # A server on the Internet would get the password in clear text.
        ((*_MAIL, "--smtp-tls", "none"), "--smtp-tls: "),
        ((*_MAIL, "--smtp-from", "infisical"), "--smtp-from: "),
        (("--smtp-host", "smtp.example.com"), "--smtp-user is missing"),
        (("--smtp-port", "587"), "--smtp-port is given"),
        (("--login", "facebook"), "--login: "),
        (("--login", "github"), "--login-client-id is missing"),
        (("--login", "github", "--login-client-id", "f" * 40), "--login-client-id: "),
        (("--login", "google", "--login-client-id", "two words"), "--login-client-id: "),
        (("--login", "gitlab", "--login-address", "http://git.example.com"), "--login-address: "),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    own: Path, options: tuple[str, ...], option: str
) -> None:
    ran = run_init(own, *NEEDED, *options, "--yes")
    assert ran.exit_code == 1
    assert f"Error: {option}" in ran.output
    assert list(own.iterdir()) == []


def test_a_login_prints_its_callback_and_is_written(own: Path) -> None:
    client = ("--login", "GitLab", "--login-client-id", "fake-id")
    address = ("--login-address", "https://git.example.com/")
    domain = ("--domain", "secrets.example.com")
    ran = check(run_init(own, *NEEDED, *domain, *client, *address, "--yes"))
    assert _values(own)["login"] == {
        "gitlab": {"client_id": "fake-id", "address": "https://git.example.com"}
    }
    assert _settings(own).instance.login.gitlab is not None
    assert "https://secrets.example.com/api/v1/sso/gitlab" in ran.output
    assert "CLIENT_SECRET_GITLAB_LOGIN" in ran.output


def test_gitlab_com_needs_no_address(own: Path) -> None:
    client = ("--login", "gitlab", "--login-client-id", "fake-id")
    check(run_init(own, *NEEDED, *client, "--yes"))
    assert _values(own)["login"] == {"gitlab": {"client_id": "fake-id"}}


def test_a_mail_server_is_added_changed_and_removed_later(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    file = own / "group_data" / "hetzner.py"
    file.write_text(f"{file.read_text()}start_timeout = 600  # by hand\n")
    asked = ("smtp-host", "smtp.example.com", "", "", "infisical", "")
    check(run_init(own, typed=(_CORRECT, *asked, "y", _END)))
    assert _values(own)["smtp"] == _WRITTEN
    check(run_init(own, "--smtp-host", "mx.example.com", typed=("y",)))
    assert _values(own)["smtp"] == {**_WRITTEN, "host": "mx.example.com"}
    check(run_init(own, "--smtp-port", "465", "--smtp-tls", "tls", typed=("y",)))
    assert _values(own)["smtp"] == {**_WRITTEN, "host": "mx.example.com", "port": 465, "tls": "tls"}
    check(run_init(own, "--smtp-host", "none", typed=("y",)))
    assert "smtp" not in _values(own)
    assert "# by hand" in file.read_text()


def test_a_second_login_is_added_next_to_the_first(own: Path) -> None:
    client = ("--login", "github", "--login-client-id", "Iv1.fake")
    check(run_init(own, *NEEDED, *client, "--yes"))
    check(run_init(own, typed=(_CORRECT, "login", "google", "1.fake", "y", _END)))
    assert _values(own)["login"] == {
        "github": {"client_id": "Iv1.fake"},
        "google": {"client_id": "1.fake"},
    }
