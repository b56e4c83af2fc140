"""Detect and validate a Docker engine managed by someone else.

Dokploy's engine is in a Swarm and comes from Docker's own packages. It can't be configured as ours:
an engine with `live-restore`, which keeps containers running while it restarts, can't be in a
Swarm, and Debian's packages would replace Docker's.
"""

from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.facts import Fact
from infisical_iac.core.operation import Commands, planned_operation
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState

# The first version with `start_interval` of a health check, which compose.yaml may use.
_OLDEST = 25


def not_ours(settings: Settings, machine: MachineState) -> str:
    """Return why the engine stays as it is, as a clause; empty if it is this project's."""
    # On a cluster, a check before has made sure that the Swarm is this project's.
    if machine.swarm and settings.cluster.topology == "single":
        return "Docker on the host is in a Swarm, and so left as it is"
    if owner := settings.stack.ingress_kind.engine_owner:
        return f"Docker on the host is {owner} (setting 'ingress'), and so left as it is"
    return ""


def refuse(settings: Settings, machine: MachineState) -> None:
    """Raise Refused if Infisical can't run on an engine that somebody else manages."""
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
            f"{left}, but it is version {machine.engine}: have the manager of that engine upgrade "
            f"it to {_OLDEST} or newer"
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
    """Read Docker's version, empty if none answers, and whether it has `docker compose`."""

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


@planned_operation
def left(why: str) -> Commands:
    """Change nothing: the preflight has already validated the engine."""
    yield UpToDate(why)
