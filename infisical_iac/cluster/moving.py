"""A move between single host and cluster: the host it is of, and the end of one before it."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from infisical_iac.core.errors import UserError
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyinfra.api.host import Host

    from infisical_iac.core.audit_entries import Event
    from infisical_iac.core.settings import Settings
    from infisical_iac.stack.settings import StackSettings


@contextmanager
def moving(inventory: str, lock: "Callable[[Host], None]") -> "Iterator[tuple[Host, Settings]]":
    """The host that a move is of, locked with all others, and its settings.

    It is the one where a move has not ended, else the one that leads.

    Args:
        lock: takes the lock.
    """
    from infisical_iac.core.connection import current
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load

    # A cluster that is half ended has no majority, and its end is to go on.
    with connected(inventory, quorum=False, shares=False) as found:
        settings = load(found.data.dict())  # type: ignore[no-untyped-call]
        if settings.cluster.topology != "swarm":
            raise UserError(
                "setting 'topology' is 'single': name the inventory of the whole cluster, "
                "with topology 'swarm'"
            )
        lock(found)
        host = _keeper(found)
        with current(host):
            yield host, settings


def _keeper(found: "Host") -> "Host":
    from infisical_iac.cluster import scaling
    from infisical_iac.core.connection import current, with_others

    for each in with_others(found):
        with current(each):
            if scaling.unfinished():
                return each
    return found


def undo(host: "Host", settings: "Settings", *, asked: bool) -> bool:
    """Undo a move that has not ended, if there is one, and tell what is so now.

    One that has taken over is left, for the next run to complete, unless its undoing is asked for:
    it may have been written to since. Returns whether that is so.

    Args:
        asked: whether that is all that was asked for; the cluster of a move out ends then too.
    """
    from infisical_iac.cluster import membership, scaling
    from infisical_iac.core import audit

    found = scaling.unfinished()
    if found is None:
        _end_beginning(host, asked=asked)
        return False
    if found.switched and not asked:
        echo(f"The move {found.stamp} had taken over: it is completed now.", err=True)
        return True
    event: Event = "scale-out" if found.direction == "out" else "scale-in"
    with audit.recorded(event, [f"undone: the move {found.stamp}"]):
        now, *more = scaling.go_back(found, settings.stack.start_timeout, dissolving=asked)
    membership.forget()
    echo(f"The move {found.stamp} had not ended. {now}", err=not asked)
    for sentence in more:
        echo(sentence)
    return False


def _end_beginning(host: "Host", *, asked: bool) -> None:
    """End what of a cluster is there beside a single host, whose data were never moved."""
    from infisical_iac.cluster import membership, scaling
    from infisical_iac.cluster.scaling import end_swarm
    from infisical_iac.core import audit

    if not asked:
        return
    looks = membership.observe_again()
    alone = looks[host.name].single and not any(each.stack for each in looks.values())
    if not (alone and any(each.mark for each in looks.values())):
        echo("There is nothing to undo: no move is under way.")
        return
    with audit.recorded("scale-out", ["- swarm"]):
        # A move that was undone before may have let the cluster serve for a while.
        kept = end_swarm(scaling.served())
    echo(f"No data had been moved. {host.name} serves alone; all hosts have left the swarm.")
    for sentence in kept:
        echo(sentence)


def end(host: "Host") -> bool:
    """End the cluster of a move that is proven, if there is one; whether there was."""
    from infisical_iac.cluster import scaling
    from infisical_iac.core import audit

    found = scaling.unfinished()
    if found is None or not found.proven:
        return False
    with audit.recorded("scale-in", ["- swarm"]):
        kept = scaling.end_cluster(found)
    echo(f"{host.name} serves alone; all hosts have left the swarm.")
    for sentence in kept:
        echo(sentence)
    return True


def go_back(settings: "StackSettings", *, again: str, rest: str, switched: bool) -> str:
    """Bring back what served before if the move has not ended, and return what is so now.

    Args:
        again: a sentence on what to do after a failure, when what served before serves.
        rest: the command that does what is left to do after the proof, for a sentence.
        switched: whether an earlier run has moved the data, which are not given up for a failure.
    """
    from infisical_iac.cluster import scaling

    if scaling.succeeded():
        return f"The moved data are proven and serve; {rest} does the rest."
    if switched:
        return (
            "The data are where they were moved to: the same command tries again, and with --undo "
            "goes back to those from before the move"
        )
    found = scaling.unfinished()
    if found is None:
        return f"The data were not touched. {again}"
    return " ".join([*scaling.go_back(found, settings.start_timeout), again])
