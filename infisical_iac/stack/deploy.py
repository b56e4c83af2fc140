"""The steps of the stack: keys made on the host, the containers, the way in."""

from collections.abc import Sequence
from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.change import gate, path, rotation, upgrade
from infisical_iac.change.releases import unfinished
from infisical_iac.cluster import certificates, share
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import stack as cluster_networks
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster.change import ClusterVersionChange
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import Site
from infisical_iac.cluster.stack_file import shared_values
from infisical_iac.core import journal
from infisical_iac.core.images import Images
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.core.remote import removal, run
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.preflight import Preflight
from infisical_iac.stack import caddyfile, edge, ingress_kinds, keys
from infisical_iac.stack import compose as containers
from infisical_iac.stack.ingress import configured, served
from infisical_iac.stack.state import Upgrades


@deploy("Ingress")
def ingress(known: Preflight) -> None:
    """See that the edge is open and the certificate served.

    The containers and their files are the stack's, and so is the edge of the host that leads.
    """
    if not known.leads:
        edge.opened(name="Let everybody in")
    served(settings=known.settings, name="Serve a certificate for the site's address")


# In which phases the data may have changed places.
_EXCHANGED = ("data", "swapping", "swapped", "backing")


@telling_operation
def dropped(machine: MachineState) -> Commands:
    """Forget a restore, change of version, rotation or move that has not ended on a host.

    What the cluster has been like since is the present lead's: to undo it now would take back
    what was written meanwhile. Backups and drills of the host wait for it else.
    """
    begun = {
        "restore": machine.restoring,
        "upgrade": machine.upgrading,
        "rotation": machine.rotating,
        "scale": machine.scaling,
    }
    found = {what: state.split() for what, state in begun.items() if state}
    if not found:
        host.noop("nothing that the host began is under way")
    for what, (which, *how) in found.items():
        journal.item("-", f"unfinished {what}", f"{which}, of when this host led")
        journal.current().shown.extend(_aside(what, which, how))
        path = f"/var/lib/infisical-{what}/state"
        gone = f"rm -rf {_beside(what)} && {removal(path)}"
        yield step(run, gone, doing=f"remove {path}")


def _aside(what: str, which: str, how: Sequence[str]) -> list[str]:
    """Return a sentence on the data that had moved aside, which nothing removes."""
    if what not in ("restore", "upgrade") or not how or how[0] not in _EXCHANGED:
        return []
    database = f"infisical_before_{which.partition('-')[0].lower()}"
    return [
        f"The {what} {which}, which {host.name} began when it led, had not ended: what had been "
        f"replaced by then is in the cluster's database {database}, until you remove it."
    ]


def _beside(what: str) -> str:
    """Return what goes with the state: passwords that are not in their place, or a copy of the
    data.
    """
    if what == "rotation":
        return "/etc/infisical/keys/*.next /etc/infisical/keys/*.old"
    return f"/var/lib/infisical-{what}/fetched"


@telling_operation
def upgraded(*, site: Site, project: str) -> Commands:
    """Bring data that an older version used to the one of the settings.

    Where there are no data, or no version changes, it does nothing: that is `rolled_out`'s. The
    images are on the nodes. Raises Refused, with nothing touched, for a change that can't be
    made, CheckFailed where secrets can't be decrypted before it already, and RunFailed for
    one that was undone.
    """
    journal.current().kept = None
    if upgrade.waits():
        return
    settings = site.settings
    found = shared(Upgrades, wanted=settings.stack.infisical_reference)
    wanted = Images(settings.stack.infisical_reference, settings.cluster.patroni_image)
    changes = path.changes(found.was, wanted, same_bytes=found.same_bytes) if found.was else {}
    if not found.was or not changes:
        host.noop("no version changes")
        return
    with upgrade.refusing(found.was):
        path.refuse_other_major(found.was, wanted)
        path.refuse(found.was, wanted)
        upgrade.refuse_room([], settings)
        gate.refuse(settings.stack.http_port)
    for what, how in changes.items():
        journal.item("~", what, how + upgrade.failed(found, wanted))
    change = ClusterVersionChange(found.was, settings.stack.infisical_reference)
    yield step(upgrade.make, partial(cluster_change.made, change, site, project))


def compose_file(settings: Settings, machine: MachineState, *, drill: bool = False) -> str:
    """The text of compose.yaml, or, for a `drill`, of what runs beside it without any way out.

    A drill says with the variable INFISICAL_IMAGE which image it takes.
    """
    values, stack = shared_values(settings, machine), settings.stack
    return template(
        "compose.yaml",
        **values,
        drill=drill,
        image="${INFISICAL_IMAGE:?}" if drill else stack.infisical_reference,
        cpus=stack.infisical_cpus / (2 if drill else 1),
        # From 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if stack.postgres_major < 18 else ''}",
        interval="30s" if values["start_interval"] else "10s",
        caddy=stack.runs_caddy and not drill,
        labels={} if drill else stack.ingress_kind.labels(settings),
        trusted=caddyfile.trusted(settings),
        upstream=ingress_kinds.UPSTREAM,
        secret_label=ingress_kinds.SECRET_LABEL,
    )


def configure_ingress(settings: Settings) -> None:
    """Have the files that the containers of the ingress start with."""
    configured(settings=settings, name="Configure the way in")


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
            admin_email=settings.workspace.admin_email,
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
        upgraded(site=site, project=project, name="Change the version")
        cluster_stack.rolled_out(site=site, name="Roll out Infisical, PostgreSQL and Redis")
    else:
        dropped(machine=known.machine, name="Forget what was begun as lead")


def _on_one_host(known: Preflight) -> None:
    settings = known.settings
    keys.made(
        admin_email=settings.workspace.admin_email,
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
