"""Test which clients fail2ban counts, by the settings and by its own matches in the log."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.host.watch import (
    FILTERS,
    JAIL,
    LOG,
    NETWORKS,
    SETS,
    bans,
    filter_path,
    list_jails,
    render_bans,
)
from tests.unit.host.lines import line
from tests.unit.settings_of import settings_of

_LOGIN = "/api/v1/auth/universal-auth/login"


def _sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, body in re.findall(r"^\[(\S+)\]\n((?:[^\[\n].*\n|\n)*)", text, re.MULTILINE):
        pairs = (each.partition(" = ") for each in body.splitlines() if " = " in each)
        found[name] = {key: value for key, _, value in pairs}
    return found


def test_each_jail_has_the_numbers_and_times_of_the_settings() -> None:
    settings = settings_of(login_attempts=7, login_calls=50, login_window=300, login_ban=900)
    sections = _sections(dict(render_bans(settings))[JAIL])
    assert [*sections] == ["sshd", "infisical-login", "infisical-calls"] == [*list_jails(settings)]
    assert [each["maxretry"] for each in sections.values()] == ["7", "7", "50"]
    assert {each["findtime"] for each in sections.values()} == {"300"}
    assert {each["bantime"] for each in sections.values()} == {"900"}
    assert {each.get("logpath") for each in sections.values()} == {None, LOG}


def test_allowed_networks_and_the_loopback_are_never_banned() -> None:
    settings = settings_of(ui_networks=("10.1.0.0/16",), machine_networks=("2001:db8::/32",))
    sections = _sections(dict(render_bans(settings))[JAIL])
    expected = "127.0.0.0/8 ::1 10.1.0.0/16 2001:db8::/32"
    assert {each["ignoreip"] for each in sections.values()} == {expected}


def test_without_caddy_only_ssh_is_watched() -> None:
    settings = settings_of(ingress="none")
    found = dict(render_bans(settings))
    assert [*found] == [JAIL, SETS, NETWORKS]
    assert [*_sections(found[JAIL])] == ["sshd"] == [*list_jails(settings)]


def test_no_files_are_written_if_fail2ban_is_off() -> None:
    settings = settings_of(fail2ban="off")
    assert [*bans(settings)] == []
    assert list_jails(settings) == ()


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of the filters, by the names of the filters."""
    directory = tmp_path_factory.mktemp("filters")
    found = {}
    for path, text in render_bans(settings_of()):
        for name in FILTERS:
            if path == filter_path(name):
                found[name] = directory / f"{name}.conf"
                found[name].write_text(text)
    return found


def _match(filter: Path, lines: list[str]) -> list[str]:
    """Return the lines that the filter matches, according to fail2ban's own program."""
    log = filter.with_suffix(".log")
    log.write_text("".join(f"{each}\n" for each in lines))
    done = subprocess.run(
        ["fail2ban-regex", "--print-all-matched", log, filter],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"Lines: {len(lines)} lines" in done.stdout, done.stderr
    assert f"[{len(lines)}] " in done.stdout.partition("Date template hits")[2]
    matched = done.stdout.partition("Matched line(s):")[2].partition("Missed line(s):")[0]
    return [each for each in lines if f"|  {each}\n" in matched]


def _post(uri: str, *, status: int, method: str = "POST", **more: Any) -> str:
    return line(uri, status=status, method=method, **more)


_FAILED = [
    _post(_LOGIN, status=401),
    _post(_LOGIN, status=401, newer=True, address="2001:db8::9"),
    _post("/api/v3/auth/login", status=400),
    _post("/api/v3/auth/login1", status=400, method="PUT"),
    _post("/api/v1/auth/ldap-auth/login", status=403),
    _post("/api/v2/auth/mfa/verify", status=422),
    _post("//api//v3//auth//login", status=400),
    _post("/API/V3/Auth/Login", status=404),
    _post("/api/v3/auth/login/", status=429),
    _post("/api/v3/auth/%6cogin", status=400),
    _post("/%61pi/v3/auth/login", status=400),
    _post("/api/v1/admin/bootstrap", status=404),
    _post("/api/v1/admin/signup", status=404),
    _post("/api/v3/signup/complete-account/signup", status=404),
    _post("/api/v1/password/email/password-reset", status=400, method="GETS"),
]
_OTHER = [
    _post(_LOGIN, status=200),
    _post(_LOGIN, status=500),
    # A page that is opened before anybody has logged in asks for a new token.
    _post("/api/v1/auth/token", status=401),
    _post("/api/v4/secrets&environment=production", status=403),
    # A name with a blank has to be escaped.
    _post("/api/v4/secrets/A%20NAME", status=400),
    _post("/login", status=404),
    # Caddy's answer to a request of another site's page.
    _post(_LOGIN, status=412),
    _post("/api/v1/admin/bootstrap", status=412),
    # The answer of a closed edge, while a change is checked.
    _post(_LOGIN, status=503),
    _post("/api/v1/auth/universal-auth/login", status=503),
    # Methods that a page can make its visitors' browsers send.
    *(line(_LOGIN, status=400, method=each) for each in ("GET", "HEAD", "OPTIONS")),
    line("/api/v1/admin/bootstrap", status=404),
    line("/%41.png", status=404),
    line("/api/v1/admin/config", status=200),
]
# Lines with which a caller tries to have another address counted.
_FORGED = [
    line(
        '/"},"request":{"remote_ip":"198.51.100.1","proto":"a","method":"POST",'
        '"uri":"/api/v3/auth/login"},"status":400,"',
        status=200,
        method="POST",
    ),
    line("/x", status=400, method='GET","uri":"/x"},"method":"POST","uri":"/api/v3/auth/login'),
    line("/x", method='GET","uri":"/api/v3/auth/login"},"status":400', status=200),
]


def test_failed_logins_count_in_each_spelling_of_the_path(filters: dict[str, Path]) -> None:
    lines = [*_FAILED, *_OTHER, *_FORGED]
    assert _match(filters["infisical-login"], lines) == _FAILED


def test_calls_of_login_and_admin_paths_count_with_any_status(
    filters: dict[str, Path],
) -> None:
    called = [*_FAILED, *_OTHER[:2], _post("/api/v1/admin/user-management/users", status=200)]
    lines = [*called, *_OTHER[2:], *_FORGED]
    assert _match(filters["infisical-calls"], lines) == called
