"""Set up or remove the monitor on the host: its configuration, and the timer that runs it."""

import json
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pyinfra.api.deploy import deploy

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.health import (
    COLLECTED,
    CONFIG,
    DIRECTORY,
    DRIFT,
    MEMORIES,
    RELEASES,
    SILENCE,
)
from infisical_iac.agent.system import UnitState
from infisical_iac.core import lock, units
from infisical_iac.core.agent import Question, inspect, question, together
from infisical_iac.core.audit_entries import operator_name
from infisical_iac.core.change import Change
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.settings import Settings
from infisical_iac.host import hardening, watch
from infisical_iac.host.site import Known
from infisical_iac.instance.proof import mail_password
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.monitoring import exporters
from infisical_iac.monitoring.settings import GIVEN, HEARTBEAT_VARIABLE
from infisical_iac.stack.ingress import CERTIFICATE
from infisical_iac.stack.ingress_kinds import INTERNAL

_TIMER, _SERVICE = "infisical-monitor.timer", "infisical-monitor.service"
_UNITS = tuple(f"{units.DIRECTORY}/{each}" for each in (_TIMER, _SERVICE))
# The name of the target with the address in the setting `backup_webhook`.
_ALIAS = "backup-webhook"


@dataclass(frozen=True)
class MonitorState:
    """The actual state of the monitor: its files by path, and its units by name."""

    paths: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)


@dataclass(frozen=True)
class DesiredMonitor:
    """The desired state of the monitor.

    Attributes:
        config: the text of its configuration, which may hold tokens; empty if it is off.
        files: its units; none if it is off.
    """

    config: str = field(default="", repr=False)
    files: Sequence[File] = ()


@planned_operation
def timer(known: Known) -> Commands:
    """Write the configuration of the monitor and start its timer, or remove both.

    Raises SettingsError for a target of mails without a mail server.

    Example:
        timer(known=known, name="Watch the host, and send alerts")
    """
    yield from decide(inspect(_question(known)), _desired_monitor(known))


def _question(known: Known) -> Question[MonitorState]:
    paths = question(states, paths=[CONFIG, *_UNITS, DIRECTORY, COLLECTED])
    if known.settings.monitoring.monitoring == "off":
        # A host without the monitor needs no other question.
        return together(MonitorState, paths)
    return together(MonitorState, paths, units.question_for([_TIMER, _SERVICE]))


def decide(there: MonitorState, desired: DesiredMonitor) -> Commands:
    """Return the steps from the actual state, `there`, to the desired one."""
    if not desired.config:
        yield from or_up_to_date(_remove(there), "the monitor is off")
        return
    # A difference is never shown, because the text may hold tokens.
    config = File(CONFIG, desired.config, mode="600")
    decided: list[Any] = []
    if not config.matches(there.paths.get(CONFIG)):
        decided += [
            Change("~" if CONFIG in there.paths else "+", CONFIG),
            step(write, CONFIG, desired.config),
        ]
    decided += units.install(desired.files, there.paths, there.units)
    decided += units.bring_up([_TIMER], there.units)
    yield from or_up_to_date(decided, "the host watches itself every minute")


def _remove(there: MonitorState) -> Commands:
    found = [path for path in (*_UNITS, CONFIG, DIRECTORY, COLLECTED) if path in there.paths]
    for path in found:
        yield Change("-", path, "the monitor is off")
    if found:
        yield step(_clear, found)


def _clear(paths: Sequence[str]) -> None:
    if any(path in _UNITS for path in paths):
        run(
            f"systemctl disable --quiet --now {_TIMER} 2>/dev/null; "
            f"systemctl stop {_SERVICE} 2>/dev/null; true",
            doing="stop the monitor",
        )
    # Removes the units last, so that the next run continues here after an interruption.
    last = [*sorted(paths, key=lambda path: path in _UNITS)]
    run(
        f"rm -rf -- {posixpath.dirname(MEMORIES[1])} {shlex.join(last)} && systemctl daemon-reload",
        doing="remove the monitor",
    )


def _desired_monitor(known: Known) -> DesiredMonitor:
    if known.settings.monitoring.monitoring == "off":
        return DesiredMonitor()
    return DesiredMonitor(
        json.dumps(_configuration(known), indent=2) + "\n",
        [units.unit_file(name) for name in (_TIMER, _SERVICE)],
    )


def _configuration(known: Known) -> dict[str, Any]:
    """Return the JSON of the agent's `Config`. Raises SettingsError for mails without a server."""
    settings, own = known.settings, known.settings.monitoring
    files = {each.variable: f"/etc/infisical/keys/{each.key}" for each in settings.secrets}
    targets = [
        {"name": each.name, "kind": each.kind}
        | ({"to_file": files[each.variable]} if each.variable else {"to": each.to})
        for each in own.alerts
    ]
    is_given = own.heartbeat_url == GIVEN
    if webhook := settings.backup.backup_webhook:
        alias = {"name": _ALIAS, "kind": "json", "to": webhook, "only_jobs": True}
        targets.append(alias)  # type: ignore[arg-type]
    return {
        "expected": _expectations(known),
        "repeat": own.alert_repeat_hours * 3600,
        "ignored": [*own.alerts_ignored],
        "targets": targets,
        "heartbeat": "" if is_given else own.heartbeat_url,
        "heartbeat_file": files[HEARTBEAT_VARIABLE] if is_given else "",
        "authorities": EXTRA_CA if settings.instance.extra_ca else "",
        "mail": _mail(settings),
        "lock": lock.FILE,
        "has_exporters": "postgres" in settings.metrics_ports,
        "canary": _canary(known),
        "api": f"http://127.0.0.1:{settings.stack.http_port}",
    }


# The certificate of Caddy's own authority, and the user's own certificate.
_AUTHORITIES = (
    "/var/lib/docker/volumes/infisical_caddy/_data/caddy/pki/authorities/local/root.crt",
    CERTIFICATE,
)


def _canary(known: Known) -> dict[str, Any] | None:
    """Return the JSON of the agent's `CanaryTarget`; None if it can't pass the edge.

    A Caddy that is public is reached over the loopback, which its networks admit for the canary;
    everything else by the DNS. A proxy in front of Caddy admits only the networks of the settings.
    """
    settings = known.settings
    stack = settings.stack
    is_restricted = stack.ui_networks or stack.machine_networks
    if stack.ingress_kind.behind_proxy and is_restricted:
        return None
    is_local = stack.ingress_kind.is_public and settings.cluster.topology == "single"
    if is_restricted and not is_local:
        return None
    extra = (EXTRA_CA,) if settings.instance.extra_ca else ()
    return {
        "url": stack.site_url,
        "address": "127.0.0.1" if is_local else "",
        "authorities": [*extra, *(_AUTHORITIES if stack.ingress_kind.is_public else ())],
    }


def _expectations(known: Known) -> dict[str, Any]:
    """Return the JSON of the agent's `Expectations`."""
    settings = known.settings
    stack, backup = settings.stack, settings.backup
    url = urlsplit(stack.site_url)
    is_internal = stack.acme_ca == INTERNAL and not stack.tls_key and stack.runs_caddy
    # A cluster's host without data makes no backups; Swarm manages the containers of a cluster.
    saves = known.site.number != 0
    is_single = settings.cluster.topology == "single"
    timers = [watch.TIMER, *(("infisical-backup.timer", "infisical-drill.timer") if saves else ())]
    if settings.host.maintenance_window:
        timers.append(hardening.TIMER)
    # Only one node saves in a target that all nodes share.
    own = [e.name for e in backup.backup_targets if is_single or e.kind.on_host]
    shared = [e.name for e in backup.backup_targets if e.name not in own]
    repositories = [
        dict(zip(("target", "kind", "place"), (e.name, *e.kind.find_place(e)), strict=True))
        for e in backup.backup_targets
    ]
    return {
        "services": sorted(settings.services) if is_single else [],
        "served_name": (url.hostname or "") if url.scheme == "https" else "",
        "port": url.port or 443,
        "serves": stack.runs_caddy,
        "is_short_lived": is_internal,
        "backup_targets": own if saves else [],
        "shared_targets": shared if saves else [],
        "repositories": repositories if saves else [],
        "timers": timers,
        "in_cluster": not is_single,
    }


def _mail(settings: Settings) -> dict[str, Any] | None:
    """Return the JSON of the agent's `MailServer`; None if no target needs it."""
    named = [each.name for each in settings.monitoring.alerts if each.kind == "email"]
    smtp = settings.instance.smtp
    if not named:
        return None
    if smtp is None:
        raise SettingsError(
            f"setting 'alerts': target {named[0]!r} needs a mail server: set smtp",
            code="settings.no_mail_for_alerts",
        )
    keys = [f"/etc/infisical/keys/{each.key}" for each in mail_password(settings)]
    return {
        "host": smtp.host,
        "port": smtp.port,
        "tls": smtp.tls,
        "user": smtp.user,
        "from_address": smtp.from_address,
        "from_name": smtp.from_name,
        "password_file": keys[0] if keys else "",
    }


def questions(known: Known) -> Iterator[Question[Any]]:
    """Yield the step's questions to the agent."""
    yield _question(known)
    yield exporters.exporters_question(known)
    yield exporters.shipping_question(known.settings)


@deploy("Monitoring")
def monitoring(known: Known) -> None:
    """Set up the monitor, what serves metrics and what ships logs, or remove what is off."""
    if known.settings.monitoring.monitoring_listen is None:
        exporters.exporters(known=known, name="Serve metrics nowhere")
    timer(known=known, name="Watch the host, and send alerts")
    if known.settings.monitoring.monitoring_listen is not None:
        exporters.exporters(known=known, name="Serve metrics to a Prometheus elsewhere")
    exporters.shipping(known=known, name="Ship logs")


def keep_drift(result: Mapping[str, Any]) -> None:
    """Keep the result of a drift check on the current host, whose monitor reports it.

    Raises CommandFailed.
    """
    write(DRIFT, json.dumps(result))


def keep_releases(record: Mapping[str, Any]) -> None:
    """Keep newer releases on the current host, whose monitor reports those with a security note.

    Raises CommandFailed.
    """
    write(RELEASES, json.dumps(record))


def begin_silence(until: datetime, why: str) -> None:
    """Keep the current host from sending alerts until a time. Raises CommandFailed."""
    text = json.dumps({"until": until.timestamp(), "why": why, "by": operator_name()})
    write(SILENCE, text)


def end_silence() -> None:
    """Let the current host send alerts again. Raises CommandFailed."""
    run(f"rm -f {SILENCE}", doing="end the silence")
