"""Provide the values that compose.yaml and stack.yaml are rendered with alike."""

from infisical_iac.core.settings import Settings
from infisical_iac.forms import mebibytes
from infisical_iac.host.machine import MachineState
from infisical_iac.stack.caddyfile import REVISION_PORT


def shared(settings: Settings, machine: MachineState) -> dict[str, object]:
    """The values that the templates of both, and the parts they share, take from the host."""
    return {
        "settings": settings,
        # The heap leaves a third to what Node keeps outside of it.
        "node_options": f"--max-old-space-size={mebibytes(settings.infisical_memory) * 2 // 3}",
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        # The engine learnt it with version 25; Debian 12 has an older one, Ubuntu 24.04 either.
        "start_interval": (machine.os, machine.release) == ("debian", "13"),
        "revision_port": REVISION_PORT,
    }


def redis_maxmemory_mb(settings: Settings) -> int:
    """The mebibytes of Redis's data, which leave a quarter to what it needs besides."""
    return mebibytes(settings.redis_memory) * 3 // 4
