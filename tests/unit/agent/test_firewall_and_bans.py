"""Test reading the firewall and fail2ban from outputs of real hosts."""

import pytest

from infisical_iac.agent import system
from infisical_iac.agent.runner import Output
from infisical_iac.agent.system import Bans, Table
from tests.unit.agent.fake_runner import FakeRunner

_TABLE = "table inet infisical {\n\tchain input {\n\t}\n}\n"
_NFT = "nft --stateless --terse list table inet infisical"


def test_the_loaded_table_is_compared_with_the_one_that_nft_makes_of_the_text() -> None:
    host = FakeRunner(answers={_NFT: _TABLE, "unshare --net": _TABLE})
    expected = _TABLE.rstrip("\n")
    assert system.firewall(host, ruleset="the text") == Table(True, expected, expected)
    assert [stdin for _, stdin in host.ran] == ["", "the text"]
    assert not any("the text" in words for words, _ in host.ran)


def test_a_text_that_nft_refuses_is_answered_by_its_error() -> None:
    error = "/dev/stdin:1:1: Error: syntax error"
    host = FakeRunner(answers={_NFT: Output(1), "unshare --net": Output(1, "", f"{error}\n")})
    assert system.firewall(host, ruleset="x") == Table(True, "", error)


def test_a_host_without_nft_has_no_firewall() -> None:
    host = FakeRunner(answers={"unshare --net": Output(127, "", "sh: 1: nft: not found\n")})
    assert not system.firewall(host, ruleset="x").installed


_BANS = [
    "Fail2Ban v1.1.0 reads log file that contains password failure report",
    "fail2ban> Status",
    "|- Number of jail:\t2",
    "`- Jail list:\tinfisical-login, sshd",
    "fail2ban> [{'infisical-login': ['203.0.113.9', '2001:db8::1']}, {'sshd': []}]",
    "fail2ban> ",
]
_SETS = (
    '{"nftables": [{"metainfo": {"version": "1.1.3"}}, {"set": {"family": "inet", "name": '
    '"addr-set-infisical-login", "elem": ["203.0.113.9"]}}, {"set": {"family": "inet", "name": '
    '"addr6-set-infisical-login", "type": "ipv6_addr"%s}}]}'
)


def _read(bans: list[str], sets: str = "") -> Bans:
    client, listing = "timeout 20 fail2ban-client -i", "nft --json list table inet f2b-table"
    return system.bans(FakeRunner(answers={client: "\n".join(bans), listing: sets}))


def test_jails_and_enforced_bans_are_read() -> None:
    found = _read(_BANS, _SETS % ', "elem": ["2001:db8::1"]')
    assert found == Bans(frozenset({"infisical-login", "sshd"}))


def test_bans_that_nftables_lacks_are_reported() -> None:
    assert _read(_BANS, _SETS % "").unenforced == {"2001:db8::1"}
    assert _read(_BANS).unenforced == {"203.0.113.9", "2001:db8::1"}


def test_networks_that_are_banned_are_compared_with_those_of_nftables() -> None:
    bans = [each.replace("'2001:db8::1'", "'2001:db8::/64'") for each in _BANS]
    prefix = '{"prefix": {"addr": "2001:db8::", "len": 64}}'
    assert _read(bans, _SETS % f', "elem": [{prefix}]').unenforced == frozenset()
    assert _read(bans, _SETS % "").unenforced == {"2001:db8::/64"}


def test_a_host_without_fail2ban_has_no_jails() -> None:
    assert system.bans(FakeRunner()) == Bans()


@pytest.mark.parametrize(("place", "mounted"), [("/proc", True), ("/etc", False), ("/no", False)])
def test_a_mount_point_is_recognized(place: str, mounted: bool) -> None:
    assert system.is_mounted(FakeRunner(), place=place) is mounted
