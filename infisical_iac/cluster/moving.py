"""A move between single host and cluster: the plan, the question, the run, and the way back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.backup.deploy import backup
from infisical_iac.cli.run import WayBack, run_or_back
from infisical_iac.cluster import scaling, stack
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.moves import Direction
from infisical_iac.cluster.refusal import refuse_move_in, refuse_move_out
from infisical_iac.cluster.share import share
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Refusal
from infisical_iac.core.record import record
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation
from infisical_iac.host.preflight import Preflight, preflight
from infisical_iac.stack import compose as containers
from infisical_iac.stack.deploy import compose_file, ingress, prepare, roll_out, run_containers
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.audit_log import Event
    from infisical_iac.core.settings import Settings


@contextmanager
def moving(inventory: str, *, wait: int, by_force: bool) -> "Iterator[tuple[Host, Settings]]":
    """The host that a move is of, locked with all others, and its settings.

    It is the one where a move has not ended, else the one that leads.
    """
    from infisical_iac.core import lock
    from infisical_iac.core.connection import current
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load

    # A cluster that is half ended has no majority, and its end is to go on.
    with connected(inventory, quorum=False, shares=False) as found:
        settings = load(found.data.dict())  # type: ignore[no-untyped-call]
        if settings.topology != "swarm":
            raise UserError(
                "setting 'topology' is 'single': a move takes the inventory of the whole cluster, "
                "with topology 'swarm'"
            )
        lock.take(found, wait=wait, by_force=by_force)
        host = _keeper(found)
        with current(host):
            yield host, settings


def _keeper(found: "Host") -> "Host":
    from infisical_iac.cluster import moves
    from infisical_iac.core.connection import current, with_others

    for each in with_others(found):
        with current(each):
            if moves.unfinished():
                return each
    return found


def undo(host: "Host", settings: "Settings", *, asked: bool) -> bool:
    """Undo a move that has not ended, if there is one, and tell what is so now.

    One that has taken over is left, for the next run to complete, unless its undoing is asked for:
    it may have been written to since. Returns whether that is so.

    Args:
        asked: whether that is all that was asked for; the cluster of a move out ends then too.
    """
    from infisical_iac.cluster import moves, topology
    from infisical_iac.core import audit

    found = moves.unfinished()
    if found is None:
        _end_beginning(host, asked=asked)
        return False
    if found.switched and not asked:
        echo(f"The move {found.stamp} had taken over: it is completed now.", err=True)
        return True
    event: Event = "scale-out" if found.direction == "out" else "scale-in"
    with audit.recorded(event, [f"undone: the move {found.stamp}"]):
        now, *more = moves.go_back(found, settings.start_timeout, dissolving=asked)
    topology.forget()
    echo(f"The move {found.stamp} had not ended. {now}", err=not asked)
    for sentence in more:
        echo(sentence)
    return False


def _end_beginning(host: "Host", *, asked: bool) -> None:
    """End what of a cluster is there beside a single host, whose data were never moved."""
    from infisical_iac.cluster import moves, topology
    from infisical_iac.cluster.moves import dissolve
    from infisical_iac.core import audit

    if not asked:
        return
    looks = topology.looks()
    alone = looks[host.name].single and not any(each.stack for each in looks.values())
    if not (alone and any(each.mark for each in looks.values())):
        echo("There is nothing to undo: no move is under way.")
        return
    with audit.recorded("scale-out", ["- swarm"]):
        # A move that was undone before may have let the cluster serve for a while.
        kept = dissolve(moves.served())
    echo(f"No data had been moved. {host.name} serves alone; all hosts have left the swarm.")
    for sentence in kept:
        echo(sentence)


def end(host: "Host") -> bool:
    """End the cluster of a move that is proven, if there is one; whether there was."""
    from infisical_iac.cluster import moves
    from infisical_iac.core import audit

    found = moves.unfinished()
    if found is None or not found.proven:
        return False
    with audit.recorded("scale-in", ["- swarm"]):
        kept = moves.end_cluster(found)
    echo(f"{host.name} serves alone; all hosts have left the swarm.")
    for sentence in kept:
        echo(sentence)
    return True


def move(
    host: "Host",
    settings: "Settings",
    steps: Callable[[], object],
    *,
    direction: str,
    again: str,
    rest: str,
    yes: bool,
    switched: bool,
) -> None:
    """Show what is to be done, ask, and do it; what served before comes back if it fails.

    Raises Failed.

    Args:
        steps: those of the deploy that moves.
        direction: where to, for the question.
        again: a sentence on what to do after a failure, when what served before serves.
        rest: the command that does what is left to do after the proof, for a sentence.
        switched: whether an earlier run has moved the data, which are not given up for a failure.
    """
    run_or_back(
        host,
        steps,
        WayBack(
            lambda: _after_failure(settings, again, rest, switched),
            what="What served before",
            remedy="the same command with --undo tries again",
        ),
        name="move",
        question=f"Move Infisical {direction}? It pauses meanwhile",
        done="Moved",
        yes=yes,
    )


def _after_failure(settings: "Settings", again: str, rest: str, switched: bool) -> str:
    """Bring back what served before if the move has not ended, and tell what is so now."""
    from infisical_iac.cluster import moves, scaling

    if scaling.succeeded():
        return f"The moved data are proven and serve; {rest} does the rest."
    if switched:
        return (
            "The data are where they were moved to: the same command tries again, and with --undo "
            "goes back to those from before the move"
        )
    found = moves.unfinished()
    if found is None:
        return f"The data were not touched. {again}"
    return " ".join([*moves.go_back(found, settings.start_timeout), again])


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
    single = known.settings.model_copy(update={"topology": "single"})
    compose = compose_file(single, known.machine)
    containers.fetched(
        images=single.images, archives=single.image_archives, name="Fetch the images"
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
