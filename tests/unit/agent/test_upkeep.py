"""Test what a host needs over weeks: logins, upgrades, repositories and releases."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infisical_iac.agent import upkeep
from infisical_iac.agent.health import RELEASES
from infisical_iac.agent.runner import Output
from infisical_iac.agent.upkeep import (
    NewerRelease,
    ReleaseRecord,
    Upkeep,
    WatchedRepository,
    ask_repository,
)
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.test_delivery import serve
from tests.unit.agent.watching import DAY, HOUR, MINUTE, NOW

_LOG = "/var/log/fail2ban.log"
# Lines of fail2ban 1.1.
_AT = "2026-11-25 11:59:58,123 fail2ban"
_FOUND = f"{_AT}.filter         [612]: INFO    [{{}}] Found 192.0.2.7 - {{}}\n"
_BAN = f"{_AT}.actions        [612]: NOTICE  [sshd] {{}}Ban 192.0.2.7\n"
_THEN = "2026-11-25 11:59:58"
_PRESENT = int(NOW // HOUR)

# Lines of Debian's apt 3.0, and of Ubuntu's.
_SECURITY = "Debian:13.8/stable, Debian-Security:13/stable-security [amd64]"
_UBUNTU = "Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [amd64]"
_UPGRADES = f"""\
Inst libc6-dbg [2.41-12+deb13u4] (2.41-12+deb13u5 Debian:13.8/stable [amd64]) []
Inst libbrotli1 [1.1.0-2+b7] (1.1.0-2+deb13u1 {_SECURITY}) []
Inst curl [8.5.0-2ubuntu10.5] (8.5.0-2ubuntu10.6 {_UBUNTU})
Conf libbrotli1 (1.1.0-2+deb13u1 {_SECURITY})
"""


def _append(host: FakeRunner, text: str) -> None:
    with host.path(_LOG).open("a") as file:
        file.write(text)


def test_failed_logins_and_bans_are_counted_by_jail_and_hour(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write(_LOG, _FOUND.format("sshd", _THEN) * 9)
    found = upkeep.observe(host, Upkeep(), NOW)
    # What was logged before the first run is not of this hour.
    assert found.hours["sshd"] == [(_PRESENT, 0, 0)]
    _append(host, _FOUND.format("sshd", _THEN) * 2 + _BAN.format("") + _FOUND[:30])
    found = upkeep.observe(host, found, NOW + MINUTE)
    assert found.hours["sshd"] == [(_PRESENT, 2, 1)]
    _append(host, _FOUND[30:].format("infisical-login", _THEN) + _FOUND.format("sshd", _THEN))
    found = upkeep.observe(host, found, NOW + HOUR)
    assert found.hours["sshd"] == [(_PRESENT, 2, 1), (_PRESENT + 1, 1, 0)]
    assert found.hours["infisical-login"][-1] == (_PRESENT + 1, 1, 0)
    later = upkeep.observe(host, found, NOW + 8 * DAY)
    assert [hour for hour, _, _ in later.hours["sshd"]] == [_PRESENT + 8 * 24]


def test_a_restart_of_fail2ban_counts_nothing_again(tmp_path: Path) -> None:
    """It reads the last minutes of its logs again, and restores its bans."""
    host = FakeRunner(tmp_path)
    host.write(_LOG, "")
    before = upkeep.observe(host, Upkeep(), NOW)
    _append(host, _FOUND.format("sshd", "2026-11-25 11:50:00") + _BAN.format("Restore "))
    assert upkeep.observe(host, before, NOW).hours["sshd"] == [(_PRESENT, 0, 0)]


def test_a_rotated_log_is_read_from_its_begin(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write(_LOG, "x\n" * 500)
    before = upkeep.observe(host, Upkeep(), NOW)
    host.path(_LOG).rename(host.path(f"{_LOG}.1"))
    host.write(_LOG, _BAN.format(""))
    assert upkeep.observe(host, before, NOW).hours["sshd"] == [(_PRESENT, 0, 1)]
    host.path(_LOG).unlink()
    assert upkeep.observe(host, before, NOW).hours == before.hours


def test_apt_is_asked_twice_a_day_for_security_upgrades(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers={"apt-get --simulate": _UPGRADES})
    os.utime(host.write("/var/lib/apt/periodic/update-stamp", ""), (NOW - HOUR, NOW - HOUR))
    first = upkeep.observe(host, Upkeep(), NOW)
    assert first.upgrades == {"libbrotli1": NOW, "curl": NOW}
    assert first.lists_at == NOW - HOUR
    again = upkeep.observe(host, first, NOW + 11 * HOUR)
    assert len(host.ran) == 1
    # Each keeps the time at which it was seen first.
    assert upkeep.observe(host, again, NOW + 12 * HOUR).upgrades == first.upgrades
    assert len(host.ran) == 2


def test_apt_is_asked_again_after_an_installation(tmp_path: Path) -> None:
    answers: dict[str, str | Output] = {"apt-get --simulate": _UPGRADES}
    host = FakeRunner(tmp_path, answers=answers)
    first = upkeep.observe(host, Upkeep(), NOW)
    os.utime(host.write("/var/lib/dpkg/status", ""), (NOW + MINUTE, NOW + MINUTE))
    answers["apt-get --simulate"] = ""
    assert upkeep.observe(host, first, NOW + 2 * MINUTE).upgrades == {}


def test_an_apt_that_fails_keeps_what_is_known(tmp_path: Path) -> None:
    known = Upkeep(upgrades={"curl": NOW - DAY})
    host = FakeRunner(tmp_path, answers={"apt-get": Output(100)})
    assert upkeep.observe(host, known, NOW).upgrades == known.upgrades


@contextmanager
def _greet(greeting: bytes) -> Iterator[int]:
    """Yield the port of a server that sends a greeting to one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            made, _ = server.accept()
            with made:
                made.sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("greeting", "fact"), [(b"SSH-2.0-OpenSSH_9.2p1\r\n", ""), (b"220 mail", "than SSH")]
)
def test_a_server_of_sftp_answers_with_its_greeting(
    tmp_path: Path, greeting: bytes, fact: str
) -> None:
    with _greet(greeting) as port:
        why = ask_repository(
            FakeRunner(tmp_path), WatchedRepository("a", "ssh", f"127.0.0.1:{port}")
        )
    assert bool(why) is bool(fact)
    assert fact in why


@pytest.mark.parametrize(("status", "fact"), [(200, ""), (403, ""), (503, "HTTP 503")])
def test_a_web_server_answers_also_if_it_wants_a_login(
    tmp_path: Path, status: int, fact: str
) -> None:
    with serve(status) as server:
        asked = WatchedRepository("a", "http", server.url)
        assert ask_repository(FakeRunner(tmp_path), asked) == fact
    assert ask_repository(FakeRunner(tmp_path), asked) == "the connection is refused"


def test_a_repository_that_fails_is_asked_every_minute(tmp_path: Path) -> None:
    host, asked = FakeRunner(tmp_path), [WatchedRepository("nas", "directory", "/mnt/nas")]
    times = []
    last = Upkeep()
    for minute in range(12):
        if minute == 2:
            host.write("/mnt/nas/config", "")
        last = upkeep.observe(host, last, NOW + minute * MINUTE, repositories=asked)
        times.append((last.repositories["nas"][0] - NOW) / MINUTE)
    assert times == [0, 1, 2, 2, 2, 2, 2, 7, 7, 7, 7, 7]
    # The settings no longer name it.
    assert upkeep.observe(host, last, NOW + HOUR).repositories == {}


def test_newer_releases_are_read_as_they_were_handed_over(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    newer = {"name": "redis", "pinned": "8.2.1", "newest": "8.2.3", "security": "CVE-2026-1"}
    host.write(RELEASES, json.dumps({"at": "2026-11-25T12:00:00Z", "newer": [newer]}))
    expected = ReleaseRecord(NOW, (NewerRelease("redis", "8.2.1", "8.2.3", "CVE-2026-1"),))
    assert upkeep.observe(host, Upkeep(), NOW).releases == expected
    host.write(RELEASES, "{")
    assert upkeep.observe(host, Upkeep(), NOW).releases is None
