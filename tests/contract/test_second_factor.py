"""Test that access ends without a required second factor, and comes back with an app."""

from __future__ import annotations

import base64
import hmac
import struct
import time
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Refused, UserError
from infisical_iac.workspace.converge import converge
from infisical_iac.workspace.second_factor import SecondFactors, known_factors

from .factors import drop_database, make_database
from .factors import read as read_factors
from .first import EMAIL, PASSWORD, set_up
from .peopled import BEN, WITHOUT_BEN, Place, goal, values, write
from .services import Standin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .postgres import Postgres
    from .services import RedisServer

_RULE = (
    f"{WITHOUT_BEN}  {BEN}: viewer\nrequire_second_factor: {{from: 2027-01-15, grace_days: 0}}\n"
)
_DAY = date(2099, 1, 1)


@pytest.fixture
def place(postgres: Postgres, redis_server: RedisServer) -> Iterator[Place]:
    uri = make_database(postgres)
    url = redis_server.url_for("second-factor")
    standin = Standin(uri, url, STANDIN_PERMISSION_CACHE_SECONDS="0").wait()
    with closing(standin), Client(standin.url) as anyone:
        organization, *credentials = set_up(anyone)
        deployer = login.universal(anyone, *credentials)
        place = Place(standin, anyone, deployer, credentials[0], organization)
        place.converge(_RULE)
        write(deployer, place.at("production", "/backend"), "KEY")
        yield place
    drop_database(postgres)


@pytest.fixture
def known(place: Place, postgres: Postgres) -> Callable[[], SecondFactors]:
    """Read the second factors in the server's database, as on a host."""

    def read() -> SecondFactors:
        return known_factors(read_factors(postgres), _DAY)

    return read


def _settle(place: Place, known: SecondFactors) -> list[str]:
    made: list[str] = []
    desired = replace(goal(_RULE), factors=known)
    converge(place.deployer, desired, lambda each: made.append(str(each)), place.admin)
    return made


def test_access_ends_without_a_second_factor_and_comes_back_with_one(
    place: Place, known: Callable[[], SecondFactors]
) -> None:
    assert _settle(place, known()) == []  # No invitation is accepted yet.
    ben = place.accept(BEN)
    at = place.at("production", "/backend")
    assert values(ben, at) == ["fake-value"]
    (change,) = _settle(place, known())
    assert change.startswith(f"~ person {BEN}: permissions")
    with pytest.raises(ApiError):
        values(ben, at)
    assert _settle(place, known()) == []

    app = login.register_app(place.anyone, BEN, PASSWORD)
    with pytest.raises(ApiError) as wrong:
        app.turn_on("000000" if _code(app.key) != "000000" else "111111")
    assert wrong.value.status == 400
    assert known().find_account(BEN) is not None
    assert _settle(place, known()) == []
    app.turn_on(_code(app.key))
    with pytest.raises(UserError, match=BEN):
        login.password(place.anyone, BEN, PASSWORD, place.organization)
    (change,) = _settle(place, known())
    assert change.startswith(f"~ person {BEN}: permissions")
    assert values(ben, at) == ["fake-value"]
    assert _settle(place, known()) == []
    with pytest.raises(Refused):
        login.register_app(place.anyone, BEN, PASSWORD)


def test_the_first_administrator_gets_no_app_and_keeps_access(
    place: Place, known: Callable[[], SecondFactors]
) -> None:
    with pytest.raises(Refused, match=EMAIL):
        login.register_app(place.anyone, EMAIL, PASSWORD)
    assert _settle(place, known()) == []
    assert place.admin().get(f"/api/v1/projects/{place.project}")


def _code(key: str) -> str:
    """Return the code that an authenticator app shows now (RFC 6238)."""
    secret = base64.b32decode(key + "=" * (-len(key) % 8))
    digest = hmac.digest(secret, struct.pack(">Q", int(time.time()) // 30), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"
