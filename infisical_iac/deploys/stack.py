"""Infisical, PostgreSQL and Redis: keys made on the host, then the containers."""

from pyinfra.api.deploy import deploy

from infisical_iac.deploys.preflight import Preflight
from infisical_iac.facts.machine import MachineState
from infisical_iac.ingress import traefik
from infisical_iac.ingress.caddyfile import REVISION_PORT
from infisical_iac.operations import ingress, keys, rotation, upgrade
from infisical_iac.operations import stack as containers
from infisical_iac.rendering import template
from infisical_iac.settings import Settings
from infisical_iac.upgrade.release import unfinished

_MEBIBYTES = {"m": 1, "g": 1024}


def compose_file(settings: Settings, machine: MachineState, *, drill: bool = False) -> str:
    """The text of compose.yaml, or, for a `drill`, of what runs beside it without any way out.

    A drill says with the variable INFISICAL_IMAGE which image it takes.
    """
    # The engine learnt it with version 25; Debian 12 has an older one, Ubuntu 24.04 either.
    start_interval = (machine.os, machine.release) == ("debian", "13")
    return template(
        "compose.yaml",
        settings=settings,
        drill=drill,
        image="${INFISICAL_IMAGE:?}" if drill else settings.infisical_reference,
        cpus=settings.infisical_cpus / (2 if drill else 1),
        # The heap leaves a third to what Node keeps outside of it.
        heap_mb=mebibytes(settings.infisical_memory) * 2 // 3,
        redis_maxmemory_mb=mebibytes(settings.redis_memory) * 3 // 4,
        # From 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if settings.postgres_major < 18 else ''}",
        interval="30s" if start_interval else "10s",
        start_interval=start_interval,
        caddy=settings.ingress == "caddy" and not drill,
        revision_port=REVISION_PORT,
        labels=traefik.labels(settings) if settings.ingress == "traefik" and not drill else {},
        trusted=traefik.trusted(settings),
    )


def mebibytes(size: str) -> int:
    """The mebibytes of a checked size such as `1536m` or `2g`."""
    return int(size[:-1]) * _MEBIBYTES[size[-1]]


def configure_ingress(settings: Settings) -> None:
    """Have the files that the containers of the ingress start with."""
    ingress.configured(settings=settings, name="Configure the way in")


def run_containers(settings: Settings, compose: str) -> None:
    """Bring the containers to what `compose`, the text of compose.yaml, says."""
    containers.running(
        compose=compose,
        images=settings.images,
        archives=settings.image_archives,
        timeout=settings.start_timeout,
        name="Run Infisical, PostgreSQL and Redis",
    )


@deploy("Stack")
def stack(known: Preflight) -> None:
    """Make the keys, then bring the containers to what the settings say."""
    settings = known.settings
    keys.made(
        admin_email=settings.admin_email,
        admin_password=known.admin_password,
        name="Make keys and passwords on the host",
    )
    configure_ingress(settings)
    compose, project = compose_file(settings, known.machine), known.workspace.project.slug
    rotation.ended(
        state=known.machine.rotating,
        compose=compose,
        settings=settings,
        project=project,
        name="End a rotation that was interrupted",
    )
    upgrade.ended(
        unfinished=unfinished(known.machine.upgrading),
        settings=settings,
        project=project,
        name="End a change of version that was interrupted",
    )
    upgrade.upgraded(compose=compose, settings=settings, project=project, name="Change the version")
    run_containers(settings, compose)
