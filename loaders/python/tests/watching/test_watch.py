"""A configuration that follows Infisical while the process runs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from infisical_config import Cache, Config, ConfigError, Watch, watch
from tests.scripted import LOGIN, REFUSED, ScriptedServer, eventually
from tests.vault import Vault

FORBIDDEN = {"status": 403, "json": {"message": "Your token has expired", "error": "TokenError"}}
DENIED = {"status": 403, "json": {"message": "not allowed", "error": "PermissionDenied"}}
UNAUTHORIZED = {"status": 401, "json": {"message": "Token missing"}}
NOT_FOUND = {"status": 404, "json": {"message": "no such folder"}}


class Watched:
    """A watch with what it has told so far."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.changes: list[tuple[dict[str, str], list[str]]] = []
        self.errors: list[Exception] = []
        defaults = {"every": 0.02, "on_change": self._changed, "on_error": self.errors.append}
        self.watch: Watch[Any] = watch(**{**defaults, "directory": home, **options})

    def _changed(self, config: Config, names: list[str]) -> None:
        self.changes.append((dict(config), names))

    def codes(self) -> list[str]:
        return [error.code for error in self.errors if isinstance(error, ConfigError)]


@pytest.fixture
def vault() -> Vault:
    return Vault(A="1", B="2")


@pytest.fixture
def server(vault: Vault) -> Iterator[ScriptedServer]:
    with ScriptedServer(listed=[vault]) as server:
        yield server


@pytest.fixture
def watched(home: Path) -> Iterator[Watched]:
    watched = Watched(home)
    yield watched
    watched.watch.stop()


def test_what_has_not_changed_is_not_sent_again(
    watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    assert eventually(lambda: len(vault.statuses) > 3)
    assert vault.statuses[:4] == [200, 304, 304, 304]
    assert (watched.changes, watched.errors, server.count("login")) == ([], [], 1)
    assert dict(watched.watch.config) == {"A": "1", "B": "2"}


def test_a_change_is_told_with_the_names(watched: Watched, vault: Vault) -> None:
    vault.values = {"A": "1", "B": "new", "C": "3"}
    assert eventually(lambda: watched.changes)
    vault.values = {"A": "1", "C": "3"}
    assert eventually(lambda: len(watched.changes) == 2)
    assert watched.changes == [
        ({"A": "1", "B": "new", "C": "3"}, ["B", "C"]),
        ({"A": "1", "C": "3"}, ["B"]),
    ]
    assert dict(watched.watch.config) == {"A": "1", "C": "3"}


def test_a_right_that_was_taken_away_needs_no_login(
    watched: Watched, vault: Vault, server: ScriptedServer
) -> None:
    vault.broken = [DENIED]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    assert (server.count("login"), watched.codes()) == (1, ["forbidden"])


@pytest.mark.parametrize("ended", [FORBIDDEN, UNAUTHORIZED])
def test_the_end_of_a_token_is_one_more_login(
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


def test_an_error_is_told_and_the_watch_goes_on(watched: Watched, vault: Vault) -> None:
    vault.broken = [NOT_FOUND, NOT_FOUND]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    assert watched.codes() == ["not_found", "not_found"]


def test_errors_in_a_row_are_asked_for_less_and_less(watched: Watched, vault: Vault) -> None:
    vault.broken = [NOT_FOUND] * 100
    begin = time.monotonic()
    assert eventually(lambda: len(watched.errors) == 6)
    assert time.monotonic() - begin > 0.02 * (2 + 4 + 8 + 10 + 10)


def test_a_list_that_stalls_is_given_up_and_asked_for_anew(
    home: Path, vault: Vault, server: ScriptedServer
) -> None:
    watched = Watched(home, timeout=2)
    vault.broken = [{"stall": "body"}]
    vault.values = {"A": "new"}
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert (watched.codes(), server.count("login")) == (["deadline"], 2)


def test_nothing_is_asked_once_it_is_stopped(watched: Watched, server: ScriptedServer) -> None:
    watched.watch.stop()
    eventually(lambda: False, 0.1)  # for a request that was under way
    requests = len(server.seen)
    assert not eventually(lambda: len(server.seen) > requests, 0.2)


def test_a_failing_callback_does_not_end_it(home: Path, vault: Vault) -> None:
    calls: list[str] = []

    def fails(config: Config, _: list[str]) -> None:
        calls.append(config.A)
        raise RuntimeError("the callback's own")

    watched = Watched(home, on_change=fails)
    vault.values = {"A": "2"}
    assert eventually(lambda: watched.errors)
    vault.values = {"A": "3"}
    assert eventually(lambda: len(calls) == 2)
    watched.watch.stop()
    assert calls == ["2", "3"]


def test_values_that_it_has_set_itself_do_not_count_as_the_environments_own(
    home: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B", "own")
    monkeypatch.setenv("A", "")
    monkeypatch.delenv("A")
    watched = Watched(home, into=os.environ)
    vault.values = {"A": "new", "B": "new"}
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert watched.changes == [({"A": "new", "B": "own"}, ["A"])]
    assert (os.environ["A"], os.environ["B"]) == ("new", "own")


def test_a_change_that_does_not_fit_the_schema_is_an_error_and_changes_nothing(
    home: Path, vault: Vault
) -> None:
    class Numbers(BaseModel):
        A: int

    numbers: list[Numbers] = []
    watched = Watched(home, schema=Numbers, on_change=lambda config, _: numbers.append(config))
    vault.values = {"A": "no number"}
    assert eventually(lambda: watched.errors)
    assert watched.watch.config == Numbers(A=1)
    vault.values = {"A": "2"}
    assert eventually(lambda: numbers)
    watched.watch.stop()
    assert (set(watched.codes()), numbers) == ({"invalid"}, [Numbers(A=2)])


def test_a_withheld_name_is_warned_of_once(home: Path, vault: Vault) -> None:
    vault.values["PATH"] = "x"
    warnings: list[str] = []
    watched = Watched(home, warn=warnings.append)
    assert eventually(lambda: len(vault.statuses) > 3)
    watched.watch.stop()
    assert warnings == ["withheld, for they could take over a process: PATH"]


def test_errors_are_warnings_when_nobody_asked_for_them(home: Path, vault: Vault) -> None:
    warnings: list[str] = []
    watched = Watched(home, on_error=None, warn=warnings.append)
    vault.broken = [NOT_FOUND]
    assert eventually(lambda: warnings)
    watched.watch.stop()
    assert "has no production /backend in project" in warnings[0]


def test_it_can_begin_with_the_cache_and_the_server_comes_back(
    home: Path, vault: Vault, server: ScriptedServer, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache.json")
    Watched(home, cache=cache).watch.stop()
    server.scripts["login"] = [
        {"status": 503, "headers": {"retry-after": "600"}, "text": ""},
        LOGIN,
    ]
    vault.values = {"A": "new"}
    watched = Watched(home, cache=cache, warn=lambda _: None)
    assert dict(watched.watch.config) == {"A": "1", "B": "2"}
    assert eventually(lambda: watched.changes)
    watched.watch.stop()
    assert watched.changes == [({"A": "new"}, ["A", "B"])]


def test_an_answer_that_nothing_has_changed_makes_the_cache_as_new_as_itself(
    home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "cache.json"
    watched = Watched(home, cache=Cache(file))
    first = file.read_text()
    assert eventually(lambda: file.read_text() != first)
    watched.watch.stop()
    assert watched.changes == []


def test_a_first_load_that_fails_is_raised(home: Path, vault: Vault) -> None:
    vault.broken = [NOT_FOUND]
    with pytest.raises(ConfigError):
        Watched(home)
