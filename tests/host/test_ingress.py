"""Ingress: its certificate, the headers that it adds, and paths closed to the outside."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.stack import certificate
from tests.host.asking import Answer, ask, ask_url
from tests.host.connection import Host

CLOSED = (
    "/api/v1/admin/bootstrap",
    "/api/v1/admin/signup",
    "/api/v3/signup/email/signup",
    "/API/v1/Admin/Bootstrap",
    "//api/v1//admin/bootstrap",
    "/api/v1/admin/%62ootstrap",
    "/api/v1/admin/bootstrap;x",
    "/api/v1/admin/bootstrap;/../../../status",
)


@pytest.fixture(scope="session")
def answer(host: Host, settings: Settings) -> Answer:
    """Return what the host says when it is asked how it is."""
    return ask(host, settings, "/api/status")


def _connect(host: Host, settings: Settings, *options: str) -> str:
    url = urlsplit(settings.stack.site_url)
    words = [
        *("timeout", "20", "openssl", "s_client", "-connect", f"127.0.0.1:{url.port or 443}"),
        *("-servername", url.hostname, *options),
    ]
    return str(host.run(" ".join(["%s"] * len(words)) + " </dev/null", *words).stdout)


def test_the_address_answers_by_https(answer: Answer) -> None:
    assert answer.status == 200


def test_the_certificate_is_for_the_address_and_in_force(host: Host, settings: Settings) -> None:
    _, begin, rest = _connect(host, settings).partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    name = urlsplit(settings.stack.site_url).hostname or ""
    served = f"{begin}{body}{end}\n" if end else ""
    assert certificate.unfit(served, name, None, datetime.now(UTC)) == ""


def test_http_leads_to_https(host: Host, settings: Settings) -> None:
    name = urlsplit(settings.stack.site_url).hostname
    redirect = ask_url(host, settings, f"http://{name}/login")
    assert redirect.status in (301, 308)
    assert redirect.headers["location"] == f"{settings.stack.site_url.lower()}/login"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ],
)
def test_each_answer_has_the_security_headers(answer: Answer, header: str, value: str) -> None:
    assert answer.headers.get(header) == value


def test_no_answer_names_the_software(answer: Answer) -> None:
    assert {"server", "x-powered-by", "via"} & answer.headers.keys() == set()


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_old_and_new_http_is_spoken(host: Host, settings: Settings, version: str) -> None:
    assert ask(host, settings, "/api/status", f"--http{version}").version == version


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_todays_tls_is_spoken(host: Host, settings: Settings, version: str) -> None:
    assert "BEGIN CERTIFICATE" in _connect(host, settings, f"-{version}")


def test_the_tls_of_yesterday_is_not_spoken(host: Host, settings: Settings) -> None:
    # Without the last word, it is this host's openssl that refuses to.
    old = _connect(host, settings, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "BEGIN CERTIFICATE" not in old


@pytest.mark.parametrize("path", CLOSED)
def test_routes_that_create_accounts_are_closed_from_outside(
    host: Host, settings: Settings, path: str
) -> None:
    assert ask(host, settings, path, "--request", "POST", "--data", "{}").status in (400, 403, 404)
