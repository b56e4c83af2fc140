"""Render stack.yaml for tests, and read what is deployed by a Compose file."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from infisical_iac.cluster.model import Cluster, Node
from infisical_iac.cluster.stack_file import SECRETS, StackInputs, render_stack_file
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import parse_deployed
from infisical_iac.host.model import DeployedInfisical, MachineState
from infisical_iac.stack.model import parse_compose
from tests.unit.settings_of import settings_of

TRIXIE = MachineState(os="debian", release="13")
BOOKWORM = MachineState(os="debian", release="12")
START = ("/docker-entrypoint.sh", "./standalone-entrypoint.sh", "costs $5")


def swarm_settings(**changes: Any) -> Settings:
    """Return the settings of a cluster, with changes."""
    return settings_of(**{"topology": "swarm"} | changes)


def stack_inputs(
    settings: Settings,
    *,
    nodes: int = 3,
    existing: frozenset[int] = frozenset(),
    tls: Level = Level.REQUIRED,
    **changes: Any,
) -> StackInputs:
    """Return the further inputs of the file, besides the settings: data nodes that lack nothing.

    Args:
        existing: the numbers of the nodes whose etcd joins an existing cluster.
        changes: fields of the `Cluster`.
    """
    found = [
        Node(f"node-{n}", f"10.0.0.{n}", n, True, "existing" if n in existing else "new")
        for n in range(1, nodes + 1)
    ]
    cluster = Cluster(tuple(found), found[0], found[0], ipvs=True, esp=True, has_databases=True)
    secrets = {purpose: f"{purpose}_{'0' * 12}" for purpose in SECRETS}
    start = {settings.stack.infisical_reference: START}
    return StackInputs(replace(cluster, **changes), secrets, start, tls)


def render(
    machine: MachineState = TRIXIE, inputs: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return the whole file as parsed YAML."""
    settings = swarm_settings(**changes)
    text = render_stack_file(settings, machine, stack_inputs(settings, **inputs or {}))
    return parse_compose(text)


def read_deployed(text: str, *given: str) -> DeployedInfisical:
    """Return the Infisical of a host with such a Compose file, and such keys that the user gave."""
    return parse_deployed(text, frozenset(given))


def postgres_script(directory: Path) -> str:
    """Return the start script of the first data node's PostgreSQL, with its paths in a directory.

    Makes these paths, with empty secrets.
    """
    for path in ("home/postgres", "run/secrets", "tmp"):
        (directory / path).mkdir(parents=True, exist_ok=True)
    for secret in ("env", "tls.pem"):
        (directory / "run/secrets" / secret).touch()
    script: str = render()["services"]["postgres-1"]["entrypoint"][2].replace("$$", "$")
    return re.sub(r"(?<=[ >])(?=/(home/postgres|run/secrets|tmp)[/ ])", str(directory), script)
