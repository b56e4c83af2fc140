"""Test that requests which foreign pages make browsers send never count towards a ban."""

from __future__ import annotations

import subprocess
from itertools import product
from typing import TYPE_CHECKING

import pytest

from infisical_iac.host.watch import FILTERS, filter_path, render_bans
from infisical_iac.stack import paths

from .caddies import NAME, Caddy, StartCaddy, ask
from .upstream import LOGIN, Upstream
from .visiting import log_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ELSEWHERE = "https://elsewhere.example.org"
# A closed path, a login, a refused spelling, and an escaped letter.
_TARGETS = (
    "/api/v1/admin/bootstrap",
    LOGIN,
    "//api/v1//auth/login",
    "/api/v3/auth/%6cogin",
    "/api/v2/auth/mfa/verify?code=000000",
)
# Headers that browsers set and no page can change (Fetch Metadata, Fetch, RFC 6454).
_FOREIGN = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another origin of the site": {"Sec-Fetch-Site": "same-site"},
    "a fetch of another site": {"Sec-Fetch-Site": "cross-site", "Origin": _ELSEWHERE},
    "a form, before Fetch Metadata": {"Origin": _ELSEWHERE},
    "a form of a page that hides itself": {"Origin": "null"},
    "a page's address, before Fetch Metadata": {"Referer": f"{_ELSEWHERE}/page"},
    "a site whose name begins alike": {"Origin": f"https://{NAME}.example.org"},
    "the same name on another port": {"Origin": f"https://{NAME}:1"},
    "the same name without TLS": {"Origin": f"http://{NAME}"},
}


@pytest.fixture(scope="module")
def caddy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    one = Caddy(tmp_path_factory.mktemp("caddy"), upstream.port)
    one.write()
    yield one.start()
    one.stop()


def _count_matches(caddy: Caddy, lines: list[str], directory: Path) -> dict[str, int]:
    """Return how many lines each of fail2ban's filters matches."""
    log = directory / "counted.log"
    log.write_text("".join(f"{each}\n" for each in lines))
    found = {}
    for name in FILTERS:
        filter = directory / f"{name}.conf"
        filter.write_text(dict(render_bans(caddy.settings))[filter_path(name)])
        done = subprocess.run(
            ["fail2ban-regex", log, filter], capture_output=True, text=True, timeout=60
        )
        summary = done.stdout.partition("Lines: ")[2].splitlines()[0]
        assert summary.startswith(f"{len(lines)} lines, 0 ignored, "), done.stdout + done.stderr
        found[name] = int(summary.split(", ")[2].split()[0])
    return found


def _ask(
    caddy: Caddy, method: str, asked: Iterable[tuple[str, dict[str, str]]], directory: Path
) -> tuple[list[int], dict[str, int]]:
    """Return the statuses of requests, and how many of their lines each filter counts."""
    before = len(log_lines(caddy))
    connection = caddy.connection()
    statuses = [ask(connection, target, method, headers=each).status for target, each in asked]
    connection.close()
    lines = log_lines(caddy, at_least=before + len(statuses))[before:]
    assert len(lines) == len(statuses)
    return statuses, _count_matches(caddy, lines, directory)


def test_a_request_of_another_site_is_refused_and_not_counted(
    caddy: Caddy, upstream: Upstream, tmp_path: Path
) -> None:
    passed = len(upstream.asked)
    asked = [*product(_TARGETS, _FOREIGN.values())]
    statuses, counted = _ask(caddy, "POST", asked, tmp_path)
    wrong = [each for each, status in zip(asked, statuses, strict=True) if status != 412]
    assert wrong == []
    assert set(counted.values()) == {0}
    assert len(upstream.asked) == passed


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_of_an_image_or_a_link_is_not_counted(
    caddy: Caddy, method: str, tmp_path: Path
) -> None:
    asked = product([*_TARGETS, "/%41.png"], [{}, *_FOREIGN.values()])
    assert set(_ask(caddy, method, asked, tmp_path)[1].values()) == {0}


@pytest.mark.parametrize("origin", ["own", "none", "absent"])
def test_a_request_of_own_pages_or_without_a_browser_passes_and_is_counted(
    caddy: Caddy, upstream: Upstream, origin: str, tmp_path: Path
) -> None:
    own = f"https://{NAME}:{caddy.port}"
    headers = {
        "own": {"Sec-Fetch-Site": "same-origin", "Origin": own, "Referer": f"{own}/login"},
        "none": {"Origin": own},
        "absent": {},
    }[origin]
    passed = len(upstream.asked)
    asked = [(LOGIN, headers), ("/api/v1/admin/bootstrap", headers)]
    statuses, counted = _ask(caddy, "POST", asked, tmp_path)
    assert statuses == [200, 404]
    assert counted == {"infisical-login": 1, "infisical-calls": 2}
    assert len(upstream.asked) == passed + 1


def test_a_login_at_another_site_may_return_from_there(caddy: Caddy, upstream: Upstream) -> None:
    elsewhere = _FOREIGN["a fetch of another site"]
    for method, target in (
        ("GET", "/api/v1/sso/oidc/callback?code=obviously-fake"),
        ("POST", "/api/v1/sso/saml2/00000000-0000-0000-0000-000000000000"),
        ("GET", "/login/sso?token=obviously-fake"),
    ):
        passed = len(upstream.asked)
        assert caddy.ask(target, method, headers=elsewhere).status == 200
        assert len(upstream.asked) == passed + 1


def test_a_request_of_another_site_is_not_counted_while_a_change_is_checked(
    start_caddy: StartCaddy, tmp_path: Path
) -> None:
    caddy = start_caddy()
    (caddy.home / paths.MARKER).touch()
    asked = [(LOGIN, each) for each in _FOREIGN.values()]
    statuses, counted = _ask(caddy, "POST", asked, tmp_path)
    assert (set(statuses), set(counted.values())) == ({412}, {0})
    assert _ask(caddy, "POST", [(LOGIN, {})], tmp_path)[0] == [503]
