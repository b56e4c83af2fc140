"""Test a configuration that follows Infisical while the process runs."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from infisical_config import Cache, Config, ConfigError
from tests.scripted import LOGIN, ScriptedServer, eventually
from tests.vault import Vault
from tests.watching.watched import NOT_FOUND, Watched


def test_a_change_is_reported_with_the_names(watched: Watched, vault: Vault) -> None:
    vault.values = {"A": "1", "B": "new", "C": "3"}
    assert eventually(lambda: watched.changes)
    vault.values = {"A": "1", "C": "3"}
    assert eventually(lambda: len(watched.changes) == 2)
    assert watched.changes == [
        ({"A": "1", "B": "new", "C": "3"}, ["B", "C"]),
        ({"A": "1", "C": "3"}, ["B"]),
    ]
    assert dict(watched.watch.config) == {"A": "1", "C": "3"}


def test_a_failing_callback_does_not_end_the_watch(home: Path, vault: Vault) -> None:
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


def test_values_set_by_the_watch_do_not_count_as_the_environments_own(
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
    (warning,) = warnings
    assert warning.startswith("withheld unless `allow` ")
    assert warning.endswith(": PATH")


def test_errors_without_on_error_are_warnings(home: Path, vault: Vault) -> None:
    warnings: list[str] = []
    watched = Watched(home, on_error=None, warn=warnings.append)
    vault.broken = [NOT_FOUND]
    assert eventually(lambda: warnings)
    watched.watch.stop()
    assert "has no production /backend in project" in warnings[0]


def test_a_watch_can_begin_with_the_cache_until_the_server_is_back(
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


def test_an_unchanged_answer_renews_the_cache(home: Path, tmp_path: Path) -> None:
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
