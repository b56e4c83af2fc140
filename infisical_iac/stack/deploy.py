"""Infisical, PostgreSQL and Redis: keys made on the host, then the containers."""

from functools import partial

from pyinfra.api.deploy import deploy

from infisical_iac.change import rotation, upgrade
from infisical_iac.change.releases import unfinished
from infisical_iac.cluster import share
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import Site
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import MachineState
from infisical_iac.host.preflight import Preflight
from infisical_iac.ingress import traefik
from infisical_iac.operations import certificates, cluster_networks, cluster_upgrade, leftovers
from infisical_iac.rendered import shared
from infisical_iac.stack import compose as containers
from infisical_iac.stack import ingress, keys


def compose_file(settings: Settings, machine: MachineState, *, drill: bool = False) -> str:
    """The text of compose.yaml, or, for a `drill`, of what runs beside it without any way out.

    A drill says with the variable INFISICAL_IMAGE which image it takes.
    """
    values = shared(settings, machine)
    return template(
        "compose.yaml",
        **values,
        drill=drill,
        image="${INFISICAL_IMAGE:?}" if drill else settings.infisical_reference,
        cpus=settings.infisical_cpus / (2 if drill else 1),
        # From 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if settings.postgres_major < 18 else ''}",
        interval="30s" if values["start_interval"] else "10s",
        caddy=settings.runs_caddy and not drill,
        labels=traefik.labels(settings) if settings.ingress == "traefik" and not drill else {},
        trusted=traefik.trusted(settings),
        upstream=traefik.UPSTREAM,
        secret_label=traefik.SECRET_LABEL,
    )


def configure_ingress(settings: Settings) -> None:
    """Have the files that the containers of the ingress start with."""
    ingress.configured(settings=settings, name="Configure the way in")


def run_containers(settings: Settings, machine: MachineState) -> None:
    """Bring the containers to what the settings say."""
    containers.running(
        settings=settings,
        compose=partial(compose_file, machine=machine),
        name="Run Infisical, PostgreSQL and Redis",
    )


@deploy("Stack")
def stack(known: Preflight) -> None:
    """Make the keys, then bring the containers to what the settings say."""
    if known.cluster:
        prepare(known, known.cluster)
        roll_out(known, known.cluster)
    else:
        _on_one_host(known)


def prepare(known: Preflight, cluster: Cluster) -> None:
    """Make the keys on the lead and share them; have images and the way in on all nodes.

    The keys are on all nodes before a database is made with them: whichever node is lost then,
    what it held is not.
    """
    settings = known.settings
    if known.leads:
        keys.made(
            admin_email=settings.admin_email,
            admin_password=known.admin_password,
            more=keys.more_of(settings),
            name="Make keys and passwords on the lead",
        )
        certificates.made(name="Make the certificates of the cluster's services")
    share.shared(cluster=cluster, name="Have the keys on all nodes")
    cluster_stack.images_there(settings=settings, name="Fetch the images")
    configure_ingress(settings)


def roll_out(known: Preflight, cluster: Cluster) -> None:
    """Bring the cluster's services to what the settings say, once all is prepared for them."""
    site = Site(known.settings, known.machine, cluster)
    cluster_stack.tasks_free(site=site, name="Let the tasks on the nodes run in their networks")
    if known.leads:
        project = known.workspace.project.slug
        _end_interrupted(known, site=site)
        cluster_networks.made_anew(site=site, name="Make networks anew that differ")
        cluster_upgrade.upgraded(site=site, project=project, name="Change the version")
        cluster_stack.rolled_out(site=site, name="Roll out Infisical, PostgreSQL and Redis")
    else:
        leftovers.dropped(machine=known.machine, name="Forget what was begun as lead")


def _on_one_host(known: Preflight) -> None:
    settings = known.settings
    keys.made(
        admin_email=settings.admin_email,
        admin_password=known.admin_password,
        more=keys.more_of(settings),
        name="Make keys and passwords on the host",
    )
    configure_ingress(settings)
    compose, project = compose_file(settings, known.machine), known.workspace.project.slug
    _end_interrupted(known, compose)
    upgrade.upgraded(compose=compose, settings=settings, project=project, name="Change the version")
    run_containers(settings, known.machine)


def _end_interrupted(known: Preflight, compose: str = "", site: Site | None = None) -> None:
    """End what an earlier run began: `compose` is a single host's, `site` a cluster's."""
    settings, project = known.settings, known.workspace.project.slug
    rotation.ended(
        state=known.machine.rotating,
        compose=compose,
        settings=settings,
        project=project,
        site=site,
        name="End a rotation that was interrupted",
    )
    upgrade.ended(
        unfinished=unfinished(known.machine.upgrading),
        closed=known.machine.closed,
        settings=settings,
        project=project,
        site=site,
        name="End a change of version that was interrupted",
    )
