"""stack.yaml as it is rendered, for tests."""

from typing import Any

import yaml

from infisical_iac.cluster.stack_file import SECRETS, StackInputs, render_stack_file
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from tests.unit.settings_of import settings_of

TRIXIE = MachineState(os="debian", release="13")
BOOKWORM = MachineState(os="debian", release="12")
START = ("/docker-entrypoint.sh", "./standalone-entrypoint.sh", "costs $5")


def swarm_settings(**changes: Any) -> Settings:
    """The settings of a cluster."""
    return settings_of(**{"topology": "swarm"} | changes)


def stack_inputs(settings: Settings, **changes: Any) -> StackInputs:
    """Return what else the file depends on: three data nodes that lack nothing."""
    values: dict[str, Any] = {
        "numbers": (1, 2, 3),
        "existing": frozenset(),
        "generation": 0,
        "nodes": 3,
        "ipvs": True,
        "esp": True,
        "secrets": {purpose: f"{purpose}_{'0' * 12}" for purpose in SECRETS},
        "start": {settings.stack.infisical_reference: START},
    }
    return StackInputs(**values | changes)


def render(
    machine: MachineState = TRIXIE, inputs: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """The whole file, read back."""
    settings = swarm_settings(**changes)
    text = render_stack_file(settings, machine, stack_inputs(settings, **inputs or {}))
    rendered: dict[str, Any] = yaml.safe_load(text)
    return rendered
