"""Test bans by the real fail2ban in a real kernel."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.banning import (
    ATTACKER,
    ATTACKER6,
    BESIDE6,
    FRIEND,
    NEIGHBOUR,
    NEIGHBOUR6,
    ROTATED6,
    BanningHost,
    banning,
    within,
)
from tests.unit.host.lines import line

_LOGIN = "/api/v1/auth/universal-auth/login"
_ATTEMPTS, _CALLS = 4, 20
# A stand-in for the firewall's own table, which bans must not affect.
_FIREWALL = "table inet infisical { chain input { type filter hook input priority 0; }; }"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BanningHost]:
    changes = {"login_attempts": _ATTEMPTS, "login_calls": _CALLS}
    with banning(tmp_path, machine_networks=(f"{FRIEND}/32",), **changes) as host:
        yield host


def _logins(address: str, *, times: int = _ATTEMPTS, status: int = 401) -> list[str]:
    return [
        line(_LOGIN, address=address, status=status, at=time.time(), method="POST")
        for _ in range(times)
    ]


def test_an_ipv6_network_is_banned_though_its_address_changes(
    host: BanningHost,
) -> None:
    host.write_log(*_logins(NEIGHBOUR6, times=_ATTEMPTS - 1))
    host.write_log(*(each for address in ROTATED6 for each in _logins(address, times=1)))
    assert host.bans(*ROTATED6, ATTACKER6), host.read_log()
    assert host.reaches(NEIGHBOUR6)
    assert within(60, lambda: not host.observe().unenforced)
    host.client("restart")
    assert host.bans(*ROTATED6, ATTACKER6), host.read_log()
    assert host.reaches(NEIGHBOUR6)


def test_failed_logins_over_ssh_are_counted_by_network_too(host: BanningHost) -> None:
    for each in ROTATED6:
        host.client("set", "sshd", "attempt", each)
    host.client("set", "sshd", "attempt", NEIGHBOUR6)
    assert host.bans(*ROTATED6, ATTACKER6), host.read_log()
    assert host.reaches(NEIGHBOUR6)


@pytest.mark.parametrize("named", [ROTATED6[0], "2001:db8:0:a::/64"])
def test_a_banned_network_is_unbanned_by_its_prefix_or_an_address(
    host: BanningHost, named: str
) -> None:
    host.write_log(*_logins(ATTACKER6))
    assert host.bans(*ROTATED6, ATTACKER6), host.read_log()
    host.client("unban", named)
    assert within(60, lambda: host.reaches(ATTACKER6)), host.read_log()
    host.write_log(*_logins(ATTACKER6))
    assert host.bans(ATTACKER6), host.read_log()


def test_an_ipv6_network_with_a_successful_ssh_login_is_never_banned(
    host: BanningHost,
) -> None:
    host.journal.write_text(f"Accepted publickey for root from {BESIDE6} port 50000 ssh2: x\n")
    host.write_log(*_logins(NEIGHBOUR6, times=30), *_logins(ATTACKER6))
    assert host.bans(ATTACKER6), host.read_log()
    assert host.reaches(NEIGHBOUR6)
    assert host.reaches(BESIDE6)


def test_a_network_with_an_allowed_address_is_not_banned_as_a_whole(tmp_path: Path) -> None:
    changes = {"login_attempts": _ATTEMPTS, "login_calls": _CALLS}
    with banning(tmp_path, machine_networks=(f"{BESIDE6}/128",), **changes) as host:
        host.write_log(*_logins(NEIGHBOUR6))
        assert host.bans(NEIGHBOUR6), host.read_log()
        assert host.reaches(BESIDE6)


def test_only_the_address_whose_logins_fail_is_banned(host: BanningHost) -> None:
    host.write_log(
        *_logins(ATTACKER), *_logins(ATTACKER6), *_logins(NEIGHBOUR, times=_ATTEMPTS - 1)
    )
    assert host.bans(ATTACKER, ATTACKER6), host.read_log()
    assert host.reaches(NEIGHBOUR)
    assert host.reaches(NEIGHBOUR6)


def test_an_address_that_logs_in_too_often_is_banned(host: BanningHost) -> None:
    host.write_log(*_logins(NEIGHBOUR, times=_CALLS - 1, status=200))
    host.write_log(*_logins(ATTACKER, times=_CALLS, status=200))
    assert host.bans(ATTACKER), host.read_log()
    assert host.reaches(NEIGHBOUR)


def test_allowed_networks_and_addresses_that_logged_in_by_ssh_are_never_banned(
    host: BanningHost,
) -> None:
    host.journal.write_text(f"Accepted publickey for root from {NEIGHBOUR} port 50000 ssh2: x\n")
    host.write_log(*_logins(FRIEND, times=30), *_logins(NEIGHBOUR, times=30), *_logins(ATTACKER))
    assert host.bans(ATTACKER), host.read_log()
    assert host.reaches(FRIEND)
    assert host.reaches(NEIGHBOUR)


def test_a_refused_login_with_a_forged_name_does_not_prevent_a_ban(host: BanningHost) -> None:
    host.journal.write_text(
        f"Invalid user Accepted publickey for root from {ATTACKER} port 1 from {ATTACKER} port 2\n"
    )
    host.write_log(*_logins(ATTACKER))
    assert host.bans(ATTACKER), host.read_log()


def test_bans_survive_a_restart_and_a_reload_of_the_firewall(host: BanningHost) -> None:
    host.nft(_FIREWALL)
    host.write_log(*_logins(ATTACKER))
    assert host.bans(ATTACKER), host.read_log()
    host.nft("delete table inet infisical; " + _FIREWALL)
    assert not host.reaches(ATTACKER)
    host.client("stop")
    assert host.reaches(ATTACKER)
    host.start()
    assert host.bans(ATTACKER), host.read_log()
    assert "table inet infisical" in host.nft("list", "ruleset")


def test_a_ban_removed_from_nftables_is_detected_and_restored(
    host: BanningHost,
) -> None:
    host.write_log(*_logins(ATTACKER), *_logins(ATTACKER6))
    assert host.bans(ATTACKER, ATTACKER6), host.read_log()
    assert within(60, lambda: not host.observe().unenforced)
    assert host.observe().jails == {"sshd", "infisical-login", "infisical-calls"}
    host.nft("delete table inet f2b-table")
    assert host.observe().unenforced == {ATTACKER, "2001:db8:0:a::/64"}
    host.client("restart")
    assert host.bans(ATTACKER, ATTACKER6), host.read_log()
