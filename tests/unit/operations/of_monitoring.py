"""Cases of the operation of the monitor."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from infisical_iac.agent.database import ExporterLogin
from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import UnitState
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.files import File
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from infisical_iac.monitoring import deploy, exporters
from infisical_iac.monitoring.deploy import DesiredMonitor, MonitorState
from infisical_iac.monitoring.exporters import ExportersState, ShippingState
from tests.unit.operations.cases import Cases, due, noop, refusal
from tests.unit.settings_of import settings_of

_RUNS = UnitState(loaded=True, active=True, enabled=True)
_OTHER = PathState("regular file", "600", "root:root", "0" * 64)
_CONFIG = File("/etc/infisical/monitoring.json", "{}\n", mode="600")
_TIMER = File("/etc/systemd/system/infisical-monitor.timer", "[Timer]\n")
_DESIRED = DesiredMonitor(_CONFIG.content, [_TIMER])
_WATCHES = MonitorState(
    {each.path: each.state for each in (_CONFIG, _TIMER)},
    {"infisical-monitor.timer": _RUNS},
)


def _without_mail() -> Iterable[Any]:
    alerts = ({"name": "ops", "kind": "email", "to": "ops@example.com"},)
    settings = settings_of(monitoring="on", alerts=alerts)
    known = Known(settings, MachineState(), Site(settings))
    return deploy.decide(MonitorState(), deploy._desired_monitor(known))


_LISTENS = settings_of(
    monitoring="on",
    ingress="none",
    monitoring_listen={"address": "10.0.0.2", "networks": ("10.0.0.0/24",)},
)
_LISTENER = _LISTENS.monitoring.monitoring_listen
_UNITS = exporters.metrics_files(Known(_LISTENS, MachineState(), Site(_LISTENS)))
_PACKAGES = (
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-redis-exporter",
)
_STARTED = [*(f"{each}.service" for each in _PACKAGES), "infisical-metrics-infisical.socket"]
_SERVES = ExportersState(
    {each.path: each.state for each in _UNITS},
    dict.fromkeys(_STARTED, _RUNS),
    frozenset(_PACKAGES),
    ExporterLogin(address=True, database=True, role=True),
)
_CADDY = "/etc/systemd/system/infisical-metrics-caddy.socket"
_STARTS = ("see where the containers are", *("systemctl",) * 8)


def _decide_exporters(**changes: Any) -> Iterable[Any]:
    return exporters.decide_exporters(replace(_SERVES, **changes), _UNITS, _LISTENER, 600)


def _other_node_exporter() -> Iterable[Any]:
    paths = {path: each for path, each in _SERVES.paths.items() if "node" not in path}
    return _decide_exporters(paths=paths)


_SHIPS = exporters.log_files(settings_of(log_target="tls://logs.example.com"))
_SHIPS_TO_FILE = exporters.log_files(settings_of(log_target="/var/log/shipped.log"))
_SHIPPED = ShippingState(
    {each.path: each.state for each in _SHIPS},
    {exporters.LOG_SERVICE: _RUNS},
    frozenset(("rsyslog", "rsyslog-gnutls")),
)


def _decide_shipping(desired: Iterable[File] = _SHIPS, **changes: Any) -> Iterable[Any]:
    return exporters.decide_shipping(replace(_SHIPPED, **changes), [*desired], 600)


# Decisions that the table of cases has no place for.
SHIPPING = {
    "off": due(
        lambda: _decide_shipping(()),
        *(f"- {each.path}: no setting asks for it" for each in _SHIPS),
        steps=("remove what ships logs",),
    ),
    "never on": noop(
        lambda: exporters.decide_shipping(ShippingState(), (), 600), "logs stay on the host"
    ),
    "no file any more": due(
        lambda: _decide_shipping(
            paths={**_SHIPPED.paths, _SHIPS_TO_FILE[2].path: _SHIPS_TO_FILE[2].state}
        ),
        "- /etc/logrotate.d/infisical-logs: no setting asks for it",
        steps=("remove the rotation",),
    ),
    "another target": due(
        lambda: _decide_shipping(paths={**_SHIPPED.paths, exporters.LOG_CONFIG: _OTHER}),
        "~ /etc/infisical-iac/logs.conf: mode 600 → 644",
        "~ infisical-logs.service: restarted, with its configuration",
        steps=("write", "systemctl"),
    ),
    "a host with rsyslog": due(
        lambda: _decide_shipping(packages=frozenset(("rsyslog",))),
        "+ package rsyslog-gnutls",
        steps=("install rsyslog-gnutls",),
    ),
}
EXPORTERS = {
    "a single host that is in a cluster now": due(
        lambda: exporters.decide_exporters(_SERVES, _UNITS[:1], _LISTENER, 600),
        *(f"- {each.path}: its metrics are not served" for each in _UNITS[1:]),
        *(f"- package {each}" for each in _PACKAGES[1:]),
        "- PostgreSQL role infisical_metrics",
        steps=(
            "stop what serves metrics",
            "remove the PostgreSQL role infisical_metrics",
            "remove the exporters",
            "remove what serves metrics",
        ),
    ),
    "a host of a cluster": due(
        lambda: exporters.decide_exporters(
            ExportersState(login=ExporterLogin(address=True)), _UNITS[:1], _LISTENER, 600
        ),
        f"+ {_UNITS[0].path}",
        f"+ package {_PACKAGES[0]}",
        f"~ {_STARTED[0]}: enabled and started",
        steps=(
            "write",
            "let systemd read changed units",
            f"install {_PACKAGES[0]}",
            *("systemctl",) * 2,
        ),
    ),
    "an edge without Caddy": due(
        lambda: _decide_exporters(paths={**_SERVES.paths, _CADDY: _OTHER}),
        f"- {_CADDY}: its metrics are not served",
        steps=("stop what serves metrics", "remove what serves metrics"),
    ),
    "an exporter of others": refusal(_other_node_exporter, Refused, _PACKAGES[0]),
    "another address": refusal(
        lambda: _decide_exporters(login=ExporterLogin(database=True)), SettingsError, "10.0.0.2"
    ),
    "another unit": due(
        lambda: _decide_exporters(paths={**_SERVES.paths, _UNITS[0].path: _OTHER}),
        f"~ {_UNITS[0].path}: mode 600 → 644",
        f"~ {_STARTED[0]}: restarted, with its configuration",
        steps=(
            "write",
            "let systemd read changed units",
            "see where the containers are",
            "systemctl",
        ),
    ),
    "off": due(
        lambda: exporters.decide_exporters(_SERVES, (), None, 600),
        *(f"- {each.path}: no setting asks for metrics" for each in _UNITS),
        *(f"- package {each}" for each in _PACKAGES),
        "- PostgreSQL role infisical_metrics",
        steps=(
            "stop what serves metrics",
            "remove the PostgreSQL role infisical_metrics",
            "remove the exporters",
            "remove what serves metrics",
        ),
    ),
    "never on": noop(
        lambda: exporters.decide_exporters(ExportersState(), (), None, 600), "no metrics are served"
    ),
}

OPERATIONS: dict[str, Cases] = {
    "monitoring.exporters.exporters": Cases(
        noop(_decide_exporters, "metrics are served at 10.0.0.2"),
        due(
            lambda: _decide_exporters(
                units={**_SERVES.units, _STARTED[0]: replace(_RUNS, configured=1.0)},
                login=ExporterLogin(address=True, database=True),
            ),
            "~ PostgreSQL role infisical_metrics: pg_monitor only",
            "~ prometheus-node-exporter.service: restarted, with its configuration",
            steps=(
                "make the PostgreSQL role infisical_metrics",
                "see where the containers are",
                "systemctl",
            ),
        ),
        due(
            lambda: _decide_exporters(
                paths={}, units={}, packages=frozenset(), login=ExporterLogin(address=True)
            ),
            *(f"+ {each.path}" for each in _UNITS),
            *(f"+ package {each}" for each in _PACKAGES),
            "+ PostgreSQL role infisical_metrics: pg_monitor only",
            *(f"~ {each}: enabled and started" for each in _STARTED),
            steps=(
                *("write",) * len(_UNITS),
                "let systemd read changed units",
                f"install {', '.join(_PACKAGES)}",
                "make the PostgreSQL role infisical_metrics",
                *_STARTS,
            ),
        ),
        due(
            lambda: _decide_exporters(login=ExporterLogin(address=True)),
            steps=("make the PostgreSQL role infisical_metrics",),
            unknown="the PostgreSQL role infisical_metrics can be compared once PostgreSQL runs",
        ),
    ),
    "monitoring.exporters.shipping": Cases(
        noop(_decide_shipping, "logs are shipped"),
        due(
            lambda: _decide_shipping(
                paths={**_SHIPPED.paths, exporters.LOG_CONFIG: _OTHER},
                units={exporters.LOG_SERVICE: replace(_RUNS, active=False)},
            ),
            "~ /etc/infisical-iac/logs.conf: mode 600 → 644",
            "~ infisical-logs.service: started",
            steps=("write", "systemctl"),
        ),
        due(
            lambda: exporters.decide_shipping(ShippingState(), _SHIPS_TO_FILE, 600),
            *(f"+ {each.path}" for each in _SHIPS_TO_FILE),
            "+ package rsyslog",
            "+ package rsyslog-gnutls",
            "~ infisical-logs.service: enabled and started",
            steps=(
                *("write",) * 3,
                "let systemd read changed units",
                "install rsyslog, rsyslog-gnutls",
                "stop the package's own rsyslog",
                *("systemctl",) * 2,
            ),
        ),
        "the packages and files are always seen",
    ),
    "monitoring.deploy.timer": Cases(
        noop(lambda: deploy.decide(_WATCHES, _DESIRED), "the host watches itself every minute"),
        due(
            lambda: deploy.decide(
                MonitorState({**_WATCHES.paths, _CONFIG.path: _OTHER}, _WATCHES.units), _DESIRED
            ),
            "~ /etc/infisical/monitoring.json",
            steps=("write",),
        ),
        due(
            lambda: deploy.decide(MonitorState(), _DESIRED),
            "+ /etc/infisical/monitoring.json",
            "+ /etc/systemd/system/infisical-monitor.timer",
            "~ infisical-monitor.timer: enabled and started",
            steps=("write", "write", "let systemd read changed units", "systemctl", "systemctl"),
        ),
        refusal(_without_mail, SettingsError, "smtp"),
    ),
}
