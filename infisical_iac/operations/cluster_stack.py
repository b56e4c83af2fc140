"""The stack on the Swarm, rolled out by the lead: its secrets, configs and services."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml
from pyinfra.context import host

from infisical_iac.cluster import rollout
from infisical_iac.cluster.nodes import Cluster
from infisical_iac.cluster.rollout import Wanted
from infisical_iac.cluster.stack_file import SECRETS, StackInputs, configs, stack_file
from infisical_iac.errors import UserError
from infisical_iac.facts.cluster_stack import (
    RECORD,
    STACK_FILE,
    ClusterStack,
    ClusterStackState,
    hashes,
    keys_of,
    record_text,
)
from infisical_iac.facts.machine import MachineState
from infisical_iac.facts.stack import Stack
from infisical_iac.operations import etcd, files, journal, patroni, session, stack
from infisical_iac.operations.files import File
from infisical_iac.operations.remote import run, write
from infisical_iac.operations.reopening import reopened
from infisical_iac.operations.telling import Commands, shared, step, telling_operation
from infisical_iac.rendering import script
from infisical_iac.settings import Settings

CONFIGS = "/etc/infisical/stack"
# Seconds for which a container may be unhealthy, and what Swarm needs to act on it.
_TOLERATED = 180
# Seconds for which a data node that was restarted may be away from the others.
_AGAIN_SECONDS = "180"
# Of three members of etcd and as many of PostgreSQL: without them nothing is decided or written.
_MOST = ("2", "2")
NO_SWARM = "the services can be looked at once the hosts are a Swarm"


class RolloutError(UserError):
    """The stack does not come to run as stack.yaml says."""


@dataclass(frozen=True)
class Site:
    """What stack.yaml is rendered from, but for what the lead tells."""

    settings: Settings
    machine: MachineState
    cluster: Cluster


@telling_operation
def images_there(images: Sequence[str], archives: Sequence[str]) -> Commands:
    """Have `images` on this node, of `archives` or pulled."""
    missing = host.get_fact(Stack, compose="", images=list(images)).missing(images)
    if not missing:
        host.noop("all images are on the node")
        return
    for image in missing:
        journal.item("+", f"image {image}")
    yield step(stack.fetch, missing, archives)


@telling_operation
def rolled_out(site: Site) -> Commands:
    """Bring the services, secrets and configs of the stack to what `site` says.

    What can fail without harm comes first: Docker reads the new stack.yaml before it takes the
    place of the old one. Swarm brings back what does not get healthy, and the old version goes on
    serving; then, and where a service does not run within `start_timeout` for each of its
    replicas, RolloutError is raised with the reason. Only after a good roll-out are the secrets
    and configs removed that it has replaced.
    """
    found = look(site.settings.images)
    wanted = _wanted(site, found)
    file = File(STACK_FILE, wanted.text, mode="600")
    there = found.files.get(STACK_FILE)
    items = list(rollout.items(found, wanted)) if found.manager else []
    if found.manager and file.matches(there) and not items:
        host.noop("all services are as stack.yaml says, and healthy")
        return
    if site.cluster.anew:
        journal.item("~", "etcd", "has lost its quorum → begins anew, empty; PostgreSQL goes on")
    _tell(file, found, wanted)
    yield step(roll_out, site)


@telling_operation
def databases_there(site: Site) -> Commands:
    """Have the databases run, and nothing yet that asks them: a single host serves meanwhile.

    Raises RolloutError as `rolled_out` does.
    """
    found = look(site.settings.images)
    missing = rollout.unwell(found, rollout.databases(text(site, found)))
    if found.manager and not missing:
        host.noop("the databases run")
        return
    for name in missing:
        journal.item("~" if name in found.services else "+", f"service {name}")
    yield step(_roll_out_databases, site)


def look(images: Sequence[str]) -> ClusterStackState:
    """The stack as the lead sees it; for operations."""
    return shared(ClusterStack, images=list(images), secrets=SECRETS)


def text(site: Site, found: ClusterStackState) -> str:
    """What stack.yaml is to say."""
    return _wanted(site, found).text


def inputs(site: Site, found: ClusterStackState) -> StackInputs:
    """What stack.yaml is rendered from, of what the lead tells.

    Before the first roll-out, what is not known yet stands for itself.
    """
    start: Mapping[str, tuple[str, ...]] = defaultdict(tuple, found.start)
    return StackInputs(
        numbers=site.cluster.numbers,
        existing=site.cluster.existing,
        generation=site.cluster.generation,
        nodes=len(site.cluster.nodes),
        ipvs=site.cluster.ipvs,
        esp=site.cluster.esp,
        secrets={
            purpose: found.secrets.get(purpose, f"{purpose}_{'0' * 12}") for purpose in SECRETS
        },
        start=start,
    )


def _wanted(site: Site, found: ClusterStackState) -> Wanted:
    given = inputs(site, found)
    return Wanted(
        text=stack_file(site.settings, site.machine, given),
        configs=configs(site.settings, given),
        secrets=frozenset(given.secrets.values()),
    )


def _tell(file: File, found: ClusterStackState, wanted: Wanted) -> None:
    if STACK_FILE not in found.files and not found.services:
        journal.item("+", file.path)
        for service in yaml.safe_load(wanted.text)["services"]:
            journal.item("+", f"service {service}")
        return
    if not found.engine or not found.manager:
        journal.unknown(NO_SWARM if found.engine else session.NO_ENGINE)
        return
    if not file.matches(found.files.get(STACK_FILE)):
        files.tell(file, found.files.get(STACK_FILE))
    journal.items(rollout.items(found, wanted))


def _roll_out_databases(site: Site) -> None:
    _, wanted = _prepared(site)
    names = rollout.databases(wanted.text)
    part(rollout.part(wanted.text, names), names, site.settings.start_timeout)


def asking(site: Site) -> str:
    """What stack.yaml says of the services that ask the databases.

    The lead has what they start with then. Raises RolloutError.
    """
    _, wanted = _prepared(site)
    return rollout.part(wanted.text, wanted.rendered().keys() - rollout.databases(wanted.text))


def _prepared(site: Site) -> tuple[ClusterStackState, Wanted]:
    """Have secrets and configurations on the host; what is there, and what is to be."""
    run(script("cluster-stack", "secrets", keys_of(SECRETS)), doing="make the stack's secrets")
    # Earlier steps brought images, keys and nodes.
    before = fresh(site)
    if not before.manager:
        raise RolloutError("the Swarm does not answer: most of its managers have to be up")
    wanted = _wanted(site, before)
    for name, text in wanted.configs.items():
        write(f"{CONFIGS}/{name}", text)
    return before, wanted


def roll_out(site: Site) -> None:
    """Do it; raises RolloutError where `rolled_out` would fail."""
    reopened(site.cluster)
    before, wanted = _prepared(site)
    old = run(f"cat {STACK_FILE} 2>/dev/null || true", doing=f"read {STACK_FILE}")
    check = script("cluster-stack", "check", "{}").replace("'{}'", "{}")
    write(STACK_FILE, wanted.text, mode="600", check=check)
    _try_again(before)
    timeout = _timeout(site.settings, first=not before.services)
    first = rollout.leading(before, wanted, site.cluster)
    if site.cluster.anew:
        etcd.end_lost(site.cluster)
    if first:
        part(rollout.part(wanted.text, first, before.nodes), first, timeout)
        run(script("etcd", "led", _AGAIN_SECONDS), doing="see who is the primary")
    stages = rollout.stages(before, wanted, first)
    well = run(script("cluster-stack", "data"), doing="see who keeps data")
    again = ("again", _AGAIN_SECONDS, *well.split())
    # First, for it decides whether what is acknowledged meanwhile is kept.
    seconds = patroni.merged(before.patroni, wanted.patroni())
    for names in stages:
        asked = part(rollout.part(wanted.text, names, before.nodes), names, timeout)
        _refuse_rollback(site, asked, old)
        # As many as before, for what is rolled out may be what mends the others.
        back = script("cluster-stack", *again)
        run(back, doing="see the data node back before the next one changes")
    asked = hashes(run(script("cluster-stack", "up"), doing="roll the services out"))
    _await(timeout)
    most_well()
    after = _refuse_rollback(site, asked, old)
    # Where it could not be seen before.
    seconds = max(seconds, patroni.merged(after.patroni, wanted.patroni()))
    if seconds or after.patroni.waiting:
        patroni.restarted(seconds, again)
    write(RECORD, record_text(rollout.recorded(after, wanted, asked)))
    _try_again(after)
    kept = [*wanted.secrets, *wanted.configs]
    run(script("cluster-stack", "clean", *kept), doing="remove what the roll-out replaced")


def part(text: str, names: Iterable[str], timeout: int) -> dict[str, str]:
    """Roll out the services `names`, which make up stack.yaml with `text`, and await them.

    Returns the hash of each service as it was asked for. Raises RolloutError.
    """
    deploy = script("cluster-stack", "part")
    asked = hashes(run(deploy, doing="roll a part of the services out", stdin=text))
    _await(timeout, names)
    return asked


def most_well() -> None:
    """Wait until most of those who keep data are well. Raises CommandFailed."""
    run(script("cluster-stack", "again", _AGAIN_SECONDS, *_MOST), doing="see most of the data well")


def _timeout(settings: Settings, *, first: bool) -> int:
    """The seconds that a roll-out may take: replicas start one by one, and one that is not
    healthy is let go on for a while before Swarm gives it up and goes back."""
    return (settings.start_timeout + _TOLERATED) * (1 if first else 1 + settings.infisical_replicas)


def _await(timeout: int, names: Iterable[str] = ()) -> None:
    named = [f"infisical_{name}" for name in sorted(names)]
    unwell = run(script("cluster-stack", "wait", str(timeout), *named), doing="wait for the stack")
    if unwell:
        hint = ""
        if "Read-only file system" in unwell:
            hint = "; this image writes to its root: set infisical_read_only = False"
        raise RolloutError(f"the stack does not become healthy{hint}:\n{unwell}")


def _try_again(found: ClusterStackState) -> None:
    if any(service.waiting for service in found.services.values()):
        run(script("cluster-stack", "anew"), doing="have Swarm try again what waits for a node")


def fresh(site: Site) -> ClusterStackState:
    """The stack as it is now, after a change that no operation has told of yet."""
    return host.get_fact(ClusterStack, images=list(site.settings.images), secrets=SECRETS)


def _refuse_rollback(site: Site, asked: Mapping[str, str], old: str) -> ClusterStackState:
    """What is there now, if nothing of it is what Swarm went back to; RolloutError otherwise."""
    found = fresh(site)
    if back := rollout.rolled_back(found, asked):
        _went_back(back, old)
    return found


def _went_back(names: Sequence[str], old: str) -> None:
    """Let stack.yaml say again what runs, and tell why."""
    if old:
        write(STACK_FILE, f"{old}\n", mode="600")
    why = "".join(
        run(script("cluster-stack", "why", f"infisical_{name}"), doing="see why") for name in names
    )
    raise RolloutError(
        f"{' and '.join(names)} did not become healthy, so Swarm went back to what ran before, "
        f"which serves:\n{why}"
    )
