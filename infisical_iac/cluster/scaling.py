"""Move Infisical from a single host into a cluster, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.manifest import Manifest
from infisical_iac.cluster import membership, rollout, stack, stack_plan, swarm
from infisical_iac.cluster.deploy import prepare, roll_out
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import ClusterSite, of
from infisical_iac.cluster.validation import refuse_move_in, refuse_move_out
from infisical_iac.core import audit, journal
from infisical_iac.core.connection import current, with_others
from infisical_iac.core.end_of_run import record
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, Refusal, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.site import Site
from infisical_iac.stack import compose, edge, given_up, session
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.deploy import ingress, run_containers
from infisical_iac.stack.settings import StackSettings
from infisical_iac.workspace import gate
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace
from infisical_iac.workspace.gate import Before
from infisical_iac.workspace.preflight import Preflight, preflight


def end_swarm(stamp: str) -> list[str]:
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
    membership.forget()
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
    def is_proven(self) -> bool:
        """Return whether it has no way back, and only the cluster that it came from is to end."""
        return self.phase == "proven"

    @property
    def is_switched(self) -> bool:
        """Return whether what it is to has taken over, and may have been written to since."""
        return self.phase == "switched"

    @property
    def has_served(self) -> bool:
        """Return whether the cluster may have served with data that were moved into it."""
        return self.direction == "out" and self.phase not in ("begun", "paused")


def read_unfinished() -> UnfinishedMove | None:
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
    data = f"its data of {found.stamp}" if found.is_switched else "all its data"
    if found.direction == "out":
        compose.bring_up()
        _refuse_unwell("stack", timeout, "containers")
        told = [f"{host.name} serves alone again, with {data}."]
        if dissolving:
            # One that the version before had begun has left no mark.
            stamp = read_served() or (found.stamp if found.has_served else "")
            told += ["The hosts have left the swarm.", *end_swarm(stamp)]
        elif found.has_served:
            what = kept[0] if kept else given_up.GivenUp("infisical")
            told.append(
                f"Of the cluster, {what.told()}, which the next move gives up and names, and the "
                "end of the cluster keeps."
            )
    else:
        run(script("cluster-stack", "up"), doing="roll the services out")
        _refuse_unwell("cluster-stack", timeout, "services")
        told = [f"The cluster serves again, with {data}."]
    edge.open_on([each.name for each in with_others(host)])
    return [*told, *end(found.direction)]


def read_served() -> str:
    """Return when the move began with whose data a cluster that was given up has served.

    Empty where it never has, so that there is nothing in it.
    """
    mark = f"{DIRECTORY}/served"
    return run(f"cat {mark} 2>/dev/null || true", doing="see what the cluster has had").strip()


def _refuse_unwell(program: str, timeout: int, what: str) -> None:
    unwell = run(script(program, "wait", str(timeout)), doing=f"wait for the {what}")
    if unwell:
        raise CheckFailed(f"what served before is back, but not well:\n{unwell}")


def do(direction: Direction, name: str, *arguments: str, doing: str) -> str:
    """Do a step of a move on the host; what it prints. Raises CommandFailed."""
    return run(script(f"scale-{direction}", name, *arguments), doing=doing)


def end_cluster(found: UnfinishedMove) -> list[str]:
    """End the cluster that a proven move has left; it can be repeated if it fails.

    Returns sentences on what is kept. Raises a UserError.
    """
    return [*end_swarm(found.stamp), *end("in")]


def end(direction: Direction) -> list[str]:
    """End a move that is proven or undone; sentences on what is kept. Raises CommandFailed."""
    lines = do(direction, "end", doing="end the move").splitlines()
    kept = [each for each in lines if each and not each.startswith(("given-up ", "removed "))]
    return [*(f"Kept on {host.name}: {each}." for each in kept), *given_up.after_proof(lines)]


_PAUSES = "Infisical pauses for its dump, its load and its start"

# By the current host's name: what could be done before its move, and whether that is proven.
_before: dict[str, Before | None] = {}
_proven: set[str] = set()


def undo(settings: Settings, *, asked: bool) -> bool:
    """Undo a move that has not ended, if there is one, and tell what is so now.

    One that has taken over is left, for the next run to complete, unless its undoing is asked for:
    it may have been written to since. Returns whether that is so.

    Args:
        asked: whether that is all that was asked for; the cluster of a move out ends then too.
    """
    found = read_unfinished()
    if found is None:
        if asked:
            _end_unused()
        return False
    if found.is_switched and not asked:
        echo(f"The move {found.stamp} had taken over: it is completed now.", err=True)
        return True
    event: Literal["scale-out", "scale-in"]
    event = "scale-out" if found.direction == "out" else "scale-in"
    with audit.recorded(event, [f"undone: the move {found.stamp}"]):
        now, *more = go_back(found, settings.stack.start_timeout, dissolving=asked)
    membership.forget()
    echo(f"The move {found.stamp} had not ended. {now}", err=not asked)
    for sentence in more:
        echo(sentence)
    return False


def _end_unused() -> None:
    """End what of a cluster is there beside a single host, whose data were never moved."""
    looks = membership.observe_again()
    alone = looks[host.name].single and not any(each.stack for each in looks.values())
    if not (alone and any(each.mark for each in looks.values())):
        echo("There is nothing to undo: no move is under way.")
        return
    with audit.recorded("scale-out", ["- swarm"]):
        # A move that was undone before may have let the cluster serve for a while.
        kept = end_swarm(read_served())
    told = f"No data had been moved. {host.name} serves alone; all hosts have left the swarm."
    for sentence in [told, *kept]:
        echo(sentence)


def end_proven() -> bool:
    """End the cluster of a move that is proven, and return whether there was one."""
    found = read_unfinished()
    if found is None or not found.is_proven:
        return False
    with audit.recorded("scale-in", ["- swarm"]):
        kept = end_cluster(found)
    for sentence in [f"{host.name} serves alone; all hosts have left the swarm.", *kept]:
        echo(sentence)
    return True


def recover(settings: StackSettings, *, again: str, rest: str, switched: bool) -> str:
    """Bring back what served before if the move has not ended, and return what is so now.

    Args:
        again: a sentence on what to do after a failure, when what served before serves.
        rest: the command that does what is left to do after the proof, for a sentence.
        switched: whether an earlier run has moved the data, which are not given up for a failure.
    """
    if host.name in _proven:
        return f"The moved data are proven and serve; {rest} does the rest."
    if switched:
        return (
            "The data are where they were moved to: the same command tries again, and with --undo "
            "goes back to those from before the move"
        )
    found = read_unfinished()
    if found is None:
        return f"The data were not touched. {again}"
    return " ".join([*go_back(found, settings.start_timeout), again])


@telling_operation
def outward_move(*, site: ClusterSite, project: str) -> Commands:
    """Move the single host's data into the cluster, whose databases run already, and start it.

    Infisical pauses from its dump to the cluster's start; the rows of each table are compared.
    Raises a UserError, with the old data where they were.

    Args:
        project: the slug of the project whose secrets are read before and after.
    """
    yield Item("~", "database infisical", f"from this host into the cluster; {_PAUSES}")
    yield step(_move_out, site, project)


def _move_out(site: ClusterSite, project: str) -> None:
    services = rollout.render_clients(site)
    _begin("out", site.settings, project)
    _start(stack_plan.select_services(services, {"haproxy"}))
    do("out", "way_in", doing="wait for HAProxy")
    do("out", "pause", doing="pause Infisical")
    found = _dump("out")
    rows = snapshot.rows(do("out", "load", doing="load the data into the cluster").splitlines())
    manifest.refuse_difference(found, rows)
    _tell(rows)
    edge.close_on(site.settings, site.names)
    do("out", "switch", doing="let the cluster's database take over")
    _start(services)
    session.forget()


def _start(services: str) -> None:
    run(script("cluster-stack", "part"), doing="start the cluster's services", stdin=services)


@telling_operation
def inward_move(*, text: str, settings: Settings, project: str) -> Commands:
    """Move the cluster's data to the current host, which then has Infisical for itself.

    Raises as `outward_move` does.

    Args:
        text: of compose.yaml, whose images are on the host.
        project: the slug of the project whose secrets are read before and after.
    """
    yield Item("~", "database infisical", f"from the cluster to this host; {_PAUSES}")
    yield step(_move_in, text, settings, project)


def _move_in(text: str, settings: Settings, project: str) -> None:
    _begin("in", settings, project)
    write(f"{DIRECTORY}/compose.yaml", text)
    do("in", "pause", doing="pause Infisical")
    found = _dump("in")
    rows = snapshot.load(DIRECTORY, PROJECT, settings.stack.start_timeout)
    manifest.refuse_difference(found, rows)
    _tell(rows)
    edge.close(settings)
    do("in", "switch", f"{PROJECT}_postgres", doing="let this host take over")
    session.forget()


def _begin(direction: Direction, settings: Settings, project: str) -> None:
    _before[host.name] = gate.before(settings, project, settings.stack.http_port)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    do(direction, "begin", stamp, direction, doing="begin the move")


def _tell(rows: Mapping[str, int]) -> None:
    journal.current().shown.append(
        f"Compared: {len(rows)} tables with {sum(rows.values())} rows, the same on both sides."
    )


def _dump(direction: Direction) -> Manifest:
    """Dump what served until now. Both have a database on this host: the script is told which."""
    source = "single" if direction == "out" else "swarm"
    command = script("backup-dump", f"{DIRECTORY}/dump")
    run(f"mkdir -p {DIRECTORY}/dump && TOPOLOGY={source} {command}", doing="dump the database")
    return manifest.parse(do(direction, "take", doing="use the dump"))


@telling_operation
def proof(
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
    snapshot.clean(DIRECTORY, PROJECT)
    journal.current().shown += told
    if direction == "in":
        do(direction, "proven", doing="note that the move is proven")
    else:
        journal.current().shown += end(direction)
    _proven.add(host.name)


@telling_operation
def dissolution(names: Sequence[str]) -> Commands:
    """Let the cluster end, from which Infisical has moved to the current host.

    Args:
        names: the hosts, in the order in which they leave the swarm.
    """
    for name in names:
        yield Item("-", f"{name} in the swarm")
    yield step(_dissolve)


def _dissolve() -> None:
    if found := read_unfinished():
        journal.current().shown += end_cluster(found)


def scaling_out(*, switched: bool = False) -> None:
    """Make the cluster beside the single host, move the data, and deploy as ever.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-out"
    known = preflight(scaling=True, check=_check(refuse_move_out, switched=switched))
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
    check = _check(refuse_move_in, switched=switched)
    known = preflight(scaling=True, leaving=True, check=check)
    move_in(known=known, switched=switched)
    prove(known=known, direction="in")
    dissolve(known=known)
    record()


def _check(refuse: Callable[[Cluster], None], *, switched: bool) -> Callable[[Site], None]:
    """Return what refuses a site for a move, unless that was made already."""

    def check(site: Site) -> None:
        assert isinstance(site, ClusterSite)
        if not switched:
            refuse(site.cluster)

    return check


@deploy("Move")
def move_out(known: Preflight, *, switched: bool) -> None:
    """Have the cluster's databases, and move the data of the single host into them."""
    prepare(known)
    if not known.leads or switched:
        return
    site = of(known)
    stack.databases(site=site, name="Have the cluster's databases")
    project = known.workspace.project.slug
    outward_move(site=site, project=project, name="Move the data into the cluster")


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
    compose.fetched(
        images=single.images, archives=single.stack.image_archives, name="Fetch the images"
    )
    if not switched:
        inward_move(
            text=compose_file(single, known.machine),
            settings=single,
            project=known.workspace.project.slug,
            name="Move the data to this host",
        )
    run_containers(single, known.machine)


def refuse_away(cluster: Cluster) -> None:
    """Raise Refusal if a host is not there to leave the cluster: it would keep keys and data."""
    if lost := [node.name for node in cluster.nodes if node.given_up]:
        raise Refusal(
            f"the swarm takes {', '.join(lost)} for down, though Docker runs there, and nobody "
            "could stop what may write: `infisical-iac apply` brings it back first"
        )
    if away := [node.name for node in cluster.nodes if not node.up]:
        raise Refusal(
            f"{', '.join(away)} can't be reached, and would keep the cluster's keys and data: "
            "bring it back, or have a new host take its place with `infisical-iac apply`, first"
        )


@deploy("Proof")
def prove(known: Preflight, direction: Direction) -> None:
    """Prove that people and machines get in, and end the move."""
    if known.leads:
        proof(
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
        dissolution(names=[*others, host.name], name="End the cluster")
