"""Test that fail2ban runs with this project's jails, and that nftables enforces its bans."""

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host.watch import WatchState, bans, watch_question
from tests.host.connection import Connection

_FAIL2BAN = "fail2ban.service"


@pytest.fixture(scope="session", autouse=True)
def _is_on(settings: Settings) -> None:
    if settings.host.fail2ban == "off":
        pytest.skip("setting 'fail2ban' is off")


@pytest.fixture(scope="session")
def watch_state(connection: Connection, settings: Settings) -> WatchState:
    paths, live = [each.path for each in bans(settings)], "/var/log/infisical-access/live"
    config = {_FAIL2BAN: paths}
    return connection.inspect(
        watch_question(paths=paths, names=[_FAIL2BAN], config=config, live=live)
    )


def test_fail2ban_is_enabled_and_runs_with_the_files_of_the_settings(
    watch_state: WatchState, settings: Settings
) -> None:
    state = watch_state.units[_FAIL2BAN]
    assert (state.enabled, state.active, state.stale) == (True, True, False)
    desired = [*bans(settings)]
    assert "/etc/fail2ban/jail.d/infisical-iac.conf" in [each.path for each in desired]
    assert [each for each in desired if not each.matches(watch_state.files.get(each.path))] == []


@pytest.mark.parametrize("jail", ["sshd", "infisical-login", "infisical-calls"])
def test_a_jail_is_active(watch_state: WatchState, settings: Settings, jail: str) -> None:
    if not settings.stack.ingress_kind.is_public and jail != "sshd":
        pytest.skip(
            f"with ingress = {settings.stack.ingress} no access log is written to count from"
        )
    assert jail in watch_state.jails


def test_nftables_blocks_banned_addresses(watch_state: WatchState) -> None:
    assert watch_state.unenforced == frozenset()
