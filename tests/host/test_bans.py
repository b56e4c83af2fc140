"""fail2ban: at work with this project's jails, and what it bans is really kept out."""

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host import bans as rules
from infisical_iac.host.watch import FAIL2BAN, LIVE, Watch, WatchState, bans
from tests.host.connection import Host


@pytest.fixture(scope="session")
def watched(host: Host, settings: Settings) -> WatchState:
    fact, paths = Watch(), [each.path for each in bans(settings)]
    command = fact.command(paths, [FAIL2BAN], {FAIL2BAN: paths}, LIVE)
    return fact.process(host.check_output(command).splitlines())


def test_fail2ban_is_enabled_and_runs_with_the_files_of_the_settings(
    watched: WatchState, settings: Settings
) -> None:
    state = watched.units[FAIL2BAN]
    assert (state.enabled, state.active, state.stale) == (True, True, False)
    wrong = [each for each in bans(settings) if not each.matches(watched.files.get(each.path))]
    assert wrong == []


def test_every_jail_of_the_settings_is_at_work(watched: WatchState, settings: Settings) -> None:
    assert set(rules.jails(settings)) <= watched.jails


def test_who_is_banned_is_kept_out_by_nftables(watched: WatchState) -> None:
    assert watched.unenforced == frozenset()
