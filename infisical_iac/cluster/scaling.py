"""Move Infisical from a single host into a cluster, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.agent import ending
from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.dump import make_dump
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.snapshot import parse_rows
from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.manifest import Manifest
from infisical_iac.cluster import membership, stack, stack_plan, swarm
from infisical_iac.cluster.deploy import prepare, remove_unused_secrets, roll_out
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import ClusterSite, cluster_site_of
from infisical_iac.cluster.validation import refuse_scale_in, refuse_scale_out
from infisical_iac.core import audit, journal
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.change import Change
from infisical_iac.core.connection import current, with_others
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.operation import Commands, Refusal, planned_operation, record_run, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.firewall import end_egress
from infisical_iac.host.site import Site
from infisical_iac.stack import compose, edge, session
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.deploy import given_secrets, ingress, make_keys, run_containers
from infisical_iac.stack.model import given_up_after_proof, parse_after_proof, parse_given_up
from infisical_iac.stack.settings import StackSettings
from infisical_iac.workspace import checks
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace
from infisical_iac.workspace.preflight import Preflight, preflight


def end_swarm(stamp: str) -> list[str]:
    """Remove the cluster's services, and take its hosts out of the swarm, the current one last.

    The other hosts then delete their keys and records; the current host has the same ones. It can
    be repeated after an interruption. Raises CommandFailed.

    Args:
        stamp: the suffix for the names of kept volumes; empty to keep none.

    Returns a sentence on each kept volume.
    """
    # The loop below makes other hosts the current one.
    keeper = host.name
    hosts = sorted(with_others(host), key=lambda each: each.name == keeper)
    perform(question(ending.remove_services), doing="remove the cluster's services")
    for each in hosts:
        with current(each):
            ask(question(ending.await_containers))
    kept = []
    for each in hosts:
        with current(each):
            swarm.leave()
            if each.name == keeper:
                names = question(ending.restore_names)
                perform(names, doing=f"make Docker on {keeper} know its containers")
            data = question(ending.remove_data, stamp=stamp)
            volume = perform(data, doing=f"set the cluster's data on {each.name} aside")
            kept += [f"Kept on {each.name}: volume {volume}."] if volume else []
            if each.name != keeper:
                doing = f"remove the keys from {each.name}"
                perform(question(ending.forget), doing=doing)
    membership.forget()
    return kept


DIRECTORY = "/var/lib/infisical-scale"
PROJECT = "infisical-scale"

Direction = Literal["out", "in"]


@dataclass(frozen=True)
class UnfinishedScaling:
    """A migration that has not ended.

    Attributes:
        stamp: when it began.
        direction: `out` to the cluster, `in` to a single host.
        phase: the last phase that it reached.
    """

    stamp: str
    direction: Direction
    phase: str

    @property
    def is_proven(self) -> bool:
        """Return whether only the old cluster is left to remove, and no rollback is possible."""
        return self.phase == "proven"

    @property
    def is_switched(self) -> bool:
        """Return whether the target serves, and may have been written to since."""
        return self.phase == "switched"

    @property
    def has_served(self) -> bool:
        """Return whether the cluster may have served the data that were moved into it."""
        return self.direction == "out" and self.phase not in ("begun", "paused")


def read_unfinished() -> UnfinishedScaling | None:
    """Return the unfinished migration of the current host, if there is one."""
    found = run(
        script("scale-out", "state"), doing="read the state of a scale-out or scale-in"
    ).split()
    if not found:
        return None
    stamp, direction, phase = found
    return UnfinishedScaling(stamp, "out" if direction == "out" else "in", phase)


def go_back(found: UnfinishedScaling, timeout: int, *, removing_cluster: bool = False) -> list[str]:
    """Undo a migration: start the former services, and return sentences on the result.

    It can be repeated after a failure. Raises a UserError.

    Args:
        timeout: the most seconds that the old services may take to start.
        removing_cluster: whether to remove the target cluster too.
    """
    snapshot.clean(DIRECTORY, PROJECT)
    kept = parse_given_up(do(found.direction, "back", doing="go back").splitlines())
    session.forget()
    data = f"its data of {found.stamp}" if found.is_switched else "all its data"
    if found.direction == "out":
        compose.bring_up()
        _refuse_unhealthy(compose.list_unhealthy(timeout))
        sentences = [f"{host.name} serves as a single host again, with {data}."]
        if removing_cluster:
            # Migrations of earlier versions leave no mark.
            stamp = read_served() or (found.stamp if found.has_served else "")
            sentences += ["The hosts have left the swarm.", *end_swarm(stamp)]
        elif found.has_served:
            what = kept[0] if kept else GivenUp("infisical")
            sentences.append(
                f"In the cluster, {what.describe()}. The next scale-out reports and discards these "
                "data; `infisical-iac scale-out --undo` removes the cluster and keeps them."
            )
    else:
        stack.deploy()
        _refuse_unhealthy(stack.await_services(timeout))
        sentences = [f"The cluster serves again, with {data}."]
    edge.open_on([each.name for each in with_others(host)])
    return [*sentences, *end(found.direction)]


def read_served() -> str:
    """Return the start of the undone migration whose data the cluster has served.

    Empty if the cluster never served, so that it has no data.
    """
    mark = f"{DIRECTORY}/served"
    return run(
        f"cat {mark} 2>/dev/null || true", doing="read whether the cluster has served"
    ).strip()


def _refuse_unhealthy(unhealthy: str) -> None:
    if unhealthy:
        raise CheckFailed(f"the former services are back, but not healthy:\n{unhealthy}")


def do(direction: Direction, name: str, *arguments: str, doing: str) -> str:
    """Run a step of a migration on the host and return its output. Raises CommandFailed."""
    return run(script(f"scale-{direction}", name, *arguments), doing=doing)


def end_cluster(found: UnfinishedScaling) -> list[str]:
    """Remove the cluster that a proven migration has left; it can be repeated after a failure.

    Returns sentences on what is kept. Raises a UserError.
    """
    return [*end_swarm(found.stamp), *end("in")]


def end(direction: Direction) -> list[str]:
    """End a proven or undone migration, and return sentences on what is kept.

    Raises CommandFailed.
    """
    lines = do(direction, "end", doing=f"end the scale-{direction}").splitlines()
    kept = [each for each in lines if each and not each.startswith(("given-up ", "removed "))]
    return [
        *(f"Kept on {host.name}: {each}." for each in kept),
        *given_up_after_proof(*parse_after_proof(lines)),
    ]


_PAUSES = "Infisical pauses while its database is dumped and loaded, and while it starts"

# The results of the checks before a migration by host, and the hosts whose data are proven.
_before: dict[str, Before | None] = {}
_proven: set[str] = set()


def undo(settings: Settings, *, asked: bool) -> bool:
    """Undo an unfinished migration, if there is one, and print the result.

    If the target serves already, it may have been written to. The migration is then left for the
    next run to complete, unless the user asked for --undo.

    Args:
        asked: whether the user asked for --undo; it removes the target cluster too.

    Returns whether an unfinished migration was left to complete.
    """
    found = read_unfinished()
    if found is None:
        if asked:
            _end_unused()
        return False
    event: Literal["scale-out", "scale-in"]
    event = "scale-out" if found.direction == "out" else "scale-in"
    if found.is_switched and not asked:
        echo(
            f"The {event} {found.stamp} was interrupted after its switch: it is completed now.",
            err=True,
        )
        return True
    with audit.record(event, [f"undone: the {event} {found.stamp}"]):
        now, *more = go_back(found, settings.stack.start_timeout, removing_cluster=asked)
    membership.forget()
    echo(f"The {event} {found.stamp} was unfinished. {now}", err=not asked)
    for sentence in more:
        echo(sentence)
    return False


def _end_unused() -> None:
    """Remove an unused cluster next to a single host whose data were never moved."""
    observed = membership.observe_again()
    is_single = observed[host.name].single and not any(each.stack for each in observed.values())
    if not (is_single and any(each.mark for each in observed.values())):
        echo("There is nothing to undo: no scale-out or scale-in is under way.")
        return
    with audit.record("scale-out", ["- swarm"]):
        # The cluster may have served for a while in an undone migration.
        kept = end_swarm(read_served())
    done = "No data had been moved"
    for sentence in [f"{done}. {_describe_single()}", *kept]:
        echo(sentence)


def _describe_single() -> str:
    return f"{host.name} serves as a single host; all hosts have left the swarm."


def end_proven() -> bool:
    """Remove the old cluster of a proven migration, and return whether there was one."""
    found = read_unfinished()
    if found is None or not found.is_proven:
        return False
    with audit.record("scale-in", ["- swarm"]):
        kept = end_cluster(found)
    for sentence in [_describe_single(), *kept]:
        echo(sentence)
    return True


def recover(settings: StackSettings, *, again: str, rest: str, switched: bool) -> str:
    """Roll back a failed migration if it is unfinished, and return a sentence on the result.

    Args:
        again: a sentence on what to do after the rollback.
        rest: the command that completes the rest once the data are proven.
        switched: whether an earlier run has moved the data, which a failure doesn't discard.
    """
    if host.name in _proven:
        return f"The moved data are proven and serve; {rest} completes the rest."
    if switched:
        return (
            "The data stay where they were moved to: run the same command again to continue, or "
            "with --undo to go back to the data from before"
        )
    found = read_unfinished()
    if found is None:
        return f"The data were not touched. {again}"
    return " ".join([*go_back(found, settings.start_timeout), again])


@planned_operation
def outward_migration(*, site: ClusterSite, project: str) -> Commands:
    """Move the single host's data into the cluster, and start the cluster's services.

    The cluster's databases already run. Infisical pauses from the dump to the start; the rows of
    each table are compared. Raises a UserError, with the old data in place.

    Args:
        project: the slug of the project whose secrets are read before and after.
    """
    yield Change("~", "database infisical", f"from this host into the cluster; {_PAUSES}")
    yield step(_move_out, site, project)


def _move_out(site: ClusterSite, project: str) -> None:
    services = stack.render_clients(site)
    _begin("out", site.settings, project)
    _start(stack_plan.select_services(services, {"haproxy"}))
    do("out", "await_haproxy", doing="wait for HAProxy")
    do("out", "pause", doing="pause Infisical")
    found = _dump("out")
    rows = parse_rows(do("out", "load", doing="load the data into the cluster").splitlines())
    manifest.refuse_difference(found, rows)
    _report_rows(rows)
    edge.close_on(site.settings, site.names)
    do("out", "switch", doing="switch to the cluster's database")
    _start(services)
    session.forget()


def _start(services: str) -> None:
    stack.deploy_part(services)


@planned_operation
def inward_migration(*, text: str, settings: Settings, project: str) -> Commands:
    """Move the cluster's data to the current host, which becomes a single host.

    Raises as `outward_migration` does.

    Args:
        text: of compose.yaml, whose images are on the host.
        project: the slug of the project whose secrets are read before and after.
    """
    yield Change("~", "database infisical", f"from the cluster to this host; {_PAUSES}")
    yield step(_move_in, text, settings, project)


def _move_in(text: str, settings: Settings, project: str) -> None:
    _begin("in", settings, project)
    write(f"{DIRECTORY}/compose.yaml", text)
    do("in", "pause", doing="pause Infisical")
    found = _dump("in")
    rows = snapshot.load(DIRECTORY, PROJECT, settings.stack.start_timeout)
    manifest.refuse_difference(found, rows)
    _report_rows(rows)
    edge.close(settings)
    do("in", "switch", f"{PROJECT}_postgres", doing="switch to this host")
    session.forget()


def _begin(direction: Direction, settings: Settings, project: str) -> None:
    _before[host.name] = checks.record_before(settings, project, settings.stack.http_port)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    do(direction, "begin", stamp, direction, doing=f"begin the scale-{direction}")


def _report_rows(rows: Mapping[str, int]) -> None:
    journal.current().operator_notes.append(
        f"Compared: {len(rows)} tables with {sum(rows.values())} rows, the same on both sides."
    )


def _dump(direction: Direction) -> Manifest:
    """Dump the database that served until now.

    Both databases are on this host, so the call names the one to dump.
    """
    source = "single" if direction == "out" else "swarm"
    made = question(make_dump, folder=f"{DIRECTORY}/dump", topology=source)
    perform(made, doing="dump the database")
    return manifest.parse(do(direction, "take", doing="use the dump"))


@planned_operation
def proof(
    direction: Direction, *, settings: Settings, project: str, names: Sequence[str]
) -> Commands:
    """Log in and read every secret as before, then open the edge, which was closed for the switch.

    A scale-out ends with it. Raises CheckFailed.
    """
    yield step(_prove, direction, settings, project, names)


def _prove(direction: Direction, settings: Settings, project: str, names: Sequence[str]) -> None:
    # For a resumed migration it is unknown which secrets could be read before it, but the deployer
    # must be able to log in.
    before = _before.get(host.name, Before({}, public=False))
    out = direction == "out"
    # The settings of the topology that serves now, as its secrets are checked.
    serving = settings.with_values(topology="swarm" if out else "single")
    sentences = checks.check_as_before(
        serving,
        project,
        before,
        port=settings.stack.http_port,
        same_data=True,
        open_edge=partial(edge.open_on, names) if out else edge.open_,
    )
    snapshot.clean(DIRECTORY, PROJECT)
    journal.current().operator_notes += sentences
    if direction == "in":
        do(direction, "proven", doing="record that the data are proven")
    else:
        journal.current().operator_notes += end(direction)
    _proven.add(host.name)


@planned_operation
def cluster_removal(names: Sequence[str]) -> Commands:
    """Remove the cluster from which Infisical has moved to the current host.

    Args:
        names: the hosts, in the order in which they leave the swarm.
    """
    for name in names:
        yield Change("-", f"{name} in the swarm")
    yield step(_remove_cluster)


def _remove_cluster() -> None:
    if found := read_unfinished():
        journal.current().operator_notes += end_cluster(found)


def scaling_out(*, switched: bool = False) -> None:
    """Create the cluster next to the single host, move the data, and deploy as usual.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-out"
    known = preflight(scaling=True, check=_check(refuse_scale_out, switched=switched))
    given_secrets(known=known)
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
    end_egress(known=known)
    record_run()


def scaling_in(*, switched: bool = False) -> None:
    """Move the data to the leader, prove them there, and remove the cluster.

    Args:
        switched: whether an earlier run has moved the data already.
    """
    journal.current().event = "scale-in"
    check = _check(refuse_scale_in, switched=switched)
    known = preflight(scaling=True, leaving=True, check=check)
    given_secrets(known=known)
    move_in(known=known, switched=switched)
    prove(known=known, direction="in")
    remove_cluster(known=known)
    record_run()


def _check(refuse: Callable[[Cluster], None], *, switched: bool) -> Callable[[Site], None]:
    """Return a check that refuses a site for a migration, unless the data were moved already."""

    def check(site: Site) -> None:
        assert isinstance(site, ClusterSite)
        if not switched:
            refuse(site.cluster)

    return check


@deploy("Migration")
def move_out(known: Preflight, *, switched: bool) -> None:
    """Start the cluster's databases, and move the data of the single host into them."""
    prepare(known)
    if not known.leads or switched:
        return
    site = cluster_site_of(known)
    stack.databases(site=site, name="Start the cluster's databases")
    project = known.workspace.project.slug
    outward_migration(site=site, project=project, name="Move the data into the cluster")


@deploy("Stack")
def take_over(known: Preflight) -> None:
    """Roll out the whole cluster, on the data that it has now."""
    roll_out(known)


@deploy("Migration")
def move_in(known: Preflight, *, switched: bool) -> None:
    """Move the cluster's data to the leader, which becomes a single host."""
    if not known.leads:
        return
    refuse_unreachable(cluster_site_of(known).cluster)
    # The settings may ask for a secret that no deploy has stored yet.
    make_keys(known, known.admin_password)
    single = known.settings.with_values(topology="single")
    compose.image_set(
        images=single.images, sources=compose.sources_of(single.stack), name="Fetch the images"
    )
    if not switched:
        inward_migration(
            text=compose_file(single, known.machine),
            settings=single,
            project=known.workspace.project.slug,
            name="Move the data to this host",
        )
    run_containers(single, known.machine)


def refuse_unreachable(cluster: Cluster) -> None:
    """Raise Refusal if a host is unreachable: it would keep the cluster's keys and data."""
    if lost := [node.name for node in cluster.nodes if node.is_cut_off]:
        raise Refusal(
            f"the swarm considers {', '.join(lost)} down although Docker runs there, so the "
            "containers there could go on writing: `infisical-iac apply` brings it back first"
        )
    if unreachable := [node.name for node in cluster.nodes if not node.up]:
        raise Refusal(
            f"{', '.join(unreachable)} can't be reached, and would keep the cluster's keys and "
            "data: bring it back first, or replace the host by a new one with `infisical-iac apply`"
        )


@deploy("Proof")
def prove(known: Preflight, direction: Direction) -> None:
    """Prove that people and machines can log in, and end the migration."""
    if known.leads:
        proof(
            direction=direction,
            settings=known.settings,
            project=known.workspace.project.slug,
            names=known.site.names,
            name="Prove that every secret is read as before",
        )
    if direction == "out":
        # Not before the proof: the single host may have to serve again, and uses these secrets.
        remove_unused_secrets(known)


@deploy("End")
def remove_cluster(known: Preflight) -> None:
    """Remove the cluster; the leader, now a single host, is the last to leave the swarm."""
    if known.leads:
        others = [each for each in known.site.names if each != host.name]
        cluster_removal(names=[*others, host.name], name="Remove the cluster")
