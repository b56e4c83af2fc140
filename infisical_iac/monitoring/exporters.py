"""Serve metrics at `monitoring_listen`, and ship logs to `log_target`, or remove all that does.

Debian's exporters serve those of the host, PostgreSQL and Redis. Infisical and Caddy have metrics
of their own, on an internal network and on the loopback; systemd forwards a port to each. Neither
PostgreSQL nor Redis publishes a port: the exporters find the containers in a file of their own in
place of /etc/hosts, which the monitor writes each minute. A host of a cluster, which reaches no
container, serves its own metrics and those of the monitor.

An rsyslog of its own ships the journal, the access log and the audit log, next to the host's own
rsyslog if it has one. It reads them from where it had stopped, and keeps what the target does not
take on the disk.
"""

import posixpath
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent import database
from infisical_iac.agent.database import ExporterLogin
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.health import HOSTS
from infisical_iac.agent.system import UnitState
from infisical_iac.core import apt, audit, journal, units
from infisical_iac.core.agent import Question, inspect, perform, question, together
from infisical_iac.core.change import Change, Unknown
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.files import File, find_differing
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import watch
from infisical_iac.host.site import Known
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.monitoring.settings import MetricsListener
from infisical_iac.stack.compose import METRICS_USER
from infisical_iac.stack.ingress_kinds import REVISION_PORT
from infisical_iac.stack.keys import OF_METRICS

_PACKAGES = tuple(
    f"prometheus-{each}" for each in ("node-exporter", "postgres-exporter", "redis-exporter")
)
_POSTGRES, _REDIS = (f"/etc/infisical/keys/{each}" for each in OF_METRICS)
_FORWARDED = ("infisical", "caddy")
_EXPORTERS = tuple(f"{each}.service" for each in _PACKAGES)
_OF_POSTGRES = _EXPORTERS[1]
_SOCKETS = tuple(f"infisical-metrics-{each}.socket" for each in _FORWARDED)
_FORWARDS = tuple(f"infisical-metrics-{each}.service" for each in _FORWARDED)
_UNITS = (*_EXPORTERS, *_SOCKETS, *_FORWARDS)
_PATHS = tuple(f"{units.DIRECTORY}/{each}" for each in _UNITS)
_DOMAIN = "infisical.internal"
# Without these collectors, PostgreSQL's exporter has 500 metrics instead of 22,000: Infisical has
# many tables. An older release does not know them, and ends at an unknown option.
_FEWER = (
    "more=; for each in stat_user_tables statio_user_tables; do "
    '/usr/bin/prometheus-postgres-exporter --help 2>&1 | grep -q "collector.$$each" && '
    'more="$$more --no-collector.$$each"; done;'
)


@dataclass(frozen=True)
class ExportersState:
    """The actual state of the exporters: files by path, units by name, packages, and login."""

    paths: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()
    login: ExporterLogin = field(default_factory=ExporterLogin)


def find_listener(known: Known) -> MetricsListener | None:
    """Return where this host serves metrics, on a cluster at its address there; None if nowhere."""
    listener = known.settings.monitoring.monitoring_listen
    if listener is None or listener.address:
        return listener
    return listener.model_copy(update={"address": known.site.address})


def metrics_files(known: Known) -> list[File]:
    """Return the units that serve the metrics; none without `monitoring_listen`."""
    listener, ports = find_listener(known), known.settings.metrics_ports
    return [*_exporters(listener, ports), *_forwards(listener, ports)] if listener else []


def _exporters(listener: MetricsListener, ports: dict[str, int]) -> Iterator[File]:
    address = {name: listener.place(port) for name, port in ports.items()}
    yield _exporter("node", f"--web.listen-address={address['node']}")
    if "postgres" in ports:
        yield from _exporters_of_containers(address)


def _exporters_of_containers(address: Mapping[str, str]) -> Iterator[File]:
    yield _exporter(
        "postgres",
        f"--web.listen-address={address['postgres']} $$more",
        before=f"IFS= read -r DATA_SOURCE_PASS; export DATA_SOURCE_PASS; {_FEWER}",
        password=_POSTGRES,
        environment=[
            f"DATA_SOURCE_URI=postgres.{_DOMAIN}:5432/infisical?sslmode=disable",
            f"DATA_SOURCE_USER={METRICS_USER}",
        ],
    )
    # The password is bound to this address, because a request to the exporter may name another one.
    server = f"redis.{_DOMAIN}:6379"
    # Variables, because an older release ends at an option that it does not know.
    yield _exporter(
        "redis",
        "",
        environment=[
            f"REDIS_EXPORTER_WEB_LISTEN_ADDRESS={address['redis']}",
            f"REDIS_ADDR=redis://{server}",
            f"REDIS_USER={METRICS_USER}",
            "REDIS_EXPORTER_CONFIG_COMMAND=-",
            "REDIS_EXPORTER_SET_CLIENT_NAME=false",
            "REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS=true",
        ],
        # \\042 is a quote, which neither systemd nor the shell takes for one of its own.
        before=(
            r'IFS= read -r password; printf "{\\042%%s\\042: \\042%%s\\042}" '
            f"redis://{METRICS_USER}@{server} "
            '"$$password" >"$$RUNTIME_DIRECTORY/passwords"; '
            'export REDIS_PASSWORD_FILE="$$RUNTIME_DIRECTORY/passwords";'
        ),
        password=_REDIS,
    )


def _exporter(
    name: str,
    arguments: str,
    *,
    before: str = "",
    password: str = "",
    environment: Sequence[str] = (),
) -> File:
    """Return the unit of an exporter; its password is on its standard input, and no argument."""
    program = f"/usr/bin/prometheus-{name}-exporter {arguments}".strip()
    return File(
        f"{units.DIRECTORY}/prometheus-{name}-exporter.service",
        template(
            "infisical-exporter.service",
            of=name,
            command=f"/bin/sh -c '{before} exec {program}'" if before else program,
            password=password,
            environment=environment,
            hosts=HOSTS if password else "",
            directory=posixpath.dirname(HOSTS),
        ),
    )


def _forwards(listener: MetricsListener, ports: dict[str, int]) -> Iterator[File]:
    targets = {
        "infisical": f"infisical.{_DOMAIN}:{ports.get('infisical')}",
        "caddy": f"127.0.0.1:{REVISION_PORT}",
    }
    for name in _FORWARDED:
        if name not in ports:
            continue
        values = {
            "of": name,
            "listen": listener.place(ports[name]),
            "target": targets[name],
            "hosts": HOSTS,
            "directory": posixpath.dirname(HOSTS),
        }
        for kind in ("socket", "service"):
            yield File(
                f"{units.DIRECTORY}/infisical-metrics-{name}.{kind}",
                template(f"infisical-metrics.{kind}", **values),
            )


def exporters_question(known: Known) -> Question[ExportersState]:
    """Return the question for the ExportersState."""
    paths = question(states, paths=[*_PATHS])
    listener = find_listener(known)
    if listener is None:
        # A host without the exporters needs no other question.
        return together(ExportersState, paths)
    # A unit starts again with another file, or with another password.
    config = {each: [f"{units.DIRECTORY}/{each}"] for each in _UNITS}
    config[_EXPORTERS[1]].append(_POSTGRES)
    config[_EXPORTERS[2]].append(_REDIS)
    role = METRICS_USER if "postgres" in known.settings.metrics_ports else ""
    return together(
        ExportersState,
        paths,
        units.question_for([*_EXPORTERS, *_SOCKETS], config),
        apt.question_for(_PACKAGES),
        question(database.exporter_login, address=listener.address, role=role),
    )


@planned_operation
def exporters(known: Known) -> Commands:
    """Install and start the exporters with their logins, or remove all of it.

    Raises SettingsError for an address that the host lacks, and Refused for exporters of others.

    Example:
        exporters(known=known, name="Serve metrics")
    """
    found, timeout = inspect(exporters_question(known)), known.settings.host.apt_timeout
    yield from decide_exporters(found, metrics_files(known), find_listener(known), timeout)


def decide_exporters(
    there: ExportersState,
    desired: Sequence[File],
    listener: MetricsListener | None,
    timeout: int,
) -> Commands:
    """Decide how to serve the metrics, by the actual state `there`; raises as `exporters` does."""
    if listener is None:
        removed = _remove(there.paths, _UNITS, timeout, "no setting asks for metrics")
        yield from or_up_to_date(removed, "no metrics are served")
        return
    _refuse(there, listener)
    names = [posixpath.basename(each.path) for each in desired]
    # Of a Caddy that no longer serves metrics, or of a single host that is in a cluster now.
    surplus = [each for each in _UNITS if each not in names]
    decided: list[Any] = [*_remove(there.paths, surplus, timeout, "its metrics are not served")]
    decided += units.install(desired, there.paths, there.units)
    missing = [each for each in _list_packages(names) if each not in there.packages]
    decided += [Change("+", f"package {name}") for name in missing]
    if missing:
        # The packages start the units of above, which replace their own.
        decided.append(apt.install(missing, timeout=timeout))
    decided += _role(there) if _OF_POSTGRES in names else ()
    started = [each for each in names if each not in _FORWARDS]
    changed = [posixpath.basename(each.path) for each in find_differing(desired, there.paths)]
    starts = [*units.bring_up(started, {} if missing else there.units, changing=changed)]
    if starts and _OF_POSTGRES in names:
        # The monitor writes where the containers are.
        doing = "see where the containers are"
        decided.append(step(run, "systemctl start infisical-monitor.service", doing=doing))
    decided += starts
    yield from or_up_to_date(decided, f"metrics are served at {listener.address}")


def _refuse(there: ExportersState, listener: MetricsListener) -> None:
    if not there.login.address:
        raise SettingsError(
            f"setting 'monitoring_listen': the host does not have the address {listener.address}: "
            "write one that `ip address` on the host lists",
            code="settings.no_such_address",
        )
    for name, unit in zip(_PACKAGES, _EXPORTERS, strict=True):
        if name in there.packages and f"{units.DIRECTORY}/{unit}" not in there.paths:
            raise Refused(
                f"the host has {name} already, which others set up: remove that package, or remove "
                "monitoring_listen and let your Prometheus ask it",
                code="refused.exporter_of_others",
            )


def _role(there: ExportersState) -> Commands:
    if there.login.role:
        return
    what = f"PostgreSQL role {METRICS_USER}"
    is_first = _PATHS[0] not in there.paths
    if there.login.database or is_first:
        yield Change("+" if is_first else "~", what, "pg_monitor only")
    else:
        yield Unknown(f"the {what} can be compared once PostgreSQL runs")
    asked = question(database.make_exporter_role, role=METRICS_USER)
    yield step(perform, asked, doing=f"make the {what}")


def _list_packages(names: Iterable[str]) -> list[str]:
    """Return the packages of the exporters whose units are given."""
    return [each for each in _PACKAGES if f"{each}.service" in names]


def _remove(
    there: Mapping[str, PathState], names: Sequence[str], timeout: int, why: str
) -> Commands:
    """Remove these units as far as they exist, with their packages and PostgreSQL's role."""
    left = [each for each in names if f"{units.DIRECTORY}/{each}" in there]
    if not left:
        return
    paths, packages = [f"{units.DIRECTORY}/{each}" for each in left], _list_packages(left)
    for path in paths:
        yield Change("-", path, why)
    for name in packages:
        yield Change("-", f"package {name}")
    # A socket first, which would start its service again.
    ordered = sorted(left, key=lambda each: not each.endswith(".socket"))
    yield step(
        run,
        f"systemctl disable --quiet --now {shlex.join(ordered)} 2>/dev/null; true",
        doing="stop what serves metrics",
    )
    has_role = _OF_POSTGRES in left
    if has_role:
        yield Change("-", f"PostgreSQL role {METRICS_USER}")
        asked = question(database.drop_exporter_role, role=METRICS_USER)
        yield step(perform, asked, doing=f"remove the PostgreSQL role {METRICS_USER}")
    if packages:
        yield step(
            run,
            "DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes "
            f"--option=DPkg::Lock::Timeout={timeout} purge {shlex.join(packages)}",
            doing="remove the exporters",
        )
    # Last, so that the next run continues here after an interruption.
    hosts = [HOSTS] if has_role else []
    yield step(
        run,
        f"rm -f -- {shlex.join([*hosts, *paths])} && systemctl daemon-reload",
        doing="remove what serves metrics",
    )


LOG_SERVICE = "infisical-logs.service"
LOG_CONFIG = "/etc/infisical-iac/logs.conf"
LOG_STATE = "/var/lib/infisical-logs"
_LOG_UNIT = f"{units.DIRECTORY}/{LOG_SERVICE}"
_LOG_ROTATION = "/etc/logrotate.d/infisical-logs"
# The service is removed last, so that the next run continues here after an interruption.
_LOG_PATHS = (LOG_CONFIG, _LOG_ROTATION, _LOG_UNIT)
_LOG_PACKAGES = ("rsyslog", "rsyslog-gnutls")
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLE = "/run/infisical-logs/authorities.crt"
# Of what waits for a target that does not answer.
_QUEUE_MB = 256


@dataclass(frozen=True)
class ShippingState:
    """The actual state of the shipping: its files by path, units by name, and packages."""

    paths: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()


def log_files(settings: Settings) -> list[File]:
    """Return the files that ship logs; none without `log_target`."""
    target = settings.monitoring.shipping
    if target is None:
        return []
    extra = (EXTRA_CA,) if settings.instance.extra_ca else ()
    values = {"target": target, "config": LOG_CONFIG, "bundle": _BUNDLE, "state": LOG_STATE}
    config = template(
        "infisical-logs.conf",
        **values,
        access=watch.LOG,
        audit=audit.FILE,
        queue_mb=_QUEUE_MB,
    )
    unit = template(
        "infisical-logs.service", **values, authorities=shlex.join((_AUTHORITIES, *extra))
    )
    found = [File(LOG_CONFIG, config), File(_LOG_UNIT, unit)]
    if target.path:
        found.append(File(_LOG_ROTATION, template("infisical-logs.logrotate", path=target.path)))
    return found


def shipping_question(settings: Settings) -> Question[ShippingState]:
    """Return the question for the ShippingState."""
    paths = question(states, paths=[*_LOG_PATHS])
    if settings.monitoring.shipping is None:
        # A host that ships no logs needs no other question.
        return together(ShippingState, paths)
    config = {LOG_SERVICE: [LOG_CONFIG, _LOG_UNIT, EXTRA_CA]}
    return together(
        ShippingState,
        paths,
        units.question_for([LOG_SERVICE], config),
        apt.question_for(_LOG_PACKAGES),
    )


@planned_operation
def shipping(known: Known) -> Commands:
    """Install and start what ships the logs, or remove it.

    Example:
        shipping(known=known, name="Ship logs")
    """
    found = inspect(shipping_question(known.settings))
    yield from decide_shipping(
        found,
        log_files(known.settings),
        known.settings.host.apt_timeout,
        has_new_authority=journal.will_change(EXTRA_CA),
    )


def decide_shipping(
    there: ShippingState,
    desired: Sequence[File],
    timeout: int,
    *,
    has_new_authority: bool = False,
) -> Commands:
    """Decide how to ship the logs, by the actual state `there`."""
    kept = {each.path for each in desired}
    surplus = [path for path in _LOG_PATHS if path in there.paths and path not in kept]
    decided: list[Any] = [Change("-", path, "no setting asks for it") for path in surplus]
    if not desired:
        if surplus:
            decided.append(step(run, _log_removal(timeout), doing="remove what ships logs"))
        yield from or_up_to_date(decided, "logs stay on the host")
        return
    if surplus:
        decided.append(step(run, f"rm -f {shlex.join(surplus)}", doing="remove the rotation"))
    decided += units.install(desired, there.paths, there.units)
    missing = [name for name in _LOG_PACKAGES if name not in there.packages]
    decided += [Change("+", f"package {name}") for name in missing]
    if missing:
        decided.append(apt.install(missing, timeout=timeout))
    if _LOG_PACKAGES[0] in missing:
        # The journal has these lines already.
        stop = "systemctl disable --quiet --now rsyslog.service syslog.socket 2>/dev/null; true"
        decided.append(step(run, stop, doing="stop the package's own rsyslog"))
    is_changing = has_new_authority or find_differing(desired, there.paths)
    changing = [LOG_SERVICE] if is_changing else []
    decided += units.bring_up([LOG_SERVICE], there.units, changing=changing)
    yield from or_up_to_date(decided, "logs are shipped")


def _log_removal(timeout: int) -> str:
    purge = f"apt-get --quiet=2 --yes --option=DPkg::Lock::Timeout={timeout} purge"
    return (
        f"systemctl disable --quiet --now {LOG_SERVICE} 2>/dev/null; "
        "systemctl --quiet is-enabled rsyslog.service 2>/dev/null || "
        f"DEBIAN_FRONTEND=noninteractive {purge} {shlex.join(_LOG_PACKAGES)} && "
        f"rm -rf -- {LOG_STATE} {shlex.join(_LOG_PATHS)} && systemctl daemon-reload"
    )
