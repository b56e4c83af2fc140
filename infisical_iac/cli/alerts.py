"""`infisical-iac alerts` and `silence`: test the host's alerts, and hold them back."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.options import inventory_option, json_option, open_host
from infisical_iac.core.errors import CheckFailed, SettingsError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import join_names

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings


@click.group()
def alerts() -> None:
    """Test the targets of the host's alerts: the settings `alerts` and `heartbeat_url`."""


@alerts.command(short_help="Send a test alert to each target.")
@inventory_option
@json_option
def test(inventory: str, as_json: bool) -> None:
    """Have the host send a test alert to each target now, and call the heartbeat.

    A silence does not hold it back. On a cluster, each host sends one.

    Exit status: 0 when all targets have taken it; 1 for an error.
    """
    with open_host(inventory, quorum=False, check=_require_target) as (host, _):
        from infisical_iac.agent.monitor import send_test
        from infisical_iac.core.agent import perform, question
        from infisical_iac.core.audit_entries import operator_name
        from infisical_iac.core.connection import each_of, with_others

        asked = question(send_test, by=operator_name())
        hosts = with_others(host)
        sent = each_of(hosts, lambda _: perform(asked, doing="send test alerts"))
    found = {each.name: results for each, results in zip(hosts, sent, strict=True)}
    if as_json:
        print_data(found)
    else:
        for name, results in found.items():
            for target, why in results.items():
                on = f" from {name}" if len(found) > 1 else ""
                echo(f"{target}{on}: {why or 'delivered'}")
    failed = [target for results in found.values() for target, why in results.items() if why]
    if failed:
        raise CheckFailed(
            f"no test reached {join_names(dict.fromkeys(failed))}: check the address in the "
            "settings, or replace a given one, as with `infisical-iac keys rotate ALERT_TEAM`",
            code="checks.alert_targets",
        )


def _require_monitor(settings: "Settings") -> None:
    if settings.monitoring.monitoring == "off":
        raise SettingsError(
            "the host sends no alerts: set monitoring to 'on', and apply",
            code="settings.no_monitoring",
        )


def _require_target(settings: "Settings") -> None:
    _require_monitor(settings)
    own = settings.monitoring
    if not (own.alerts or own.heartbeat_url or settings.backup.backup_webhook):
        raise SettingsError(
            "no alert goes anywhere: set alerts or heartbeat_url, as `infisical-iac docs "
            "operate/alerts` describes, and apply",
            code="settings.no_targets",
        )


_UNITS = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_SILENCE = 7 * 86400


def _read_duration(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Return the seconds of a duration such as `30m`, `2h` or `1d`."""
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_SILENCE:
        raise click.BadParameter("write one such as 30m, 2h or 1d, at most 7d")
    return seconds


@click.command()
@click.argument("duration", callback=_read_duration, required=False, default="1h")
@click.option(
    "--why",
    metavar="TEXT",
    help="Reason for the silence, which `status` shows; required to begin one.",
)
@click.option("--end", is_flag=True, help="End the silence now.")
@inventory_option
@json_option
def silence(duration: int, why: str | None, end: bool, inventory: str, as_json: bool) -> None:
    """Have the host send no alerts for DURATION, such as 30m, 2h or 1d; an hour by default.

    It ends by itself. Alerts that last are sent then. `apply` and `restore` need no silence: while
    they are at work, alerts on what they change wait.

    Exit status: 0 when the silence has begun, or ended; 1 for an error.
    """
    if not (end or (why and why.isprintable())):
        raise click.UsageError("Missing option '--why': write the reason in one line.")

    with open_host(inventory, quorum=False, check=_require_monitor) as (host, _):
        from infisical_iac.core.connection import each_of, with_others
        from infisical_iac.monitoring.deploy import begin_silence, end_silence

        until = (
            None if end else datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=duration)
        )
        each_of(
            with_others(host),
            lambda _: begin_silence(until, str(why)) if until else end_silence(),
        )
    if as_json:
        print_data({"until": until.isoformat() if until else None, "why": why})
    elif until:
        echo(f"No alerts until {until:%Y-%m-%dT%H:%M:%SZ}: {why}")
    else:
        echo("Alerts are sent again.")
