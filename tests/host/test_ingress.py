"""Test the ingress: its certificate, its headers, and the closed paths."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.stack import ingress
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
    """The answer of `/api/status`."""
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


def test_the_certificate_is_for_the_address_and_valid(host: Host, settings: Settings) -> None:
    _, begin, rest = _connect(host, settings).partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    name = urlsplit(settings.stack.site_url).hostname or ""
    served = f"{begin}{body}{end}\n" if end else ""
    assert ingress.find_misfit(served, name, None, datetime.now(UTC)) == ""


def test_http_redirects_to_https(host: Host, settings: Settings) -> None:
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
def test_a_version_of_http_is_served(host: Host, settings: Settings, version: str) -> None:
    assert ask(host, settings, "/api/status", f"--http{version}").version == version


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_a_current_version_of_tls_is_served(host: Host, settings: Settings, version: str) -> None:
    assert "BEGIN CERTIFICATE" in _connect(host, settings, f"-{version}")


def test_tls_1_1_is_refused(host: Host, settings: Settings) -> None:
    # Without SECLEVEL=0, this host's openssl itself would refuse the version.
    old = _connect(host, settings, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "BEGIN CERTIFICATE" not in old


@pytest.mark.parametrize("path", CLOSED)
def test_routes_that_create_accounts_are_closed_from_outside(
    host: Host, settings: Settings, path: str
) -> None:
    assert ask(host, settings, path, "--request", "POST", "--data", "{}").status in (400, 403, 404)
