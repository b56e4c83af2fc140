"""Infisical moved from the single host that it was on into a cluster, and back again."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from pyinfra.context import host

from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.cluster import moves, rollout, stack_plan
from infisical_iac.cluster.moves import Direction
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core import journal
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import edge, session
from infisical_iac.workspace import gate
from infisical_iac.workspace.gate import Before

_PAUSES = "Infisical pauses for its dump, its load and its start"

# What could be done before the move, by the host that leads.
_before: dict[str, Before | None] = {}
_proven: set[str] = set()


def succeeded() -> bool:
    """Return whether this run has proven a move of the current host."""
    return host.name in _proven


@telling_operation
def moved_out(*, site: ClusterSite, project: str) -> Commands:
    """Move the single host's data into the cluster, whose databases run already, and start it.

    Infisical pauses from its dump to the cluster's start; the rows of each table are compared.
    Raises a UserError, with the old data where they were.

    Args:
        project: the slug of the project whose secrets are read before and after.
    """
    yield Item("~", "database infisical", f"from this host into the cluster; {_PAUSES}")
    yield step(_move_out, site, project)


def _move_out(site: ClusterSite, project: str) -> None:
    services = rollout.asking(site)
    _begin("out", site.settings, project)
    _start(stack_plan.part(services, {"haproxy"}))
    moves.do("out", "way_in", doing="wait for HAProxy")
    moves.do("out", "pause", doing="pause Infisical")
    found = _dump("out")
    rows = snapshot.rows(
        moves.do("out", "load", doing="load the data into the cluster").splitlines()
    )
    manifest.refuse_difference(found, rows)
    _tell(rows)
    edge.close_on(site.settings, site.names)
    moves.do("out", "switch", doing="let the cluster's database take over")
    _start(services)
    session.forget()


def _start(services: str) -> None:
    run(script("cluster-stack", "part"), doing="start the cluster's services", stdin=services)


@telling_operation
def moved_in(*, compose: str, settings: Settings, project: str) -> Commands:
    """Move the cluster's data to the current host, which then has Infisical for itself.

    Raises as `moved_out` does.

    Args:
        compose: the text of compose.yaml, whose images are on the host.
        project: the slug of the project whose secrets are read before and after.
    """
    yield Item("~", "database infisical", f"from the cluster to this host; {_PAUSES}")
    yield step(_move_in, compose, settings, project)


def _move_in(compose: str, settings: Settings, project: str) -> None:
    _begin("in", settings, project)
    write(f"{moves.DIRECTORY}/compose.yaml", compose)
    moves.do("in", "pause", doing="pause Infisical")
    found = _dump("in")
    rows = snapshot.load(moves.DIRECTORY, moves.PROJECT, settings.stack.start_timeout)
    manifest.refuse_difference(found, rows)
    _tell(rows)
    edge.close(settings)
    moves.do("in", "switch", f"{moves.PROJECT}_postgres", doing="let this host take over")
    session.forget()


def _begin(direction: Direction, settings: Settings, project: str) -> None:
    _before[host.name] = gate.before(settings, project, settings.stack.http_port)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    moves.do(direction, "begin", stamp, direction, doing="begin the move")


def _tell(rows: Mapping[str, int]) -> None:
    journal.current().shown.append(
        f"Compared: {len(rows)} tables with {sum(rows.values())} rows, the same on both sides."
    )


def _dump(direction: Direction) -> Manifest:
    """Dump what served until now. Both have a database on this host: the script is told which."""
    source = "single" if direction == "out" else "swarm"
    command = script("backup-dump", f"{moves.DIRECTORY}/dump")
    run(
        f"mkdir -p {moves.DIRECTORY}/dump && TOPOLOGY={source} {command}", doing="dump the database"
    )
    return manifest.parse(moves.do(direction, "take", doing="use the dump"))


@telling_operation
def proven(
    direction: Direction, *, settings: Settings, project: str, names: Sequence[str]
) -> Commands:
    """Log in and read every secret as before; a move out ends with it. Raises CheckFailed.

    The edge, which lets nobody in from before the data change places, is opened then.
    """
    yield step(_prove, direction, settings, project, names)


def _prove(direction: Direction, settings: Settings, project: str, names: Sequence[str]) -> None:
    # Of a move that is taken up again it is not known any more what could be read before it, but
    # the deployer must get in.
    before = _before.get(host.name, Before({}, public=False))
    out = direction == "out"
    # Which of the two serves now, and is asked which secrets it has.
    serving = settings.with_values(topology="swarm" if out else "single")
    told = gate.passed(
        serving,
        project,
        before,
        port=settings.stack.http_port,
        same_data=True,
        opening=partial(edge.open_on, names) if out else edge.open_,
    )
    snapshot.clean(moves.DIRECTORY, moves.PROJECT)
    journal.current().shown += told
    if direction == "in":
        moves.do(direction, "proven", doing="note that the move is proven")
    else:
        journal.current().shown += moves.end(direction)
    _proven.add(host.name)


@telling_operation
def dissolved(others: Sequence[str]) -> Commands:
    """Let the cluster end, from which Infisical has moved to the current host.

    Args:
        others: the hosts that leave the swarm before the current one.
    """
    yield from decide_dissolved([*others, host.name])


def decide_dissolved(names: Sequence[str]) -> Commands:
    """Tell which hosts leave the swarm, in this order."""
    for name in names:
        yield Item("-", f"{name} in the swarm")
    yield step(_dissolve)


def _dissolve() -> None:
    found = moves.unfinished()
    if found:
        journal.current().shown += moves.end_cluster(found)
