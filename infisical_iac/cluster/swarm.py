"""Manage the swarm: the leader starts it, the others join, and each node gets its role."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pyinfra.api.deploy import deploy

from infisical_iac.agent import joining
from infisical_iac.agent.membership import ETCD, JOINED, LACKS, SwarmMember, SwarmState
from infisical_iac.agent.swarm import HOST, NUMBER
from infisical_iac.cluster import etcd, shared_state
from infisical_iac.cluster.model import Cluster, Node
from infisical_iac.cluster.swarm_state import FORMER, HANDING_OVER, UNIT, swarm_question
from infisical_iac.core import connection, journal, units
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, CommandFailed
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import remove, run
from infisical_iac.core.rendering import script_file

# Lifetime of a node's certificate, which identifies it to the others; Swarm renews it in time.
CERTIFICATE_HOURS = 30 * 24


@dataclass(frozen=True)
class Update:
    """One change to a node of the swarm.

    Attributes:
        node: its displayed name.
        arguments: the arguments of `docker node`.
        why: what differs.
    """

    node: str
    arguments: tuple[str, ...]
    why: str


def differing_settings(seen: SwarmState) -> list[str]:
    """Return the differing settings of the swarm itself, as its manager sees them."""
    found = []
    if not seen.autolock:
        found.append("autolock off → on")
    if seen.expiry != CERTIFICATE_HOURS * 3600:
        found.append(f"certificates end after {seen.expiry // 3600} → {CERTIFICATE_HOURS} hours")
    return found


def updates(cluster: Cluster) -> Iterator[Update]:
    """Yield the update of each node that differs, future managers first."""
    for node in sorted(cluster.nodes, key=lambda node: not node.manager):
        if (member := node.member) is None:
            continue
        generation = cluster.generation if node.number else 0
        labels = {
            HOST: (node.name, member.host),
            NUMBER: (str(node.number or ""), str(member.number or "")),
            JOINED: (node.joined, member.joined),
            LACKS: (node.lacks, member.lacks),
            ETCD: (str(generation or ""), str(member.generation or "")),
        }
        arguments, why = [], []
        for label, (desired, there) in labels.items():
            if desired and desired != there:
                arguments += ["--label-add", f"{label}={desired}"]
            elif there and not desired:
                arguments += ["--label-rm", label]
            if desired != there:
                why.append(f"{label} {there or '(none)'} → {desired or '(none)'}")
        if node.manager != member.manager:
            role = "manager" if node.manager else "worker"
            arguments += ["--role", role]
            why.append(f"role → {role}")
        if not member.active:
            arguments += ["--availability", "active"]
            why.append("drained → active")
        if arguments:
            yield Update(node.name, ("update", *arguments, member.id), ", ".join(why))


def removals(cluster: Cluster) -> Iterator[Update]:
    """Yield the updates that remove nodes which won't come back."""
    for each in cluster.gone:
        name = each.host or each.hostname
        if each.manager:
            yield Update(name, ("demote", each.id), "no manager any more")
        yield Update(name, ("rm", "--force", each.id), "down, and its host is gone")


def with_members(
    cluster: Cluster, members: Sequence[SwarmMember], ids: Mapping[str, str]
) -> Cluster:
    """Return the cluster after all hosts have joined, with the current `members`.

    Args:
        ids: the Swarm id of each node that has joined in this run, by its name.
    """
    by_id = {each.id: each for each in members}
    nodes = tuple(
        replace(node, member=by_id.get(ids.get(node.name, ""), node.member))
        for node in cluster.nodes
    )
    gone = tuple(by_id[each.id] for each in cluster.gone if each.id in by_id)
    return replace(cluster, nodes=nodes, gone=gone)


KEY_FILE = "/etc/infisical/keys/swarm_unlock_key"


@planned_operation
def initialization(cluster: Cluster) -> Commands:
    """Start a locked swarm with the leader as its first manager."""
    if cluster.leads:
        yield from decide_initialization(cluster, _observe_current(cluster))
    else:
        yield UpToDate(f"{cluster.leader.name} is the leader")


def decide_initialization(cluster: Cluster, there: SwarmState) -> Commands:
    """Plan the swarm on the leader, by the actual state `there`."""
    if not there.control:
        kept = " and keeps its PostgreSQL data; its etcd and Redis start empty"
        why = f"{cluster.me.name} is its first manager{kept if cluster.holders else ''}"
        yield Change("+", "swarm", why)
        begin = question(
            joining.begin, address=cluster.me.address, pool=cluster.pool, hours=CERTIFICATE_HOURS
        )
        yield step(perform, begin, doing="create the swarm")
        return
    differing = differing_settings(there)
    if there.mark != there.swarm:
        differing.append("its id on the host")
    if differing:
        yield Change("~", "swarm", ", ".join(differing))
        configure = question(joining.configure, hours=CERTIFICATE_HOURS)
        yield step(perform, configure, doing="set the swarm's settings")
    else:
        yield UpToDate("the swarm exists and is locked")


@planned_operation
def host_membership(cluster: Cluster) -> Commands:
    """Bring the host into the swarm, and unlock it if it is locked."""
    if cluster.leads:
        yield UpToDate("the leader is in the swarm that it created")
    else:
        yield from decide_host_membership(cluster, _observe_current(cluster))


def decide_host_membership(cluster: Cluster, there: SwarmState) -> Commands:
    """Plan a host's membership in the swarm, by its actual state `there`."""
    me = cluster.me
    if there.state == "locked" and me.member:
        yield Change("~", f"swarm on {me.name}", "locked → unlocked")
        yield step(_unlock, cluster)
    elif there.state in ("active", "pending") and there.mark not in ("", "new") and me.member:
        yield UpToDate("the host is in the swarm")
    elif there.state == "" and there.mark not in ("", "new"):
        yield Unknown("the host's membership in the swarm can be inspected once Docker runs")
        yield step(_join, cluster)
    else:
        part = f"manager, data node {me.number}" if me.manager else "worker"
        yield Change("+", f"{me.name} in the swarm", part)
        yield step(_join, cluster)


@planned_operation
def node_roles(cluster: Cluster) -> Commands:
    """Set each node's role, labels and availability; remove nodes whose host is gone."""
    if cluster.leads:
        yield from decide_node_roles(cluster, _observe_current(cluster).members)
    else:
        yield UpToDate(f"{cluster.leader.name} is the leader")


def decide_node_roles(cluster: Cluster, members: Sequence[SwarmMember]) -> Commands:
    """Plan the updates of the nodes, by the `members` of the leader's swarm."""
    now = with_members(cluster, members, {}) if members else cluster
    wrong = [*updates(now)]
    for each in wrong:
        yield Change("~", f"node {each.node}", each.why)
    for member in now.gone:
        yield Change("-", f"node {member.host or member.hostname}", "down, and its host is gone")
    if now.gone:
        yield Change("~", "swarm", "new join tokens and unlock key, as a node was lost")
    if wrong or now.gone or any(node.member is None for node in cluster.connected_nodes):
        yield step(_apply_node_roles, cluster)
    else:
        yield UpToDate("all nodes have their roles and labels")


@planned_operation
def unlock_unit(cluster: Cluster, *, programs: Sequence[File]) -> Commands:
    """Keep the unlock key on the host, and install a unit that unlocks Docker when it starts."""
    yield from decide_unlock_unit(cluster, _observe_current(cluster), programs)


def decide_unlock_unit(cluster: Cluster, there: SwarmState, programs: Sequence[File]) -> Commands:
    """Plan the unlock key and the unit, by the actual state `there`."""
    yield from or_up_to_date(
        _plan_unlock_unit(cluster, there, programs),
        "the host unlocks its swarm manager when it boots",
    )


def _plan_unlock_unit(cluster: Cluster, there: SwarmState, programs: Sequence[File]) -> Commands:
    # An earlier step of the run rotates the key, or has done so.
    changes_key = cluster.gone or not cluster.leader.seen or differing_settings(cluster.leader.seen)
    if cluster.me.manager and (changes_key or not there.unlocks):
        yield Change("~" if there.unlocks else "+", KEY_FILE)
        yield step(_keep_key, cluster)
    yield from units.install(programs, there.files, there.units)
    yield from units.bring_up([UNIT], there.units)
    if FORMER in there.files:
        yield Change("-", FORMER, "the agent does its work")
        yield step(remove, FORMER, doing=f"remove {FORMER}")


def leave() -> None:
    """Take the current host out of the swarm, which stops the stack's tasks on it.

    The swarm ends with the last host that leaves. Raises CommandFailed.
    """
    perform(question(joining.leave), doing="take the host out of the swarm")


def _observe_current(cluster: Cluster) -> SwarmState:
    """Return the current host's state; it is read again once the run has changed something."""
    seen = cluster.me.seen
    return ask(swarm_question()) if journal.current().has_changed or seen is None else seen


def _join(cluster: Cluster) -> None:
    me = cluster.me
    role = "manager" if me.manager else "worker"
    with connection.on(cluster.leader.name):
        swarm, _ = ask(question(joining.ids))
        token = ask(question(joining.token, role=role))
    leader = cluster.leader.address
    there = f"[{leader}]:2377" if ":" in leader else f"{leader}:2377"
    perform(
        question(
            joining.join,
            address=me.address,
            remote=there,
            swarm=swarm,
            token=token,
            again=me.member is None,
        ),
        doing=f"bring {me.name} into the swarm of {cluster.leader.name} at {there}",
    )


def _unlock(cluster: Cluster) -> None:
    doing = f"unlock the swarm on {cluster.me.name}"
    unlock = partial(perform, question(joining.unlock), doing=doing)
    try:
        # The key may have been rotated while the host was unreachable: its old one still works.
        unlock()
    except CommandFailed:
        _keep_key(cluster)
        unlock()
    ask(question(joining.await_active, seconds=60))


def _keep_key(cluster: Cluster) -> None:
    with connection.on(cluster.leader.name):
        key = ask(question(joining.key))
    perform(question(joining.keep, secret=key), doing="keep the swarm's key")


def _apply_node_roles(cluster: Cluster) -> None:
    ids = {node.name: _id(node) for node in cluster.connected_nodes if node.member is None}
    now = with_members(cluster, ask(swarm_question()).members, ids)
    lost = [node.name for node in now.connected_nodes if node.member is None]
    if lost:
        raise CheckFailed(f"{', '.join(lost)} did not join the swarm: run again")
    for each in updates(now):
        _node(each)
    if now.gone:
        # First: once the nodes are removed, no later run would know that the keys need rotation.
        perform(question(joining.rotate), doing="rotate the swarm's tokens and key")
    for each in removals(now):
        _node(each)


def _id(node: Node) -> str:
    """Return the node's ID in the swarm; empty if it has not joined."""
    with connection.on(node.name):
        return ask(question(joining.ids))[1]


def _node(update: Update) -> None:
    run(f"docker node {shlex.join(update.arguments)}", doing=f"change the node {update.node}")


def programs() -> Iterator[File]:
    """Yield the unit that unlocks Docker at its start, and hands over the primary at its stop."""
    yield File(HANDING_OVER, script_file("hand-over"))
    yield units.unit_file(UNIT, handing_over=HANDING_OVER)


@deploy("Swarm")
def swarm(cluster: Cluster) -> None:
    """Start the swarm and bring the host into it."""
    initialization(cluster=cluster, name="Create the swarm")
    host_membership(cluster=cluster, name="Bring the hosts into the swarm")
    if cluster.leads:
        etcd.member_replacement(cluster=cluster, name="Replace the etcd members of lost nodes")
    node_roles(cluster=cluster, name="Set roles and labels of the nodes")
    unlock_unit(
        cluster=cluster,
        programs=[*programs()],
        name="Unlock the swarm when the host boots",
    )
    shared_state.leadership(cluster=cluster, name="Record the leader")
