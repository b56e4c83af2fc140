"""Test that diffs show differing lines, and no secret."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.files import diff


def test_added_and_removed_lines_are_shown_with_one_line_of_context() -> None:
    lines = diff("one\ntwo\n300\nfour", "one\ntwo\n3\nfour").splitlines()
    assert lines == ["@@ -2,3 +2,3 @@", " two", "-300", "+3", " four"]


def test_moved_lines_are_shown() -> None:
    assert "***" not in diff("production\nbackend", "backend\nproduction")


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        ("REDIS_PASSWORD=obviously-fake", "-REDIS_PASSWORD=***"),
        ('  "authToken": "obviously-fake",', '-  "authToken": ***'),
        ("api_key: obviously-fake", "-api_key: ***"),
        ('"pin": 123', '-"pin": ***'),
        ('"proxy": "http://me:fake@ss@proxy"', '-"proxy": "***:***:***"'),
        ('    "two fake words"', '-    "*** *** ***"'),
        ("memory: 512m", "-memory: 512m"),
        ('"max-size": "50m", "live-restore": false', '-"max-size": "50m", "live-restore": false'),
        ("number: 54321", "-number: ***"),
        ("b2J2aW91c2x5LWZha2Uta2V5IQ==", "-***=="),
        ("b2J2aW91c2x5LWZha2U=", "-***="),
        ("    b2J2aW91c2x5LWZha2U=  ", "-    ***=  "),
        ("b2J2aW91c2x5/WZha2U+dA=x", "-***=***"),
        ("services:", "-services:"),
        ("  LOG_LEVEL=info", "-  LOG_LEVEL=***"),
    ],
)
def test_possible_secrets_are_masked_in_actual_lines(there: str, shown: str) -> None:
    assert diff(there, "").splitlines()[1] == shown


_DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "line",
    [
        "    image: staging/infisical:v0.165.16",
        '    image: "registry.example.com:5000/infisical/infisical:v0.165.16"',
        f"    image: infisical/infisical:v0.165.16@{_DIGEST}",
        f'"image": "ghcr.io/zalando/spilo-17@{_DIGEST}",',
        "image: ghcr.io/zalando/spilo-17:4.0-p3",
        "image: caddy:2.11.7-alpine",
        "image: quay.io/keycloak/keycloak:latest",
        "port: 54321",
        "    published: 8443",
        "Port 22022",
        "http_port = 18080",
        "version: 3.8",
        "INFISICAL_VERSION=v0.164.2",
        "  SITE_URL: https://old.example.com",
        "SITE_URL=https://old.example.com:8443/",
        "email ada@example.com",
        '  "acme_email": "ada.b+c@mail.example.com",',
        '      - "127.0.0.1:18080:8080"',
        "    ip saddr 198.51.100.7 accept",
        "    ip saddr { 203.0.113.0/24, 10.0.0.0/8 } drop",
    ],
)
def test_harmless_actual_lines_are_shown(line: str) -> None:
    shown = diff(line, "ip saddr accept drop { },").splitlines()[1]
    assert shown == f"-{line}"


@pytest.mark.parametrize(
    "line",
    [
        "image: me:obviously-fake-secret@registry.example.com/infisical",
        "image: infisical:v1 obviously-fake-secret",
        "image: infisical:v1 # obviously-fake-secret",
        "image: infisical:v1@obviously-fake-secret",
        "image: infisical:obviously-fake-secret-1",
        "image: infisical:obviouslyfakesecret",
        "image: infisical:8obviouslyfakesecret",
        "image: obviouslyfakesecret",
        "images: infisical:obviouslyfakesecret",
        "port: obviously-fake-secret",
        "port: 1234567890",
        "support: 54321",
        "auth_port: 54321",
        "pin_version: 1.2.3",
        "version: obviously-fake-secret",
        "v: v19.12.1984",
        "requirepass 19.12.1984",
        "requirepass 10.11.12.13",
        "REDIS_PASSWORD=10.11.12.13",
        "redis://:19.12.1984@redis:6379",
        "SITE_URL: https://me:obviously-fake-secret@old.example.com",
        "SITE_URL: https://old.example.com/obviously-fake-secret",
        "SITE_URL: https://old.example.com?token=obviously-fake-secret",
        "WEBHOOK: https://obviously-fake-secret.example.com",
        "email: obviously@fake@secret",
        "email_password: ada@example.com",
        "user: ada@example.com",
        '      - "12345:67890"',
        '      - "me:obviously-fake-secret:8080"',
    ],
)
def test_lines_that_only_resemble_harmless_lines_are_masked(line: str) -> None:
    shown = diff(line, "").splitlines()[1]
    assert "***" in shown
    for secret in ("obviously", "fake", "12345", "54321", "1984", "11.12", "1.2.3", "67890"):
        assert secret not in shown
    assert "@example" not in shown


@given(
    st.one_of(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40),
        st.from_regex(
            r"[0-9a-z]{20,40}|[0-9A-Za-z._-]{20,40}|v?[0-9][0-9a-zA-Z]{20,40}", fullmatch=True
        ),
    ).filter(lambda text: re.search("[A-Za-z].*[0-9].*[A-Za-z]", text)),
    st.sampled_from(
        ("{}", "image: {}", "image: infisical:{}", "SITE_URL: https://x:{}@y", "- {}", "port {}")
    ),
)
def test_no_random_secret_is_shown(secret: str, line: str) -> None:
    shown = diff(line.format(secret), "").splitlines()[1]
    assert not [word for word in re.findall(r"[A-Za-z0-9+/]{12,}", secret) if word in shown]


def test_desired_lines_are_shown_unmasked() -> None:
    line = "image: redis@sha256:0123456789abcdef0123456789abcdef"
    assert diff("", line).splitlines()[1] == f"+{line}"
