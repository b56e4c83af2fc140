"""The steps of a move between single host and cluster: a deploy in which the data change places."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.backup.deploy import backup
from infisical_iac.cluster import scaling, stack
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.moves import Direction
from infisical_iac.cluster.refusal import refuse_move_in, refuse_move_out
from infisical_iac.cluster.share import share
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.end_of_run import record
from infisical_iac.core.operation import Refusal
from infisical_iac.host.deploy import foundation
from infisical_iac.host.preflight import Preflight, preflight
from infisical_iac.stack import compose as containers
from infisical_iac.stack.deploy import compose_file, ingress, prepare, roll_out, run_containers
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace


def scaling_out(*, switched: bool = False) -> None:
    """Make the cluster beside the single host, move the data, and deploy as ever.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-out"
    known = preflight(scaling=True, check=None if switched else refuse_move_out)
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
    known = preflight(scaling=True, leaving=True, check=None if switched else refuse_move_in)
    move_in(known=known, switched=switched)
    prove(known=known, direction="in")
    dissolve(known=known)
    record()


@deploy("Move")
def move_out(known: Preflight, *, switched: bool) -> None:
    """Have the cluster's databases, and move the data of the single host into them."""
    if known.cluster is None:
        return
    prepare(known, known.cluster)
    if not known.leads or switched:
        return
    site = Site(known.settings, known.machine, known.cluster)
    stack.databases_there(site=site, name="Have the cluster's databases")
    scaling.moved_out(
        site=site,
        project=known.workspace.project.slug,
        name="Move the data into the cluster",
    )


@deploy("Stack")
def take_over(known: Preflight) -> None:
    """Let the whole cluster run, on the data that it has now."""
    if known.cluster:
        roll_out(known, known.cluster)


@deploy("Move")
def move_in(known: Preflight, *, switched: bool) -> None:
    """Move the cluster's data to the lead, which has Infisical for itself then."""
    if not known.leads or known.cluster is None:
        return
    refuse_away(known.cluster)
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
    if known.leads and known.cluster:
        scaling.proven(
            direction=direction,
            settings=known.settings,
            project=known.workspace.project.slug,
            cluster=known.cluster,
            name="Prove that every secret is read as before",
        )


@deploy("End")
def dissolve(known: Preflight) -> None:
    """End the cluster; the lead, which has Infisical for itself, is the last to leave."""
    if known.leads and known.cluster:
        others = [each.name for each in known.cluster.connected if each.name != host.name]
        scaling.dissolved(others=others, name="End the cluster")
