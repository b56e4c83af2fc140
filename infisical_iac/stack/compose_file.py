"""Render compose.yaml, and compute the values that it shares with a cluster's stack.yaml."""

from infisical_iac.core.rendering import digest, template
from infisical_iac.core.settings import Settings
from infisical_iac.core.validation import mebibytes
from infisical_iac.host.model import MachineState
from infisical_iac.instance import authorities
from infisical_iac.instance.network import PROXY_PASSWORD
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.stack import ingress_kinds
from infisical_iac.stack.ingress_kinds import REVISION_PORT


def shared_values(settings: Settings, machine: MachineState) -> dict[str, object]:
    """Return the values that the templates of compose.yaml and stack.yaml share."""
    memory = mebibytes(settings.stack.infisical_memory)
    return {
        "settings": settings,
        # The heap gets two thirds, because Node keeps data outside of it too.
        "node_options": f"--max-old-space-size={memory * 2 // 3}",
        "variables": settings.instance.variables,
        # Variables of the user's secrets. A secret that is part of an address has no variable of
        # its own.
        "given": [each.variable for each in settings.instance.secrets if not each.is_in_address],
        "internal_connections": bool(settings.instance.internal_networks),
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        "start_interval": machine.system is not None and machine.system.start_interval,
        "revision_port": REVISION_PORT,
    }


def redis_maxmemory_mb(settings: Settings) -> int:
    """Return the limit of Redis's data in MiB; a quarter of its memory is for other needs."""
    return mebibytes(settings.stack.redis_memory) * 3 // 4


def trusted_networks(settings: Settings) -> tuple[str, ...]:
    """Return the networks of the proxy, whose X-Forwarded-For Infisical trusts."""
    proxies = settings.stack.ingress_kind.proxies
    return tuple(dict.fromkeys((*settings.stack.trusted_proxy_cidrs, *proxies)))


def compose_file(
    settings: Settings, machine: MachineState, *, drill: bool = False, image: str = ""
) -> str:
    """Return the text of compose.yaml, or of the isolated stack for a `drill`.

    Args:
        image: of Infisical; that of the settings by default. A drill sets it by the variable
            INFISICAL_IMAGE then.
    """
    values, stack = shared_values(settings, machine), settings.stack
    kind, trusted_ca = stack.ingress_kind, authorities.read_authorities(settings)
    proxy = settings.instance.proxy
    if drill:
        # It has no outbound connections, and must not send mail or call others in any case.
        values |= {"variables": {}, "given": [], "internal_connections": False}
        trusted_ca = ""
    return template(
        "compose.yaml",
        **values,
        drill=drill,
        image=image or ("${INFISICAL_IMAGE:?}" if drill else stack.infisical_reference),
        cpus=stack.infisical_cpus / (2 if drill else 1),
        # From version 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if stack.postgres_major < 18 else ''}",
        # The loops with `seq` in scripts/stack/stack.sh wait for longer than an interval and a
        # check: tests/unit/stack/test_health_intervals.py.
        interval="30s" if values["start_interval"] else "10s",
        caddy=stack.runs_caddy and not drill,
        behind_proxy="" if drill else kind.behind_proxy,
        proxy_network=kind.proxy_network(settings),
        labels=kind.labels(settings),
        secret_label=kind.secret_label,
        trusted=trusted_networks(settings),
        upstream=ingress_kinds.UPSTREAM,
        proxy_url=proxy.url(f"${{{PROXY_PASSWORD}:-}}")
        if proxy and proxy.user and not drill
        else "",
        extra_ca=f"/extra-ca-{digest(trusted_ca)}.crt" if trusted_ca else "",
        extra_ca_file=EXTRA_CA,
    )
