"""Test reading the state of the log's rotation and of fail2ban from outputs of real hosts."""

from infisical_iac.core.files import PathState
from infisical_iac.host.watch import Watch, WatchState

_FILES = ["750 root:root /var/log/infisical-access|directory"]
_UNITS = [
    "Id=fail2ban.service",
    "LoadState=loaded",
    "ActiveState=active",
    "UnitFileState=enabled",
    "NeedDaemonReload=no",
]
_BANS = [
    "Fail2Ban v1.1.0 reads log file that contains password failure report",
    "fail2ban> Status",
    "|- Number of jail:\t2",
    "`- Jail list:\tinfisical-login, sshd",
    "fail2ban> [{'infisical-login': ['203.0.113.9', '2001:db8::1']}, {'sshd': []}]",
    "fail2ban> ",
]
_NFT = (
    '{"nftables": [{"metainfo": {"version": "1.1.3"}}, {"set": {"family": "inet", "name": '
    '"addr-set-infisical-login", "elem": ["203.0.113.9"]}}, {"set": {"family": "inet", "name": '
    '"addr6-set-infisical-login", "type": "ipv6_addr"%s}}]}'
)


def _read(*bans: str) -> WatchState:
    return Watch().process([*_FILES, "next:", *bans, "next:", *_UNITS])


def test_files_units_and_jails_are_read() -> None:
    found = _read(*_BANS, _NFT % ', "elem": ["2001:db8::1"]')
    assert found.files == {
        "/var/log/infisical-access": PathState("directory", "750", "root:root"),
    }
    assert found.units["fail2ban.service"].active
    assert found.jails == {"infisical-login", "sshd"}
    assert found.unenforced == frozenset()


def test_bans_that_nftables_lacks_are_reported() -> None:
    assert _read(*_BANS, _NFT % "").unenforced == {"2001:db8::1"}
    assert _read(*_BANS).unenforced == {"203.0.113.9", "2001:db8::1"}


def test_networks_that_are_banned_are_compared_with_those_of_nftables() -> None:
    bans = [each.replace("'2001:db8::1'", "'2001:db8::/64'") for each in _BANS]
    prefix = '{"prefix": {"addr": "2001:db8::", "len": 64}}'
    assert _read(*bans, _NFT % f', "elem": [{prefix}]').unenforced == frozenset()
    assert _read(*bans, _NFT % "").unenforced == {"2001:db8::/64"}


def test_a_host_without_fail2ban_has_no_jails() -> None:
    found = _read("", "")
    assert (found.jails, found.unenforced) == (frozenset(), frozenset())


def test_the_command_is_one_line_and_reads_files_fail2ban_and_units() -> None:
    command = Watch().command(["/a b"], ["c.timer"], {"c.timer": ["/a b"]}, "/live")
    assert "\n" not in command
    assert all(each in command for each in ("'/a b'", "fail2ban-client", "f2b-table", "c.timer"))
