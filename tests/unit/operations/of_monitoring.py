"""Cases of the operation of the monitor."""

from collections.abc import Iterable
from typing import Any

from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import UnitState
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.files import File
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from infisical_iac.monitoring import deploy
from infisical_iac.monitoring.deploy import DesiredMonitor, MonitorState
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
    return deploy.decide(MonitorState(), deploy._desired(known))


OPERATIONS: dict[str, Cases] = {
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
