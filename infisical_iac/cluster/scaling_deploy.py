"""The steps of a move between single host and cluster: a deploy in which the data change places."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.backup.deploy import backup
from infisical_iac.cluster import scaling, stack
from infisical_iac.cluster.deploy import prepare, roll_out
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.moves import Direction
from infisical_iac.cluster.site import ClusterSite, of
from infisical_iac.cluster.validation import refuse_move_in, refuse_move_out
from infisical_iac.core import journal
from infisical_iac.core.end_of_run import record
from infisical_iac.core.operation import Refusal
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.site import Site
from infisical_iac.stack import compose as containers
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.deploy import ingress, run_containers
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace
from infisical_iac.workspace.preflight import Preflight, preflight


def scaling_out(*, switched: bool = False) -> None:
    """Make the cluster beside the single host, move the data, and deploy as ever.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-out"
    known = preflight(scaling=True, check=_any_site if switched else _refuse_move_out)
    foundation(known=known)
    move_out(known=known, switched=switched)
    take_over(known=known)
    prove(known=known, direction="out")
    bootstrap(known=known)
    workspace(known=known)
    canary(known=known)
    credentials(known=known)
    backup(known=known)
    ingress(known=known)
    share(known=known)
    record()


def scaling_in(*, switched: bool = False) -> None:
    """Move the data to the lead, prove them there, and end the cluster.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-in"
    known = preflight(scaling=True, leaving=True, check=_any_site if switched else _refuse_move_in)
    move_in(known=known, switched=switched)
    prove(known=known, direction="in")
    dissolve(known=known)
    record()


def _any_site(_: Site) -> None:
    """Refuse none."""


def _refuse_move_out(site: Site) -> None:
    assert isinstance(site, ClusterSite)
    refuse_move_out(site.cluster)


def _refuse_move_in(site: Site) -> None:
    assert isinstance(site, ClusterSite)
    refuse_move_in(site.cluster)


@deploy("Move")
def move_out(known: Preflight, *, switched: bool) -> None:
    """Have the cluster's databases, and move the data of the single host into them."""
    prepare(known)
    if not known.leads or switched:
        return
    site = of(known)
    stack.databases_there(site=site, name="Have the cluster's databases")
    scaling.moved_out(
        site=site,
        project=known.workspace.project.slug,
        name="Move the data into the cluster",
    )


@deploy("Stack")
def take_over(known: Preflight) -> None:
    """Let the whole cluster run, on the data that it has now."""
    roll_out(known)


@deploy("Move")
def move_in(known: Preflight, *, switched: bool) -> None:
    """Move the cluster's data to the lead, which has Infisical for itself then."""
    if not known.leads:
        return
    refuse_away(of(known).cluster)
    single = known.settings.with_values(topology="single")
    compose = compose_file(single, known.machine)
    containers.fetched(
        images=single.images, archives=single.stack.image_archives, name="Fetch the images"
    )
    if not switched:
        scaling.moved_in(
            compose=compose,
            settings=single,
            project=known.workspace.project.slug,
            name="Move the data to this host",
        )
    run_containers(single, known.machine)


def refuse_away(cluster: Cluster) -> None:
    """Raise Refusal if a host is not there to leave the cluster: it would keep keys and data."""
    lost = [node.name for node in cluster.nodes if node.given_up]
    if lost:
        raise Refusal(
            f"the swarm takes {', '.join(lost)} for down, though Docker runs there, and nobody "
            "could stop what may write: `infisical-iac apply` brings it back first"
        )
    away = [node.name for node in cluster.nodes if not node.up]
    if away:
        raise Refusal(
            f"{', '.join(away)} can't be reached, and would keep the cluster's keys and data: "
            "bring it back, or have a new host take its place with `infisical-iac apply`, first"
        )


@deploy("Proof")
def prove(known: Preflight, direction: Direction) -> None:
    """Prove that people and machines get in, and end the move."""
    if known.leads:
        scaling.proven(
            direction=direction,
            settings=known.settings,
            project=known.workspace.project.slug,
            names=known.site.names,
            name="Prove that every secret is read as before",
        )


@deploy("End")
def dissolve(known: Preflight) -> None:
    """End the cluster; the lead, which has Infisical for itself, is the last to leave."""
    if known.leads:
        others = [each for each in known.site.names if each != host.name]
        scaling.dissolved(others=others, name="End the cluster")
