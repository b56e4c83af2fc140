"""Test a watch of a service that has a project of its own and imports a folder of another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_config import Cache, load
from tests import projects
from tests.projects import OWN, SHARED, Lists
from tests.scripted import DOWN, LOGIN, REFUSED, ScriptedServer, eventually, refusal
from tests.vault import Vault
from tests.watching.watched import Watched

DENIED = refusal(403, error="ProjectMembershipNotFound")
ENDED = refusal(401, "token expired")


@pytest.fixture
def own() -> Vault:
    return Vault(A="1")


@pytest.fixture
def shared() -> Vault:
    return Vault(A="0", B="1")


@pytest.fixture
def server(own: Vault, shared: Vault) -> Iterator[ScriptedServer]:
    with ScriptedServer(listed=[Lists({OWN: own, SHARED: shared})]) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: ScriptedServer) -> Path:
    """The directory of a service with an import."""
    return projects.directory(tmp_path / "service", server.address)


def test_each_list_is_asked_by_its_etag_and_a_change_of_one_is_reported(
    watched: Watched, own: Vault, shared: Vault, server: ScriptedServer
) -> None:
    assert eventually(lambda: len(own.statuses) > 2 and len(shared.statuses) > 2)
    shared.values = {"A": "0", "B": "2"}
    assert eventually(lambda: watched.changes)
    own.values = {"A": "2"}
    assert eventually(lambda: len(watched.changes) == 2)
    watched.watch.stop()
    assert watched.changes == [({"A": "1", "B": "2"}, ["B"]), ({"A": "2", "B": "2"}, ["A"])]
    assert own.statuses[:3] == shared.statuses[:3] == [200, 304, 304]
    assert (own.statuses.count(200), shared.statuses.count(200)) == (2, 2)
    assert (watched.errors, server.count("login")) == ([], 1)


def test_no_change_of_an_import_that_the_own_folder_overrides_is_reported(
    watched: Watched, shared: Vault
) -> None:
    shared.values = {"A": "other", "B": "1"}
    assert eventually(lambda: shared.statuses.count(200) == 2 and shared.statuses[-1] == 304)
    watched.watch.stop()
    assert (watched.changes, watched.errors) == ([], [])


def test_a_change_of_one_list_is_reported_although_another_failed_at_that_time(
    watched: Watched, own: Vault, shared: Vault
) -> None:
    shared.broken = [DENIED] * 1000
    assert eventually(lambda: watched.errors)
    own.values = {"A": "2"}
    assert eventually(lambda: own.statuses.count(200) > 1)
    shared.broken = []
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert watched.changes == [({"A": "2", "B": "1"}, ["A"])]
    assert set(watched.codes()) == {"forbidden"}


def test_a_change_that_is_taken_back_while_another_list_fails_is_none(
    watched: Watched, own: Vault, shared: Vault
) -> None:
    """The ETag of the list that was not accepted must not be asked for."""
    shared.broken = [DENIED] * 1000
    assert eventually(lambda: watched.errors)
    own.values = {"A": "2"}
    assert eventually(lambda: own.statuses.count(200) > 1)
    own.values = {"A": "1"}
    assert eventually(lambda: own.statuses[-1] == 304)
    shared.values = {"B": "2"}
    shared.broken = []
    assert eventually(lambda: watched.changes)
    own.values = {"A": "2"}
    assert eventually(lambda: len(watched.changes) == 2)
    watched.watch.stop()
    assert watched.changes == [({"A": "1", "B": "2"}, ["B"]), ({"A": "2", "B": "2"}, ["A"])]


def test_an_ended_token_causes_one_login_for_all_lists(
    home: Path, own: Vault, shared: Vault, server: ScriptedServer
) -> None:
    ended: set[str] = set()
    both = Lists({OWN: own, SHARED: shared})
    token = {"accessToken": "token-2-example"}
    server.scripts["login"] = [LOGIN, {**LOGIN, "json": {**LOGIN["json"], **token}}]
    server.scripts["list"] = [
        lambda seen: ENDED if seen.headers["authorization"] in ended else both(seen)
    ]
    watched = Watched(home)
    own.values = {"A": "2"}
    ended.add("Bearer token-example")
    assert eventually(lambda: watched.changes and server.count("login") > 1)
    requests = len(server.seen)
    assert eventually(lambda: len(server.seen) > requests + 6)
    watched.watch.stop()
    assert (server.count("login"), watched.errors) == (2, [])


def test_only_a_list_whose_token_has_ended_is_requested_again(
    watched: Watched, own: Vault, shared: Vault, server: ScriptedServer
) -> None:
    assert eventually(lambda: len(own.statuses) > 1)
    shared.broken = [ENDED]
    assert eventually(lambda: 401 in shared.statuses and shared.statuses[-1] == 304)
    watched.watch.stop()
    assert (watched.changes, watched.errors, server.count("login")) == ([], [], 2)
    assert own.statuses.count(200) == 1


def test_a_membership_that_was_taken_away_causes_no_login(
    watched: Watched, shared: Vault, server: ScriptedServer
) -> None:
    shared.broken = [DENIED]
    assert eventually(lambda: watched.errors)
    watched.watch.stop()
    assert (watched.codes(), server.count("login")) == (["forbidden"], 1)


def test_a_refused_login_ends_the_watch(
    watched: Watched, own: Vault, shared: Vault, server: ScriptedServer
) -> None:
    server.scripts["login"] = [REFUSED]
    own.broken, shared.broken = [ENDED], [ENDED]
    assert eventually(lambda: watched.errors)
    requests = len(server.seen)
    assert not eventually(lambda: len(server.seen) > requests, 0.3)
    assert (watched.codes(), server.count("login")) == (["refused"], 2)


def test_a_list_that_comes_too_slowly_is_given_up_and_both_are_requested_again(
    home: Path, own: Vault, shared: Vault, server: ScriptedServer
) -> None:
    watched = Watched(home, timeout=1)
    shared.broken = [{"drip": 0.05}]
    assert eventually(lambda: watched.errors)
    own.values = {"A": "2"}
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert (watched.codes(), server.count("login")) == (["deadline"], 2)
    assert watched.changes == [({"A": "2", "B": "1"}, ["A"])]


def test_the_cache_is_renewed_with_the_values_of_all_lists(
    home: Path, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "cache"
    watched = Watched(home, cache=Cache(file))
    first = file.read_text()
    assert eventually(lambda: file.read_text() != first)
    watched.watch.stop()
    server.scripts["login"] = [DOWN, LOGIN]
    config = load(directory=home, cache=Cache(file), warn=lambda _: None)
    assert dict(config) == {"A": "1", "B": "1"}
