"""Manage the stack on the Swarm: images, tasks, services and networks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyinfra.context import host

from infisical_iac.change import releases
from infisical_iac.cluster import etcd, rollout, stack_file, stack_plan
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import ClusterSite, desired_stack, observe_stack
from infisical_iac.cluster.stack_state import (
    RECORD,
    ClusterStackState,
    NodeTasks,
    Task,
    record_text,
)
from infisical_iac.core import files, journal
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.files import File
from infisical_iac.core.images import Images
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.stack import compose, session
from infisical_iac.stack.model import parse_compose
from infisical_iac.stack.pull import ImageSources
from infisical_iac.stack.settings import StackSettings
from infisical_iac.stack.state import STACK_FILE, Stack, Upgrades

NO_SWARM = "the services can be inspected once the hosts form a Swarm"


@planned_operation
def node_images(settings: Settings) -> Commands:
    """Load or pull the images of the settings on this node.

    The images of a refused version are not fetched, as the running version stays.
    """
    images = settings.images
    missing = host.get_fact(Stack, compose="", images=list(images)).missing(images)
    if missing and _is_refused(settings.stack):
        missing = [each for each in missing if each != settings.stack.infisical_reference]
    yield from decide_images(missing, compose.sources_of(settings.stack))


def decide_images(missing: Sequence[str], sources: ImageSources) -> Commands:
    """Plan to fetch the images that are `missing` on the node."""
    if not missing:
        yield UpToDate("all images are on the node")
        return
    for image in missing:
        yield Change("+", f"image {image}")
    yield step(compose.fetch, missing, sources)


def _is_refused(settings: StackSettings) -> bool:
    """Return whether the running version can't be changed to the one of the settings."""
    was = host.get_fact(Upgrades, desired=settings.infisical_reference).was
    if was is None:
        return False
    try:
        releases.refuse_change(was, Images(settings.infisical_reference, was.postgres))
    except Refused:
        return True
    return False


@planned_operation
def node_tasks(site: ClusterSite) -> Commands:
    """Free stuck tasks on this node: paused, disconnected, or cut off from the databases.

    Swarm notices neither a container that somebody paused nor one that was disconnected, and its
    health check only shows that Infisical answers.
    """
    text = desired_stack(site, ClusterStackState()).text
    tasks: tuple[Task, ...] = host.get_fact(NodeTasks)
    stuck = stack_file.find_stuck(tasks, text)
    if stuck:
        output = run(script("node-tasks", "attached"), doing="read the networks of the services")
        stuck = stack_file.find_stuck(tasks, text, stack_file.parse_attached(output))
    yield from decide_tasks(stuck)


def decide_tasks(stuck: Mapping[Task, str]) -> Commands:
    """Plan to free the tasks in `stuck`, which maps each to its reason."""
    if not stuck:
        yield UpToDate("the tasks on the node run in their networks")
        return
    for task, reason in stuck.items():
        yield Change("~", f"container {task.service}", reason)
    freeing = script("node-tasks", "free", *(task.id for task in stuck))
    yield step(run, freeing, doing="free the node's stuck tasks")


@planned_operation
def services(site: ClusterSite) -> Commands:
    """Roll out the services, secrets and configs of the stack as `site` describes them.

    Harmless steps come first: Docker validates the new stack.yaml before it replaces the old one.
    Swarm rolls back a service that does not become healthy, and the old version goes on serving.
    Replaced secrets and configs are removed only after a successful roll-out. If a change of
    version was refused, the running version stays.

    Raises CheckFailed with the reason after a rollback, or if a service does not run within
    `start_timeout` for each of its replicas.
    """
    if kept := journal.current().kept:
        site = replace(site, settings=site.settings.keeping(kept))
    yield from decide(site, observe_stack(site.settings))


def decide(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Plan the roll-out, by the actual stack in `found`."""
    desired = desired_stack(site, found)
    file = File(STACK_FILE, desired.text, mode="600")
    there = found.files.get(STACK_FILE)
    changes = list(stack_plan.list_changes(found, desired)) if found.manager else []
    if found.manager and file.matches(there) and not changes:
        yield UpToDate("all services match stack.yaml and are healthy")
        return
    if site.cluster.is_etcd_reset:
        yield Change(
            "~", "etcd", f"has lost its quorum → bootstrapped again, empty; {_describe_first(site)}"
        )
    if found.manager and (ahead := stack_plan.find_tls_change(found)):
        yield ahead
    if there is None and not found.services:
        yield Change("+", file.path)
        yield from (
            Change("+", f"service {name}") for name in parse_compose(desired.text)["services"]
        )
    elif not (found.engine and found.manager):
        yield Unknown(NO_SWARM if found.engine else session.NO_ENGINE)
    else:
        if not file.matches(there):
            yield files.difference(file, there)
        yield from changes
    yield step(rollout.roll_out, site)


def _describe_first(site: ClusterSite) -> str:
    if not site.cluster.first:
        return "PostgreSQL keeps running"
    first = next(each.name for each in site.cluster.nodes if each.number == site.cluster.first)
    return f"PostgreSQL starts first on {first}, which has every write"


@planned_operation
def databases(site: ClusterSite) -> Commands:
    """Start the databases without the services that use them: a single host still serves.

    Raises CheckFailed as `services` does.
    """
    yield from decide_databases(site, observe_stack(site.settings))


def decide_databases(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Plan to start the databases that are not healthy in `found`."""
    missing = stack_plan.unhealthy(found, stack_plan.databases(desired_stack(site, found).text))
    if found.manager and not missing:
        yield UpToDate("the databases run")
        return
    for name in missing:
        yield Change("~" if name in found.services else "+", f"service {name}")
    yield step(rollout.start_databases, site)


_WAITS = "{} can be re-created once all nodes and all etcd members are up: run again then"


@planned_operation
def networks(site: ClusterSite) -> Commands:
    """Re-create networks that differ from `site`.

    Docker can't change a network, nor remove one in use. So the services in it are stopped and
    removed, which keeps their volumes, and started again as they were rolled out last.

    It comes before all other changes of a run, as Swarm could not roll back a new version during
    it. It waits for all nodes, as an unreachable one could still run the services to stop, and for
    all members of etcd. Raises CheckFailed.
    """
    yield from decide_networks(site, cluster_site.observe_stack(site.settings))


def decide_networks(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Plan to re-create the networks that differ."""
    desired = cluster_site.desired_stack(site, found)
    changes = [*stack_file.list_network_changes(found.networks, desired.text)]
    if not changes:
        yield UpToDate("the networks match stack.yaml")
        return
    in_parts = stack_plan.choose_first(found, desired, site.cluster)
    if not all(found.nodes) or in_parts or etcd.members_to_replace(site.cluster.nodes):
        yield Unknown(_WAITS.format(join_names(each.what for each in changes)))
        return
    yield from changes
    yield step(_recreate_networks, site)


def _recreate_networks(site: ClusterSite) -> None:
    before = cluster_site.read_stack_again(site)
    desired = cluster_site.desired_stack(site, before).text
    names = frozenset(
        change.what.split()[-1]
        for change in stack_file.list_network_changes(before.networks, desired)
    )
    text = stack_file.with_networks(run(f"cat {STACK_FILE}", doing="read stack.yaml"), desired)
    users = stack_file.network_users(text, names)
    services = " ".join(f"infisical_{name}" for name in sorted(users))
    remove = script("cluster-networks", "remove", services, " ".join(sorted(names)))
    run(remove, doing="remove the networks")
    asked: dict[str, str] = {}
    databases = stack_plan.databases(text)
    # Databases first: the services that use them would otherwise restart again and again.
    for part in (users & databases, users - databases):
        if part:
            timeout = 2 * site.settings.stack.start_timeout
            asked |= rollout.roll_out_part(text, part, timeout)
        if part & databases:
            run(script("cluster-networks", "await_master", "120"), doing="wait for Redis")
    rollout.wait_for_majority()
    write(RECORD, record_text(stack_plan.renew_record(before, asked, users)))
