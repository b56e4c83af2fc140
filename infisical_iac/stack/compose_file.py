"""compose.yaml, and the values that it shares with what describes the stack of several hosts."""

from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.core.validation import mebibytes
from infisical_iac.host.model import MachineState
from infisical_iac.stack import caddyfile, ingress_kinds
from infisical_iac.stack.ingress_kinds import REVISION_PORT


def shared_values(settings: Settings, machine: MachineState) -> dict[str, object]:
    """The values that the templates of both, and the parts they share, take from the host."""
    memory = mebibytes(settings.stack.infisical_memory)
    return {
        "settings": settings,
        # The heap leaves a third to what Node keeps outside of it.
        "node_options": f"--max-old-space-size={memory * 2 // 3}",
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        "start_interval": machine.system is not None and machine.system.start_interval,
        "revision_port": REVISION_PORT,
    }


def redis_maxmemory_mb(settings: Settings) -> int:
    """The mebibytes of Redis's data, which leave a quarter to what it needs besides."""
    return mebibytes(settings.stack.redis_memory) * 3 // 4


def compose_file(settings: Settings, machine: MachineState, *, drill: bool = False) -> str:
    """The text of compose.yaml, or, for a `drill`, of what runs beside it without any way out.

    A drill says with the variable INFISICAL_IMAGE which image it takes.
    """
    values, stack = shared_values(settings, machine), settings.stack
    kind = stack.ingress_kind
    return template(
        "compose.yaml",
        **values,
        drill=drill,
        image="${INFISICAL_IMAGE:?}" if drill else stack.infisical_reference,
        cpus=stack.infisical_cpus / (2 if drill else 1),
        # From 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if stack.postgres_major < 18 else ''}",
        # scripts/stack/stack.sh waits for longer than an interval and a check, where it says `seq`:
        # tests/unit/stack/test_health_intervals.py.
        interval="30s" if values["start_interval"] else "10s",
        caddy=stack.runs_caddy and not drill,
        behind_proxy="" if drill else kind.behind_proxy,
        proxy_network=kind.proxy_network(settings),
        labels=kind.labels(settings),
        secret_label=kind.secret_label,
        trusted=caddyfile.trusted_networks(settings),
        upstream=ingress_kinds.UPSTREAM,
    )
