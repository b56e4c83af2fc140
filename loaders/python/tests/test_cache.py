"""Test starts from the cache while Infisical is down."""

import errno
import os
import re
import stat
import time
from pathlib import Path

import pytest

from infisical_config import Cache, ConfigError, load
from tests import service
from tests.scripted import DOWN, REFUSED, ScriptedServer, listing

VALUES = {"A": "value-of-a", "B": "value-of-b"}


@pytest.fixture
def cache(tmp_path: Path, home: Path) -> Cache:
    """A cache that a good start has written."""
    cache = Cache(tmp_path / "cache.json")
    load(directory=home, cache=cache)
    return cache


def test_a_good_start_writes_a_file_that_only_its_owner_reads(cache: Cache, tmp_path: Path) -> None:
    file = tmp_path / "cache.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "value-of-a" not in file.read_text()
    assert sorted(os.listdir(tmp_path)) == ["cache.json", "service"]


def test_a_start_while_the_server_is_down_uses_the_cache_with_a_warning(
    cache: Cache, server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["login"] = [DOWN]
    later = time.time() + 3 * 3600 + 60
    monkeypatch.setattr("infisical_config.cache.time.time", lambda: later)
    warnings: list[str] = []
    config = load(directory=home, cache=cache, required=["A"], warn=warnings.append)
    assert dict(config) == VALUES
    (warning,) = warnings
    assert warning.startswith(f"{server.address} answers 503")
    assert re.search(rf"CACHE {cache.file}, .* 3 h old$", warning)


def test_a_refusal_does_not_count_as_an_outage(
    cache: Cache, server: ScriptedServer, home: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache)
    assert failure.value.code == "refused"


def test_a_refusal_of_a_proxy_is_an_outage_that_the_cache_bridges(
    cache: Cache, server: ScriptedServer, home: Path
) -> None:
    server.scripts["login"] = [{"status": 403, "text": "<html>blocked</html>"}]
    warnings: list[str] = []
    assert dict(load(directory=home, cache=cache, warn=warnings.append)) == VALUES
    assert "answers 403" in warnings[0]


def test_a_cache_that_is_too_old_is_not_used(
    cache: Cache, server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["login"] = [DOWN]
    later = time.time() + 25.5 * 3600
    monkeypatch.setattr("infisical_config.cache.time.time", lambda: later)
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache)
    assert failure.value.code == "server"
    assert str(failure.value).startswith(f"{server.address} answers 503")
    assert re.search(rf"; the cache {cache.file} .* 25 h old, .* 24 h$", str(failure.value))


def test_a_damaged_cache_is_reported(cache: Cache, server: ScriptedServer, home: Path) -> None:
    server.scripts["login"] = [DOWN]
    Path(cache.file).write_text("{}")
    warnings: list[str] = []
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache, warn=warnings.append)
    assert failure.value.code == "server"
    (warning,) = warnings
    assert warning.startswith(f"the cache {cache.file} can't be used")
    assert "damaged" in warning


def test_without_a_cache_the_error_of_the_server_is_raised(
    server: ScriptedServer, home: Path, tmp_path: Path
) -> None:
    server.scripts["login"] = [DOWN]
    warnings: list[str] = []
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=Cache(tmp_path / "none"), warn=warnings.append)
    assert (failure.value.code, warnings) == ("server", [])


def test_a_cache_that_cannot_be_written_is_a_warning(home: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "none" / "cache.json")
    warnings: list[str] = []
    assert load(directory=home, cache=cache, warn=warnings.append) == VALUES
    assert len(warnings) == 1
    assert f"{cache.file} can't be written ({os.strerror(errno.ENOENT)})" in warnings[0]


def test_a_link_in_place_of_the_cache_is_replaced_and_not_followed(
    home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    file = tmp_path / "cache.json"
    file.symlink_to(other)
    load(directory=home, cache=Cache(file))
    assert other.read_text() == "kept"
    assert not file.is_symlink()


def test_the_cache_has_the_values_of_infisical_without_the_environment(
    cache: Cache, server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", "own")
    load(directory=home, cache=cache)
    monkeypatch.delenv("A")
    server.scripts["login"] = [DOWN]
    assert load(directory=home, cache=cache, warn=lambda _: None) == VALUES


def test_a_new_client_secret_does_not_open_the_cache(
    cache: Cache, server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", "another-example")
    server.scripts["login"] = [DOWN]
    with pytest.raises(ConfigError):
        load(directory=home, cache=cache, warn=lambda _: None)


def test_an_unreachable_server_is_an_outage(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.json")
    with ScriptedServer(listed=[listing(**VALUES)]) as server:
        home = service.directory(tmp_path / "service", server.address)
        load(directory=home, cache=cache)
    assert load(directory=home, cache=cache, timeout=1, warn=lambda _: None) == VALUES
