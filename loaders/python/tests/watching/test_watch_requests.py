"""Test the requests of a watch, and their number."""

import time
from pathlib import Path
from typing import Any

import pytest

from infisical_config import retrying
from tests import service
from tests.scripted import (
    REFUSED,
    ScriptedServer,
    eventually,
    listing,
    refusal,
    route_missing,
)
from tests.vault import Vault
from tests.watching.watched import NOT_FOUND, Watched

FORBIDDEN = refusal(403, "Your token has expired", "TokenError")
DENIED = refusal(403, "not allowed", "PermissionDenied")
NO_MEMBER = refusal(403, "none", "ProjectMembershipNotFound")
UNAUTHORIZED = refusal(401, "Token missing")


def test_unchanged_secrets_are_not_sent_again(
    watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    assert eventually(lambda: len(vault.statuses) > 3)
    assert vault.statuses[:4] == [200, 304, 304, 304]
    assert (watched.changes, watched.errors, server.count("login")) == ([], [], 1)
    assert dict(watched.watch.config) == {"A": "1", "B": "2"}


def test_a_connection_that_the_server_closes_between_two_reads_is_no_failure(
    server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    def pause(attempt: int, _: str | None) -> float:
        pauses.append(attempt)
        return 0

    monkeypatch.setattr(retrying, "pause", pause)
    server.scripts["list"] = [{**listing(A="1"), "hang_up": True}]
    watched = Watched(home, every=0.1)
    assert eventually(lambda: server.count("list") > 3)
    watched.watch.stop()
    assert (pauses, watched.errors) == ([], [])


def test_a_watch_remembers_that_the_server_has_only_the_older_api(tmp_path: Path) -> None:
    vault = Vault(A="1")
    with ScriptedServer(listed=[vault], has_v4=False) as server:
        watched = Watched(service.directory(tmp_path, server.address))
        assert eventually(lambda: len(vault.statuses) > 3)
        watched.watch.stop()
    assert vault.statuses[:4] == [200, 304, 304, 304]
    assert len(server.unknown) == 1


def test_a_watch_goes_on_by_the_older_api_if_the_server_loses_the_newer_one(
    watched: Watched, server: ScriptedServer
) -> None:
    new = listing(A="new")
    server.scripts["list"] = [
        lambda seen: route_missing(seen) if seen.path.startswith("/api/v4/") else new
    ]
    assert eventually(lambda: watched.changes)
    assert (watched.changes[0][0], watched.errors) == ({"A": "new"}, [])


@pytest.mark.parametrize("denied", [DENIED, NO_MEMBER])
def test_a_revoked_permission_causes_no_login(
    denied: dict[str, Any], watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    vault.broken = [denied]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    assert (server.count("login"), watched.codes()) == (1, ["forbidden"])


@pytest.mark.parametrize("ended", [FORBIDDEN, UNAUTHORIZED])
def test_an_expired_token_causes_one_more_login(
    ended: dict[str, Any], watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    vault.broken = [ended]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    assert (server.count("login"), watched.errors) == (2, [])
    logins = [seen for seen in server.seen if seen.kind == "login"]
    assert not any("if-none-match" in seen.headers for seen in logins)


def test_a_refused_login_ends_the_watch(
    watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    server.scripts["login"] = [REFUSED]
    vault.broken = [FORBIDDEN] * 10
    assert eventually(lambda: watched.errors)
    requests = len(server.seen)
    assert not eventually(lambda: len(server.seen) > requests, 0.3)
    assert (watched.codes(), server.count("login")) == (["refused"], 2)


def test_an_error_is_reported_and_the_watch_goes_on(watched: Watched, vault: Vault) -> None:
    vault.broken = [NOT_FOUND, NOT_FOUND]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    assert watched.codes() == ["not_found", "not_found"]


def test_requests_slow_down_after_consecutive_errors(watched: Watched, vault: Vault) -> None:
    vault.broken = [NOT_FOUND] * 100
    begin = time.monotonic()
    assert eventually(lambda: len(watched.errors) == 6)
    assert time.monotonic() - begin > 0.02 * (2 + 4 + 8 + 10 + 10)


def test_a_list_that_comes_too_slowly_is_given_up_and_requested_again(
    home: Path, vault: Vault, server: ScriptedServer
) -> None:
    watched = Watched(home, timeout=2)
    vault.broken = [{"drip": 0.05}]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert (watched.codes(), server.count("login")) == (["deadline"], 2)


def test_a_stopped_watch_makes_no_request(watched: Watched, server: ScriptedServer) -> None:
    watched.watch.stop()
    eventually(lambda: False, 0.1)  # lets a request that was under way end
    requests = len(server.seen)
    assert not eventually(lambda: len(server.seen) > requests, 0.2)
