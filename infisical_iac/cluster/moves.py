"""A move between single host and cluster that has not ended, and the ways to its end."""

from dataclasses import dataclass
from typing import Literal

from pyinfra.context import host

from infisical_iac.backup import snapshot
from infisical_iac.cluster import swarm, topology
from infisical_iac.core.connection import current, with_others
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.stack import compose, edge, given_up, session


def dissolve(stamp: str) -> list[str]:
    """Remove the cluster's services, and let its hosts leave the swarm, the current one at last.

    The others forget keys and records then, which the current one has. What a run that died has
    left of it is done to its end. Raises CommandFailed.

    Args:
        stamp: what the volumes that are kept are named after; empty to keep none.

    Returns a sentence on each that is kept.
    """
    # Whichever is the current one in between.
    keeper = host.name
    hosts = sorted(with_others(host), key=lambda each: each.name == keeper)
    _step("services", doing="remove the cluster's services")
    for each in hosts:
        with current(each):
            _step("containers", doing=f"see the cluster's containers on {each.name} end")
    kept = []
    for each in hosts:
        with current(each):
            swarm.leave()
            if each.name == keeper:
                _step("names", doing=f"let Docker on {keeper} know its containers")
            told = _step("data", stamp, doing=f"put the cluster's data on {each.name} aside")
            kept += [f"Kept on {each.name}: {line}." for line in told.splitlines()]
            if each.name != keeper:
                _step("forget", doing=f"take the keys from {each.name}")
    topology.forget()
    return kept


def _step(*arguments: str, doing: str) -> str:
    return run(script("dissolve", *arguments), doing=doing)


DIRECTORY = "/var/lib/infisical-scale"
PROJECT = "infisical-scale"

Direction = Literal["out", "in"]


@dataclass(frozen=True)
class UnfinishedMove:
    """A move that has not ended: when it began, where to, and how far it came."""

    stamp: str
    direction: Direction
    phase: str

    @property
    def proven(self) -> bool:
        """Return whether it has no way back any more, and only the cluster it came from is to
        end.
        """
        return self.phase == "proven"

    @property
    def switched(self) -> bool:
        """Return whether what it is to has taken over, and may have been written to since."""
        return self.phase == "switched"

    @property
    def served(self) -> bool:
        """Return whether the cluster may have served with data that were moved into it."""
        return self.direction == "out" and self.phase not in ("begun", "paused")


def unfinished() -> UnfinishedMove | None:
    """The move of the current host that has not ended."""
    found = run(script("scale-out", "state"), doing="see whether a move is under way").split()
    if not found:
        return None
    stamp, direction, phase = found
    return UnfinishedMove(stamp, "out" if direction == "out" else "in", phase)


def go_back(found: UnfinishedMove, timeout: int, *, dissolving: bool = False) -> list[str]:
    """Undo a move, and let serve what served before; sentences on what is so now.

    It can be repeated if it fails. Raises a UserError.

    Args:
        timeout: how many seconds what served before may take to start.
        dissolving: whether the cluster that it was to move into ends too.
    """
    snapshot.clean(DIRECTORY, PROJECT)
    kept = given_up.parse_given_up(do(found.direction, "back", doing="go back").splitlines())
    session.forget()
    data = f"its data of {found.stamp}" if found.switched else "all its data"
    if found.direction == "out":
        _serve_alone(timeout)
        told = [f"{host.name} serves alone again, with {data}."]
        if dissolving:
            # One that the version before had begun has left no mark.
            stamp = served() or (found.stamp if found.served else "")
            told += ["The hosts have left the swarm.", *dissolve(stamp)]
        elif found.served:
            what = kept[0] if kept else given_up.GivenUp("infisical")
            told.append(
                f"Of the cluster, {what.told()}, which the next move gives up and names, and the "
                "end of the cluster keeps."
            )
    else:
        _serve_together(timeout)
        told = [f"The cluster serves again, with {data}."]
    edge.open_on([each.name for each in with_others(host)])
    return [*told, *end(found.direction)]


def served() -> str:
    """Return when the move began with whose data a cluster that was given up has served.

    Empty where it never has, so that there is nothing in it.
    """
    mark = f"{DIRECTORY}/served"
    return run(f"cat {mark} 2>/dev/null || true", doing="see what the cluster has had").strip()


def _serve_alone(timeout: int) -> None:
    compose.bring_up()
    _refuse(run(script("stack", "wait", str(timeout)), doing="wait for the containers"))


def _serve_together(timeout: int) -> None:
    run(script("cluster-stack", "up"), doing="roll the services out")
    _refuse(run(script("cluster-stack", "wait", str(timeout)), doing="wait for the services"))


def _refuse(unwell: str) -> None:
    if unwell:
        raise CheckFailed(f"what served before is back, but not well:\n{unwell}")


def do(direction: Direction, name: str, *arguments: str, doing: str) -> str:
    """Do a step of a move on the host; what it prints. Raises CommandFailed."""
    return run(script(f"scale-{direction}", name, *arguments), doing=doing)


def end_cluster(found: UnfinishedMove) -> list[str]:
    """End the cluster that a proven move has left; it can be repeated if it fails.

    Returns sentences on what is kept. Raises a UserError.
    """
    return [*dissolve(found.stamp), *end("in")]


def end(direction: Direction) -> list[str]:
    """End a move that is proven or undone; sentences on what is kept. Raises CommandFailed."""
    lines = do(direction, "end", doing="end the move").splitlines()
    kept = [each for each in lines if each and not each.startswith(("given-up ", "removed "))]
    return [*(f"Kept on {host.name}: {each}." for each in kept), *given_up.after_proof(lines)]
