"""A Docker engine that somebody else manages: told apart, and refused where it lacks something.

Dokploy's is in a Swarm, from Docker's own packages. It could not be set up as ours is: Docker takes
part in no Swarm with `live-restore`, by which containers outlive a restart of the engine, and does
not start in one; and Debian's packages would take the place of Docker's.
"""

from infisical_iac.core.errors import Refused
from infisical_iac.core.facts import Fact
from infisical_iac.core.item import UpToDate
from infisical_iac.core.operation import Commands, telling_operation
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState

# The first one that knows all that compose.yaml may say: `start_interval` of a health check.
_OLDEST = 25


def not_ours(settings: Settings, machine: MachineState) -> str:
    """Return why the engine is left as it is, as half a sentence; empty if it is this project's."""
    # What a cluster's host is in has been looked at before: no Swarm of somebody else's.
    if machine.swarm and settings.cluster.topology == "single":
        return "Docker on the host is in a Swarm, and so left as it is"
    if owner := settings.stack.ingress_kind.engine_owner:
        return f"Docker on the host is {owner} (setting 'ingress'), and so left as it is"
    return ""


def refuse(settings: Settings, machine: MachineState) -> None:
    """Raise Refused if the engine is not ours and Infisical can't run on it as it is."""
    left, major = not_ours(settings, machine), machine.engine.partition(".")[0]
    if not left:
        return
    if settings.host.data_volume:
        code = "refused.data_volume"
        reason = (
            f"setting 'data_volume': {left}, with its volumes where they are: leave the setting "
            "empty, or use a host of Infisical's own"
        )
    elif not machine.engine:
        code = "refused.engine_down"
        reason = (
            f"{left}, but it does not answer: see `systemctl status docker` on the host, and start "
            "it there"
        )
    elif major.isdigit() and int(major) < _OLDEST:
        code = "refused.engine_old"
        reason = (
            f"{left}, but it is version {machine.engine}: upgrade it to {_OLDEST} or newer, as "
            "whoever manages it does"
        )
    elif not machine.compose:
        code = "refused.no_compose"
        reason = (
            f"{left}, but `docker compose` is missing: install the plugin from where the engine "
            "came from, docker-compose-plugin from Docker's own repository"
        )
    else:
        return
    raise Refused(reason, code=code, part="Docker")


class Engine(Fact[tuple[str, bool]]):
    """The version of Docker, empty if none answers, and whether it has `docker compose`."""

    def command(self) -> str:
        return (
            "echo $(docker version --format '{{ .Server.Version }}' 2>/dev/null); "
            "docker compose version >/dev/null 2>&1 && echo compose; true"
        )

    def process(self, output: list[str]) -> tuple[str, bool]:
        return "".join(output[:1]), "compose" in output[1:]

    @staticmethod
    def default() -> tuple[str, bool]:
        return "", False


@telling_operation
def left(why: str) -> Commands:
    """Change nothing; the preflight has looked whether the engine is one that Infisical runs on."""
    yield UpToDate(why)
