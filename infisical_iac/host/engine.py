"""Detect a Docker engine that somebody else manages, and what it must have. Pure.

Dokploy's is in a Swarm, from Docker's own packages. It could not be set up as ours is: Docker takes
part in no Swarm with `live-restore`, by which containers outlive a restart of the engine, and does
not start in one; and Debian's packages would take the place of Docker's.
"""

from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import MachineState

# The first one that knows all that compose.yaml may say: `start_interval` of a health check.
_OLDEST = 25


class EngineRefused(UserError):
    """The engine lacks what Infisical needs, and is not this project's to change.

    The part of a deploy that can't go on for it is the engine's.
    """

    part = "Docker"


def not_ours(settings: Settings, machine: MachineState) -> str:
    """Return why the engine is left as it is, as half a sentence; empty if it is this project's."""
    # What a cluster's host is in has been looked at before: no Swarm of somebody else's.
    if machine.swarm and settings.topology == "single":
        return "Docker on the host is in a Swarm, and so left as it is"
    if settings.ingress == "traefik":
        return "Docker on the host is Dokploy's (setting 'ingress'), and so left as it is"
    return ""


def refuse(settings: Settings, machine: MachineState) -> None:
    """Raise EngineRefused if the engine is not ours and Infisical can't run on it as it is."""
    left = not_ours(settings, machine)
    if not left:
        return
    if settings.data_volume:
        raise EngineRefused(
            f"setting 'data_volume': {left}, with its volumes where they are: leave the setting "
            "empty, or use a host of Infisical's own"
        )
    if not machine.engine:
        raise EngineRefused(
            f"{left}, but it does not answer: see `systemctl status docker` on the host, and start "
            "it there"
        )
    major = machine.engine.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        raise EngineRefused(
            f"{left}, but it is version {machine.engine}: upgrade it to {_OLDEST} or newer, as "
            "whoever manages it does"
        )
    if not machine.compose:
        raise EngineRefused(
            f"{left}, but `docker compose` is missing: install the plugin from where the engine "
            "came from, docker-compose-plugin from Docker's own repository"
        )
