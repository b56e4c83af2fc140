"""Test that restarts don't try a refused credential again."""

import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infisical_config import Cache, ConfigError, load, watch
from infisical_config.bootstrap import Bootstrap
from infisical_config.refusals import LOCK_AGE, PATIENCE, PAUSE, WAIT, Refusals, age_of, note
from tests import service
from tests.scripted import LOGIN, REFUSED, Script, ScriptedServer, Seen, listing, refusal
from tests.vectors import VECTORS, cases

LOCKED = refusal(401, "... is temporarily locked, try later")
FORBIDDEN = refusal(403, "banned")
ENDED = refusal(401, "token expired")
OF_PROXIES: list[Script] = [{"status": each, "text": "<html>sign in</html>"} for each in (401, 403)]


def _place(case: dict[str, Any]) -> Bootstrap:
    return Bootstrap(
        case["clientId"], case["clientSecret"], "production", case["address"], "project", "/"
    )


@cases("refusals")
def test_a_note_is_read_as_the_vectors_say(case: dict[str, Any]) -> None:
    assert age_of(case["file"].encode(), _place(case), float(case["now"])) == case["want"]


def test_a_refusal_noted_by_a_start_stops_the_next_one() -> None:
    case = VECTORS["refusals"][0]
    text = note(_place(case), case["now"] + 0.9)
    assert age_of(text.encode(), _place(case), case["now"] + 30) == 30


def test_the_pauses_are_the_shared_ones() -> None:
    pauses = {"noted": PAUSE, "notNoted": WAIT, "replica": PATIENCE, "abandoned": LOCK_AGE}
    assert VECTORS["refusalPauses"] == pauses


@cases("refusalPlaces")
def test_the_note_has_the_place_that_the_vectors_say(case: dict[str, Any]) -> None:
    place = _place(VECTORS["refusals"][0])
    cache = Cache(case["cache"]) if case["cache"] else None
    directory = case["want"].replace("{own}", f"infisical-config-{os.geteuid()}")
    assert str(Refusals(place, case["environ"], cache).file.parent) == directory


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a start makes, which take no time."""
    made: list[float] = []
    monkeypatch.setattr("infisical_config.refusals.time.sleep", made.append)
    return made


def _code(home: Path, cache: Cache | None = None) -> str:
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache)
    return failure.value.code


def _notes() -> Path:
    return Path(os.environ["TMPDIR"], f"infisical-config-{os.geteuid()}")


def test_a_restart_does_not_try_a_refused_credential_again(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    assert _code(home) == "refused"
    with pytest.raises(ConfigError) as failure:
        load(directory=home)
    assert server.count("login") == 1
    (file,) = _notes().iterdir()
    assert (failure.value.code, failure.value.exit_code) == ("refused_before", 77)
    assert str(failure.value).startswith(f"{server.address} refused ")
    assert " id-example " in str(failure.value)
    assert str(failure.value).endswith(f", or delete {file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert service.CREDENTIAL["INFISICAL_CLIENT_SECRET"] not in file.read_text()


def test_the_runner_reports_a_refused_credential_in_one_line(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    runs = [service.run(home, "-m", "infisical_config", "--", "true") for _ in range(2)]
    assert [each.returncode for each in runs] == [77, 77]
    assert "not tried again for" in runs[1].stderr
    assert (runs[1].stderr.count("\n"), server.count("login")) == (1, 1)


def test_a_new_credential_is_tried_at_once(
    server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["login"] = [REFUSED, LOGIN]
    assert _code(home) == "refused"
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", "another-secret-example")
    assert load(directory=home)["A"] == "value-of-a"


@pytest.mark.parametrize("step", [LOCKED, FORBIDDEN, *OF_PROXIES])
def test_temporary_errors_are_retried_by_a_restart(
    server: ScriptedServer, home: Path, step: Script
) -> None:
    server.scripts["login"] = [step, LOGIN]
    assert _code(home) in ("locked", "refused", "unreachable")
    assert load(directory=home)["A"] == "value-of-a"


def test_the_note_is_next_to_the_cache_if_there_is_one(
    server: ScriptedServer, home: Path, tmp_path: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    cache = Cache(tmp_path / "cache")
    assert [_code(home, cache) for _ in range(2)] == ["refused", "refused_before"]
    assert sorted(os.listdir(tmp_path)) == ["cache.refused", "service"]


def test_a_directory_that_others_may_write_to_takes_no_note(
    server: ScriptedServer, home: Path, pauses: list[float]
) -> None:
    server.scripts["login"] = [REFUSED]
    _notes().mkdir()
    _notes().chmod(0o777)
    assert [_code(home) for _ in range(2)] == ["refused", "refused"]
    assert list(_notes().iterdir()) == []


def test_without_a_place_for_the_note_each_start_waits_before_it_ends(
    server: ScriptedServer,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
) -> None:
    """Three wrong logins, each within 30 s of the one before, lock an identity."""
    server.scripts["login"] = [REFUSED]
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    assert [_code(home) for _ in range(2)] == ["refused", "refused"]
    assert pauses == [31, 31]


def test_a_person_at_a_terminal_does_not_wait(
    server: ScriptedServer,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
) -> None:
    server.scripts["login"] = [REFUSED]
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert _code(home) == "refused"
    assert pauses == []


def test_a_watch_notes_the_refusal_of_its_next_login(server: ScriptedServer, home: Path) -> None:
    server.scripts["login"] = [LOGIN, REFUSED]
    server.scripts["list"] = [listing(A="value-of-a"), ENDED]
    failed = threading.Event()
    watched = watch(every=0.01, on_error=lambda error: failed.set(), directory=home)
    assert failed.wait(20)
    watched.stop()
    assert _code(home) == "refused_before"
    assert server.count("login") == 2


def _replicas(server: ScriptedServer, home: Path, cache: Cache, answer: Script) -> list[str]:
    """Start three at once, each answered after a while; return what became of them."""

    def answer_late(_: Seen) -> Script:
        time.sleep(0.2)
        return answer

    def start(_: int) -> str:
        try:
            load(directory=home, cache=cache)
        except ConfigError as error:
            return error.code
        return "started"

    server.scripts["login"] = [answer_late]
    with ThreadPoolExecutor(3) as pool:
        return sorted(pool.map(start, range(3)))


def test_replicas_with_a_refused_credential_make_one_wrong_login(
    server: ScriptedServer, home: Path, tmp_path: Path
) -> None:
    codes = _replicas(server, home, Cache(tmp_path / "cache"), REFUSED)
    assert codes == ["refused", "refused_before", "refused_before"]
    assert server.count("login") == 1
    assert sorted(os.listdir(tmp_path)) == ["cache.refused", "service"]


def test_replicas_with_a_good_credential_all_start(
    server: ScriptedServer, home: Path, tmp_path: Path
) -> None:
    assert _replicas(server, home, Cache(tmp_path / "cache"), LOGIN) == ["started"] * 3
    assert server.count("login") == 3
    assert sorted(os.listdir(tmp_path)) == ["cache", "service"]


def test_a_login_that_takes_long_does_not_keep_another_start_from_its_own(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache.refused.lock").touch()
    begin = time.monotonic()
    assert load(directory=home, cache=Cache(tmp_path / "cache"), timeout=2)["A"] == "value-of-a"
    assert time.monotonic() - begin >= 1  # half of its time
    assert (tmp_path / "cache.refused.lock").exists()


def test_a_lock_of_a_process_that_has_ended_is_not_waited_for(home: Path, tmp_path: Path) -> None:
    lock = tmp_path / "cache.refused.lock"
    lock.touch()
    os.utime(lock, (time.time() - LOCK_AGE - 1,) * 2)
    begin = time.monotonic()
    assert load(directory=home, cache=Cache(tmp_path / "cache"))["A"] == "value-of-a"
    assert time.monotonic() - begin < PATIENCE
    assert not lock.exists()
