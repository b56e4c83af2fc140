"""Test which network reaches which routes of a real Caddy with the rendered Caddyfile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .caddies import MACHINE, Caddy, token
from .upstream import LOGIN, READ, STATUS, WRITE, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEOPLE, SERVICES, ELSEWHERE = "127.0.0.2", "127.0.0.3", "127.0.0.4"


PERSON = token('"authMethod":"email"', '"userId":"00000000-fake"')


@pytest.fixture(scope="module")
def networks(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Caddy]]:
    """A Caddy for each choice of networks."""
    choices: dict[str, dict[str, Any]] = {
        "people": {"ui_networks": (f"{PEOPLE}/32", "fd00::/8")},
        "machines": {"machine_networks": (f"{SERVICES}/32",)},
        "both": {"ui_networks": (f"{PEOPLE}/32",), "machine_networks": (f"{SERVICES}/32",)},
    }
    started: dict[str, Caddy] = {}

    def get(choice: str) -> Caddy:
        if choice not in started:
            home = tmp_path_factory.mktemp(choice)
            started[choice] = Caddy(home, upstream.port, **choices[choice])
            started[choice].write()
            started[choice].start()
        return started[choice]

    yield get
    for each in started.values():
        each.stop()


# `expected`: whether a request passes from the network of people, that of services, and elsewhere.
@pytest.mark.parametrize(
    ("choice", "method", "target", "headers", "expected"),
    [
        ("people", "GET", "/login", {}, "yes no no"),
        ("people", "GET", "/api/v1/admin/config", {}, "yes no no"),
        ("people", "POST", "/api/v3/auth/login", {}, "yes no no"),
        ("people", "POST", WRITE, MACHINE, "yes no no"),
        ("people", "GET", "/api/v1/projects?x=/api/status", PERSON, "yes no no"),
        ("people", "GET", "/api/v3/secrets-of-others", {}, "yes no no"),
        ("people", "GET", STATUS, {}, "yes yes yes"),
        ("people", "POST", LOGIN, {}, "yes yes yes"),
        ("people", "GET", READ, MACHINE, "yes yes yes"),
        ("people", "POST", "/api/v1/auth/token/renew", {}, "yes yes yes"),
        ("machines", "GET", "/login", {}, "yes yes yes"),
        ("machines", "GET", READ, PERSON, "yes yes yes"),
        ("machines", "POST", LOGIN, {}, "no yes no"),
        ("machines", "POST", "/api/v1/auth/aws-auth/login/", {}, "no yes no"),
        ("machines", "POST", "/API/v1/auth/token/revoke", {}, "no yes no"),
        ("machines", "GET", READ, MACHINE, "no yes no"),
        ("machines", "POST", WRITE, MACHINE, "no yes no"),
        ("both", "GET", "/login", {}, "yes no no"),
        ("both", "POST", LOGIN, {}, "no yes no"),
        ("both", "GET", READ, MACHINE, "no yes no"),
        ("both", "GET", READ, PERSON, "yes yes no"),
        ("both", "GET", READ, {}, "yes yes no"),
        ("both", "GET", STATUS, {}, "yes yes yes"),
    ],
)
def test_each_network_reaches_only_its_routes(
    networks: Callable[[str], Caddy],
    choice: str,
    method: str,
    target: str,
    headers: dict[str, str],
    expected: str,
) -> None:
    caddy = networks(choice)
    # The address that a caller claims does not matter.
    claims = {**headers, "X-Forwarded-For": PEOPLE, "X-Real-IP": SERVICES}
    answers = [
        caddy.ask(target, method, source=source, headers=claims)
        for source in (PEOPLE, SERVICES, ELSEWHERE)
    ]
    assert {each.status for each in answers} <= {200, 403}
    assert " ".join("yes" if each.status == 200 else "no" for each in answers) == expected


@pytest.mark.parametrize("before", ["", '"a":1', '"ab":1', '"abc":1'])
def test_an_identitys_token_is_recognised_wherever_its_claim_is(
    networks: Callable[[str], Caddy], before: str
) -> None:
    claims = (*([before] if before else []), '"identityId":"00000000-fake"')
    assert networks("machines").ask(READ, headers=token(*claims), source=ELSEWHERE).status == 403
