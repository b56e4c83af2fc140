"""Diffs for people: they say what differs, and no secret."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.files import diff
from infisical_iac.core.rendering import script


def test_what_is_added_and_taken_away_is_shown_with_a_line_around_it() -> None:
    lines = diff("one\ntwo\n300\nfour", "one\ntwo\n3\nfour").splitlines()
    assert lines == ["@@ -2,3 +2,3 @@", " two", "-300", "+3", " four"]


def test_what_only_moved_is_shown() -> None:
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
        ("port: 54321", "-port: ***"),
        ("b2J2aW91c2x5LWZha2Uta2V5IQ==", "-***=="),
        ("b2J2aW91c2x5LWZha2U=", "-***="),
        ("    b2J2aW91c2x5LWZha2U=  ", "-    ***=  "),
        ("b2J2aW91c2x5/WZha2U+dA=x", "-***=***"),
        ("services:", "-services:"),
        ("  LOG_LEVEL=info", "-  LOG_LEVEL=***"),
    ],
)
def test_what_may_be_a_secret_is_masked_in_what_was_there(there: str, shown: str) -> None:
    assert diff(there, "").splitlines()[1] == shown


def test_what_is_wanted_is_shown_as_it_is() -> None:
    assert diff("", "image: redis@sha256:0123456789abcdef0123456789abcdef").splitlines()[1] == (
        "+image: redis@sha256:0123456789abcdef0123456789abcdef"
    )


def test_the_hosts_own_secrets_are_masked_before_the_content_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "redis_password").write_text("fake.redis+password\n")
    (tmp_path / "admin.env").write_text("INFISICAL_ADMIN_PASSWORD=fake-admin\\password\n")
    file = tmp_path / "file"
    file.write_text("a fake.redis+password b fake.redis+password\nfake-admin\\password\nplain\n")
    command = script("content", str(file)).replace("/etc/infisical", str(tmp_path))
    printed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert printed.stdout == "a *** b ***\n***\nplain\n"
