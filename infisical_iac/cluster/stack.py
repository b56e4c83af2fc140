"""The stack on the Swarm: its images on each node, and its services as stack.yaml says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import yaml
from pyinfra.context import host

from infisical_iac.change import path
from infisical_iac.cluster import etcd, rollout, stack_file, stack_plan
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import ClusterSite, look, wanted_stack
from infisical_iac.cluster.stack_state import (
    RECORD,
    ClusterStackState,
    NodeTasks,
    Task,
    record_text,
)
from infisical_iac.core import files, journal
from infisical_iac.core.errors import Refused
from infisical_iac.core.files import File
from infisical_iac.core.images import Images
from infisical_iac.core.item import Item, Unknown, UpToDate
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import compose, session
from infisical_iac.stack.containers import Stack
from infisical_iac.stack.settings import StackSettings
from infisical_iac.stack.state import STACK_FILE, Upgrades

NO_SWARM = "the services can be looked at once the hosts are a Swarm"


@telling_operation
def node_images(settings: Settings) -> Commands:
    """Have the images of the settings on this node, of archives or pulled.

    Those of a version that can't be changed to are not fetched: the one that runs stays.
    """
    images = settings.images
    missing = host.get_fact(Stack, compose="", images=list(images)).missing(images)
    if missing and _is_refused(settings.stack):
        missing = [each for each in missing if each != settings.stack.infisical_reference]
    yield from decide_images(missing, settings.stack.image_archives)


def decide_images(missing: Sequence[str], archives: Sequence[str]) -> Commands:
    """Decide which images are to be fetched, by those that the node lacks."""
    if not missing:
        yield UpToDate("all images are on the node")
        return
    for image in missing:
        yield Item("+", f"image {image}")
    yield step(compose.fetch, missing, archives)


def _is_refused(settings: StackSettings) -> bool:
    """Return whether the node tells that the version of the settings can't be changed to."""
    was = host.get_fact(Upgrades, wanted=settings.infisical_reference).was
    if was is None:
        return False
    try:
        path.refuse(was, Images(settings.infisical_reference, was.postgres))
    except Refused:
        return True
    return False


@telling_operation
def node_tasks(site: ClusterSite) -> Commands:
    """Have the tasks on this node run, each in its networks, and Infisical with its databases.

    Swarm tells neither of a container that somebody paused nor of one that was disconnected, and
    only whether Infisical answers.
    """
    text = wanted_stack(site, ClusterStackState()).text
    tasks: tuple[Task, ...] = host.get_fact(NodeTasks)
    stuck = stack_file.find_stuck(tasks, text)
    if stuck:
        told = run(script("node-tasks", "attached"), doing="see the networks of the services")
        stuck = stack_file.find_stuck(tasks, text, stack_file.parse_attached(told))
    yield from decide_tasks(stuck)


def decide_tasks(stuck: Mapping[Task, str]) -> Commands:
    """Decide which tasks are to be freed, by those that are `stuck`, with the reasons."""
    if not stuck:
        yield UpToDate("the tasks on the node run in their networks")
        return
    for task, reason in stuck.items():
        yield Item("~", f"container {task.service}", reason)
    freeing = script("node-tasks", "free", *(task.id for task in stuck))
    yield step(run, freeing, doing="let the node's tasks run")


@telling_operation
def services(site: ClusterSite) -> Commands:
    """Bring the services, secrets and configs of the stack to what `site` says.

    What can fail without harm comes first: Docker reads the new stack.yaml before it takes the
    place of the old one. Swarm brings back what does not get healthy, and the old version goes on
    serving; then, and where a service does not run within `start_timeout` for each of its
    replicas, CheckFailed is raised with the reason. Only after a good roll-out are the secrets
    and configs removed that it has replaced. Where a change of version was refused, the version
    that runs stays.
    """
    if kept := journal.current().kept:
        site = replace(site, settings=site.settings.keeping(kept))
    yield from decide(site, look(site.settings.images))


def decide(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Decide what is to be rolled out, by what is found of the stack."""
    to_be = wanted_stack(site, found)
    file = File(STACK_FILE, to_be.text, mode="600")
    there = found.files.get(STACK_FILE)
    items = list(stack_plan.items(found, to_be)) if found.manager else []
    if found.manager and file.matches(there) and not items:
        yield UpToDate("all services are as stack.yaml says, and healthy")
        return
    if site.cluster.anew:
        yield Item("~", "etcd", f"has lost its quorum → begins anew, empty; {_goes_on(site)}")
    if found.manager and (ahead := stack_plan.tls_item(found)):
        yield ahead
    if there is None and not found.services:
        yield Item("+", file.path)
        yield from (Item("+", f"service {name}") for name in yaml.safe_load(to_be.text)["services"])
    elif not (found.engine and found.manager):
        yield Unknown(NO_SWARM if found.engine else session.NO_ENGINE)
    else:
        if not file.matches(there):
            yield files.difference(file, there)
        yield from items
    yield step(rollout.roll_out, site)


def _goes_on(site: ClusterSite) -> str:
    if not site.cluster.first:
        return "PostgreSQL goes on"
    first = next(each.name for each in site.cluster.nodes if each.number == site.cluster.first)
    return f"PostgreSQL starts first on {first}, which has every write"


@telling_operation
def databases(site: ClusterSite) -> Commands:
    """Have the databases run, and nothing yet that asks them: a single host serves meanwhile.

    Raises CheckFailed as `services` does.
    """
    yield from decide_databases(site, look(site.settings.images))


def decide_databases(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Decide which databases are to be started, by what is found of the stack."""
    missing = stack_plan.unhealthy(found, stack_plan.databases(wanted_stack(site, found).text))
    if found.manager and not missing:
        yield UpToDate("the databases run")
        return
    for name in missing:
        yield Item("~" if name in found.services else "+", f"service {name}")
    yield step(rollout.start_databases, site)


_WAITS = "{} can be made anew once all nodes and all of etcd are there: run again then"


@telling_operation
def networks(site: ClusterSite) -> Commands:
    """Have networks as `site` says: Docker changes none, and removes none that is in use.

    So what is in one that differs is stopped and removed, which leaves its volumes, and started
    again as it was rolled out last. It comes before what else the run changes, for a version that
    does not get healthy could not be taken back then. It waits for all nodes, as one that is away
    could still run what is to be stopped, and for etcd's members. Raises CheckFailed.
    """
    yield from decide_networks(site, cluster_site.look(site.settings.images))


def decide_networks(site: ClusterSite, found: ClusterStackState) -> Commands:
    """Decide which networks are to be made anew, by what is found of them."""
    to_be = cluster_site.wanted_stack(site, found)
    items = [*stack_file.network_items(found.networks, to_be.text)]
    if not items:
        yield UpToDate("the networks are as stack.yaml says")
        return
    in_parts = stack_plan.leading(found, to_be, site.cluster)
    if not all(found.nodes) or in_parts or etcd.members_to_replace(site.cluster.nodes):
        yield Unknown(_WAITS.format(" and ".join(each.what for each in items)))
        return
    yield from items
    yield step(_make_anew, site)


def _make_anew(site: ClusterSite) -> None:
    before = cluster_site.fresh(site)
    wanted = cluster_site.wanted_stack(site, before).text
    names = frozenset(
        item.what.split()[-1] for item in stack_file.network_items(before.networks, wanted)
    )
    text = stack_file.with_networks(run(f"cat {STACK_FILE}", doing="read stack.yaml"), wanted)
    users = stack_file.network_users(text, names)
    services = " ".join(f"infisical_{name}" for name in sorted(users))
    remove = script("cluster-networks", "remove", services, " ".join(sorted(names)))
    run(remove, doing="take the networks away")
    asked: dict[str, str] = {}
    databases = stack_plan.databases(text)
    # What asks them finds them: it would otherwise start again and again.
    for part in (users & databases, users - databases):
        if part:
            timeout = 2 * site.settings.stack.start_timeout
            asked |= rollout.roll_out_part(text, part, timeout)
        if part & databases:
            run(script("cluster-networks", "settle", "120"), doing="wait for Redis")
    rollout.wait_for_majority()
    write(RECORD, record_text(stack_plan.renew_record(before, asked, users)))
