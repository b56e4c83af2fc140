"""Manage the stack on the Swarm: images, tasks, services and networks.

The leader rolls it out part by part, and detects rollbacks of the Swarm.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from time import sleep
from typing import Any

from infisical_iac.agent import database, patroni, rollout, tasks
from infisical_iac.agent import etcd as agent_etcd
from infisical_iac.agent import networks as agent_networks
from infisical_iac.agent import services as agent_services
from infisical_iac.agent.maintenance import DataCounts, count_data
from infisical_iac.agent.patroni import PatroniState
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.agent.tasks import Task
from infisical_iac.change import releases
from infisical_iac.cluster import etcd, stack_file, stack_plan
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import ClusterSite, desired_stack, observe_stack, read_stack_again
from infisical_iac.cluster.stack_file import secrets_of
from infisical_iac.cluster.stack_plan import Configuration, DesiredStack, Level
from infisical_iac.cluster.stack_state import (
    RECORD,
    record_text,
)
from infisical_iac.core import connection, files, journal
from infisical_iac.core.agent import ask, inspect, perform, question
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, Refused
from infisical_iac.core.files import File
from infisical_iac.core.images import Images
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.stack import compose, session
from infisical_iac.stack.model import parse_compose
from infisical_iac.stack.pull import ImageSources
from infisical_iac.stack.settings import StackSettings
from infisical_iac.stack.state import STACK_FILE, missing_images, upgrade_question

NO_SWARM = "the services can be inspected once the hosts form a Swarm"


@planned_operation
def node_images(settings: Settings) -> Commands:
    """Load or pull the images of the settings on this node.

    The images of a refused version are not fetched, as the running version stays.
    """
    images = settings.images
    missing = missing_images(images)
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
    was = ask(upgrade_question(settings.infisical_reference)).was
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
    found = inspect(question(tasks.inspect))
    stuck = stack_file.find_stuck(found, text)
    if stuck:
        stuck = stack_file.find_stuck(found, text, ask(question(tasks.list_attached)))
    yield from decide_tasks(stuck)


def decide_tasks(stuck: Mapping[Task, str]) -> Commands:
    """Plan to free the tasks in `stuck`, which maps each to its reason."""
    if not stuck:
        yield UpToDate("the tasks on the node run in their networks")
        return
    for task, reason in stuck.items():
        yield Change("~", f"container {task.service}", reason)
    freeing = question(tasks.free, containers=[task.id for task in stuck])
    yield step(perform, freeing, doing="free the node's stuck tasks")


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
    yield step(roll_out, site)


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
    yield step(start_databases, site)


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
    services = [f"infisical_{name}" for name in sorted(users)]
    remove = question(agent_networks.remove, services=services, networks=sorted(names))
    perform(remove, doing="remove the networks")
    asked: dict[str, str] = {}
    databases = stack_plan.databases(text)
    # Databases first: the services that use them would otherwise restart again and again.
    for part in (users & databases, users - databases):
        if part:
            timeout = 2 * site.settings.stack.start_timeout
            asked |= roll_out_part(text, part, timeout)
        if part & databases:
            ask(question(agent_networks.await_master, seconds=120))
    wait_for_majority()
    write(RECORD, record_text(stack_plan.renew_record(before, asked, users)))


# A standby may need another restart once the primary has a lower value than the standby.
_ROUNDS = 2
# Patroni's default for its `loop_wait`, in seconds.
_LOOP_WAIT = 10


def merge_configuration(found: PatroniState, desired: Configuration) -> int:
    """Send the differences to Patroni.

    Returns the seconds until each member knows whether its PostgreSQL needs a restart for the
    differences; 0 if none can need one. Raises CommandFailed.
    """
    changes = stack_plan.build_patroni_patch(found, desired)
    if changes:
        sent = question(patroni.configure, changes=changes)
        perform(sent, doing="change Patroni's configuration")
    if "postgresql" not in changes:
        return 0
    # Each member reads the configuration every `loop_wait` seconds, the old value or the new one.
    waits = [each.get("loop_wait") for each in (found.configuration or {}, desired)]
    return 2 * max(wait if isinstance(wait, int) else _LOOP_WAIT for wait in waits)


def restart_waiting(seconds: int, again: DataCounts) -> None:
    """Restart each PostgreSQL that waits for a restart, one after the other.

    The primary is the last and stays the primary: nothing can be written for the seconds of its
    restart. Raises CommandFailed.

    Args:
        seconds: how long to wait until the members know that they need a restart.
        again: how many data services must be healthy after each restart.
    """
    sleep(seconds)
    for _ in range(_ROUNDS):
        for name in ask(question(patroni.inspect)).waiting:
            restart = question(patroni.restart, member=name)
            perform(restart, doing=f"restart PostgreSQL, {name}")
            await_data(again)


def reopen_database(cluster: Cluster) -> None:
    """Make the database accept the password in the current host's key file.

    Then every connected node with that password removes the old or next one. Raises CommandFailed.
    """
    if not perform(question(database.reopen), doing="make the database accept the password"):
        return
    dropping = question(database.drop_other_passwords, hash=ask(question(database.password_hash)))
    for node in cluster.connected_nodes:
        if node.number:
            with connection.on(node.name):
                perform(dropping, doing="remove the other password of an ended rotation")


CONFIGS = "/etc/infisical/stack"
# Twice the seconds for which a replica may fail its health check, `patience` in
# templates/cluster/stack/infisical.yaml.j2, so that Swarm acts on it first.
TOLERATED = 360
# Seconds that a restarted data node may need to rejoin the others.
_AGAIN_SECONDS = 180
_REPLICAS = frozenset({"infisical"})
# A majority of three members of etcd and of PostgreSQL: without it nothing can be written.
_MOST = DataCounts(2, 2)


def roll_out(site: ClusterSite) -> None:
    """Roll out the whole stack as `site` describes it. Raises CheckFailed.

    A cluster without TLS gets it in several complete roll-outs, one for each level.
    """
    reopen_database(site.cluster)
    found = read_stack_again(site)
    changes_to_tls = stack_plan.tls_level(found) < Level.REQUIRED
    for level in stack_plan.levels_ahead(found):
        # An etcd that is bootstrapped again has the addresses of the level already.
        if changes_to_tls and level > Level.OFFERED and not site.cluster.is_etcd_reset:
            perform(question(agent_etcd.secure), doing="make etcd's members use TLS")
        _roll_out(replace(site, tls=level))
        site = replace(site, cluster=replace(site.cluster, is_etcd_reset=False))


def _roll_out(site: ClusterSite) -> None:
    before, desired = _prepare(site)
    old = run(f"cat {STACK_FILE} 2>/dev/null || true", doing=f"read {STACK_FILE}")
    perform(question(rollout.store, text=desired.text), doing=f"write {STACK_FILE}")
    _try_again(before)
    timeout = _timeout(site.settings, first=not before.services)
    first = stack_plan.choose_first(before, desired, site.cluster)
    if site.cluster.is_etcd_reset:
        etcd.remove_lost_etcd(site.cluster)
    if first:
        roll_out_part(desired.text, first, timeout, before.nodes)
        ask(question(agent_etcd.await_primary, seconds=_AGAIN_SECONDS))
    together = stack_plan.changing_together(before, site.tls)
    stages = stack_plan.plan_stages(before, desired, first | together)
    again = ask(question(count_data))
    # First, as this configuration decides whether writes acknowledged during the roll-out are kept.
    seconds = merge_configuration(before.patroni, desired.patroni())
    if together := together - first:
        roll_out_part(desired.text, together, timeout, before.nodes)
    for names in stages:
        asked = roll_out_part(desired.text, names, timeout, before.nodes)
        _refuse_rollback(site, asked, old)
        # As many as before: members that were unhealthy before may need this roll-out to recover.
        await_data(again)
    asked = deploy()
    _await(timeout)
    wait_for_majority()
    after = _refuse_rollback(site, asked, old)
    # Again, as Patroni may not have answered before.
    seconds = max(seconds, merge_configuration(after.patroni, desired.patroni()))
    if seconds or after.patroni.waiting:
        restart_waiting(seconds, again)
    write(RECORD, record_text(stack_plan.make_record(after, desired, asked)))
    _try_again(after)
    kept = [*desired.secrets, *desired.configs]
    perform(question(rollout.clean, kept=kept), doing="remove what the roll-out replaced")


def deploy() -> dict[str, str]:
    """Roll out stack.yaml, and return the hash of each service as requested."""
    return perform(question(rollout.deploy), doing="roll the services out")


def await_data(counts: DataCounts) -> None:
    """Wait until that many members of etcd and PostgreSQLs are healthy. Raises CommandFailed."""
    ask(
        question(
            rollout.await_data,
            seconds=_AGAIN_SECONDS,
            etcd=counts.etcd,
            postgres=counts.postgres,
        )
    )


def start_databases(site: ClusterSite) -> None:
    """Roll out only the databases. Raises CheckFailed."""
    _, desired = _prepare(site)
    names = stack_plan.databases(desired.text)
    roll_out_part(desired.text, names, site.settings.stack.start_timeout)


def render_clients(site: ClusterSite) -> str:
    """Return the part of stack.yaml with the services that use the databases.

    Their secrets and configs are on the leader afterwards. Raises CheckFailed.
    """
    _, desired = _prepare(site)
    return stack_plan.select_services(
        desired.text, desired.hash_services().keys() - stack_plan.databases(desired.text)
    )


def require_tls(site: ClusterSite) -> None:
    """Roll out what runs with TLS, if an earlier version has rolled it out without.

    A change of version rolls out only the replicas of Infisical, which then require it.
    """
    if stack_plan.tls_level(read_stack_again(site)) < Level.REQUIRED:
        roll_out(cluster_site.keep_running_version(site))


def render_replicas(site: ClusterSite) -> dict[str, Any]:
    """Return what the leader needs to roll out only the replicas of Infisical by itself.

    Their secrets and configs are on the leader afterwards. Raises CheckFailed.

    Returns:
        The text of `stack`.yaml and its `part` with the replicas, the hash of that as `rendered`,
        and the most `roll_seconds` that it takes.
    """
    before, desired = _prepare(site)
    return {
        "stack": desired.text,
        "part": stack_plan.select_services(desired.text, _REPLICAS, before.nodes),
        "rendered": desired.hash_services()["infisical"],
        "roll_seconds": _timeout(site.settings, first=False),
    }


def read_replicas(site: ClusterSite) -> dict[str, str]:
    """Return the text of the leader's stack.yaml and its part with the replicas, as they run."""
    text = f"{run(f'cat {STACK_FILE}', doing=f'read {STACK_FILE}')}\n"
    part = stack_plan.select_services(text, _REPLICAS, read_stack_again(site).nodes)
    return {"old_stack": text, "old_part": part}


def _prepare(site: ClusterSite) -> tuple[ClusterStackState, DesiredStack]:
    """Create secrets and configs on the host; return the actual and the desired stack.

    Raises CheckFailed if the Swarm has no majority.
    """
    secrets = question(rollout.make_secrets, secrets=secrets_of(site.settings))
    perform(secrets, doing="make the stack's secrets")
    # Read again: earlier steps may have added images, keys and nodes.
    before = read_stack_again(site)
    if not before.manager:
        raise CheckFailed(
            "the Swarm has no majority: start Docker on most of its managers (`systemctl start "
            "docker`)"
        )
    desired = desired_stack(site, before)
    for name, text in desired.configs.items():
        write(f"{CONFIGS}/{name}", text)
    return before, desired


def roll_out_part(
    text: str, names: AbstractSet[str], timeout: int, nodes: Sequence[bool] = ()
) -> dict[str, str]:
    """Roll out some services of a stack.yaml, and wait until they are healthy.

    Args:
        text: of stack.yaml.
        names: the services to roll out.
        timeout: the most seconds to wait.
        nodes: as for `select_services`.

    Returns the hash of each service as requested. Raises CheckFailed.
    """
    part = stack_plan.select_services(text, names, nodes)
    asked = deploy_part(part)
    _await(timeout, names)
    return asked


def deploy_part(text: str) -> dict[str, str]:
    """Roll out the services of a Compose file, and return the hash of each as requested."""
    part = question(rollout.deploy_part, text=text)
    return perform(part, doing="roll a part of the services out")


def wait_for_majority() -> None:
    """Wait until a majority of etcd and of PostgreSQL is healthy. Raises CommandFailed."""
    await_data(_MOST)


def await_services(timeout: int, names: Iterable[str] = ()) -> str:
    """Wait until services run, or all of them; return those that don't run, empty for none."""
    named = [f"infisical_{name}" for name in sorted(names)]
    return ask(question(rollout.await_services, seconds=timeout, services=named))


def _timeout(settings: Settings, *, first: bool) -> int:
    """Return the seconds that a roll-out may take.

    Replicas start one by one, and Swarm tolerates an unhealthy one for a while before it rolls
    back.
    """
    return (settings.stack.start_timeout + TOLERATED) * (
        1 if first else 1 + settings.cluster.infisical_replicas
    )


def _await(timeout: int, names: Iterable[str] = ()) -> None:
    unhealthy = await_services(timeout, names)
    if unhealthy:
        hint = ""
        if "Read-only file system" in unhealthy:
            hint = "; this image writes to its root: set infisical_read_only = False"
        raise CheckFailed(f"the stack does not become healthy{hint}:\n{unhealthy}")


def _try_again(found: ClusterStackState) -> None:
    if any(each.waiting or each.running < each.desired for each in found.services.values()):
        perform(question(rollout.retry), doing="make Swarm retry the tasks that wait")


def _refuse_rollback(site: ClusterSite, asked: Mapping[str, str], old: str) -> ClusterStackState:
    """Return the actual stack; raise CheckFailed if Swarm rolled a service back.

    Then stack.yaml has its `old` text again.
    """
    found = read_stack_again(site)
    back = stack_plan.find_rolled_back(found, asked)
    if not back:
        return found
    if old:
        write(STACK_FILE, f"{old}\n", mode="600")
    reasons = (question(agent_services.explain, service=f"infisical_{name}") for name in back)
    why = "".join(map(ask, reasons))
    raise CheckFailed(
        f"{join_names(back)} did not become healthy, so Swarm restored the previous "
        f"configuration, which serves:\n{why}"
    )
