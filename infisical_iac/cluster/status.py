"""Describe the health of a cluster, in a row for each part. Pure."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from infisical_iac.agent.health import Running
from infisical_iac.agent.node_health import ManagedNode
from infisical_iac.backup.record import is_late
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.cluster.model import Nodes
from infisical_iac.cluster.settings import DATA_NODES, ClusterSettings
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.audit_entries import merge_runs
from infisical_iac.core.change import Row
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.monitoring import health
from infisical_iac.monitoring.health import HealthState, read_end
from infisical_iac.stack.settings import image_name


@dataclass(frozen=True)
class LastRun:
    """A node's record of its last run, empty before the first, and the row for it."""

    record: str
    row: Row


def backup(nodes: Nodes, unreachable: Sequence[str], settings: Settings, now: datetime) -> Row:
    """Return the row of the last backup; unhealthy also if no node saves to a shared target.

    Args:
        nodes: the state of each reached node, by its name in the inventory.
        unreachable: the names of the unreachable nodes.
    """

    def read_run(each: HealthState) -> LastRun:
        return LastRun(each.facts.backups, health.backup(each, settings, now))

    row = _last(nodes, unreachable, settings.backup, read_run)
    starts = [each.health.facts.backups_since or 0 for each in nodes.values()]
    since, missed = datetime.fromtimestamp(max(starts), UTC), []
    for target in settings.backup.backup_targets:
        saved = [each.health.last_backups.get(target.name) for each in nodes.values()]
        newest = max((each for each in saved if each), default=None)
        if not target.kind.on_host and is_late(newest or since, now):
            when = f" since {newest:%Y-%m-%dT%H:%M:%SZ}" if newest else " yet"
            missed.append(f"{target.name}{when}")
    if not (row.ok and missed):
        return row
    text = f"no node has saved in {', '.join(missed)}{_as_known(unreachable)}; {row.text}"
    return replace(row, text=text, ok=False)


def drill(nodes: Nodes, unreachable: Sequence[str], settings: Settings, now: datetime) -> Row:
    """Return the row of the last drill; the arguments are those of `backup`."""
    return _last(
        nodes,
        unreachable,
        settings.backup,
        lambda each: LastRun(each.facts.drills, health.drill(each, now)),
    )


def _last(
    nodes: Nodes,
    unreachable: Sequence[str],
    settings: BackupSettings,
    read_run: Callable[[HealthState], LastRun],
) -> Row:
    """Return the row of the last run; nodes without data have no runs."""
    runs = {name: read_run(node.health) for name, node in nodes.items()}
    with_data = {name: run for name, run in runs.items() if run.record or nodes[name].postgres}
    on_host = {each.name: each.kind.on_host for each in settings.backup_targets}
    own = {name for name, is_own in on_host.items() if is_own}
    row = newest_row(with_data or runs, own=own, shared=on_host.keys() - own)
    if any(run.record for run in runs.values()):
        return row
    return replace(row, text=f"{row.text}{_as_known(unreachable)}")


def _as_known(unreachable: Sequence[str]) -> str:
    return f" (as far as known without {', '.join(unreachable)})" if unreachable else ""


def newest_row(
    runs: Mapping[str, LastRun], *, own: Collection[str], shared: Collection[str]
) -> Row:
    """Return the row of the newest failed run, or of the newest run if none failed, with its node.

    A failure in shared targets is ignored once another node has succeeded in them since, as the
    node that saves there changes. If nodes have no targets of their own, one node saves for all.

    Args:
        runs: by the names of the nodes with data; at least one.
        own: the names of the targets that each node has for itself.
        shared: the names of the targets that all nodes share.
    """
    done = {name: run for name, run in runs.items() if run.record or own} or dict(runs)
    failed = [
        name
        for name, run in done.items()
        if not run.row.ok and not any(_supersedes(each, run, shared) for each in done.values())
    ]
    name = max(failed or done, key=lambda each: read_end(done[each].record))
    row = done[name].row
    return replace(row, text=f"{name}: {row.text}") if done[name].record or failed else row


def _supersedes(other: LastRun, run: LastRun, shared: Collection[str]) -> bool:
    if not other.row.ok or read_end(other.record) <= read_end(run.record):
        return False
    wanting = _targets(run.record, only_failed=True) or _targets(run.record)
    return bool(wanting) and wanting <= set(shared) & _targets(other.record)


def _targets(record: str, *, only_failed: bool = False) -> set[str]:
    """Return the targets of a backup, or only those that failed; or the one target of a drill."""
    try:
        found = json.loads(record)
        if "targets" not in found:
            return {found["target"]} - {""}
        return {each["name"] for each in found["targets"] if each["error"] or not only_failed}
    except (ValueError, KeyError, TypeError):
        return set()


# A standby may be this far behind a writing primary and still counts as following.
_BEHIND_BYTES = 16 * 1024**2
# The time before its end at which the agent renews a certificate of the cluster. The end of
# the served certificate is assessed in stack/ingress.py.
_RENEWED_BEFORE = timedelta(days=60)


def rows(
    nodes: Nodes,
    unreachable: Sequence[str],
    settings: Settings,
    leader: str,
    drift: Row,
    now: datetime,
    inside: Sequence[Row] = (),
) -> list[Row]:
    """Return the rows of the status.

    Args:
        nodes: the state of each reached node, by its name in the inventory.
        unreachable: the names of the unreachable nodes.
        leader: the name of the leader, whose credentials are shown.
        drift: the row of drift.
        now: the current time.
        inside: further rows, of the project in Infisical.
    """
    logs = {name: node.log for name, node in nodes.items()}
    found = [
        _members(nodes, unreachable),
        *_services(nodes, len(nodes) + len(unreachable), settings),
        _postgres(nodes),
        _etcd(nodes),
        _redis(nodes),
        *_tls(nodes, now),
        *_overlay(nodes, settings.cluster),
        _fullest(nodes),
        _certificate(nodes, settings, now),
        *health.credentials(nodes[leader].health, now),
        backup(nodes, unreachable, settings, now),
        drill(nodes, unreachable, settings, now),
        health.last_apply(merge_runs(logs)),
        drift,
        *inside,
    ]
    unfinished: dict[str, str] = {}
    for node in nodes.values():
        unfinished |= node.health.facts.unfinished
    for name, node in nodes.items():
        # The change that has closed a node's edge is recorded on the leader.
        facts = replace(node.health.facts, unfinished=unfinished)
        closed = replace(node.health, facts=facts)
        found += [replace(each, text=f"{name}: {each.text}") for each in health.edge(closed)]
        for rows in (health.list_unfinished(node.health), health.list_ended(node.health)):
            found += [replace(each, text=f"{name}: {each.text}") for each in rows]
        found += health.list_given_up(node.health)
        if trouble := health.firewall(node.health):
            found.append(Row("Firewall", f"{name}: {trouble}", ok=False))
        watched = health.monitor(node.health, now)
        found += [replace(each, text=f"{name}: {each.text}") for each in watched]
        if node.health.facts.holder:
            found.append(Row("At work now", f"{name}: {node.health.facts.holder}", is_note=True))
        if node.log.broken_at is not None:
            text = f"{name}: line {node.log.broken_at} was changed"
            found.append(Row("Audit log", text, ok=False))
    return found


def _managed_nodes(nodes: Nodes) -> tuple[ManagedNode, ...]:
    """Return all nodes as a manager sees them; none if no manager answers."""
    return next((node.members for node in nodes.values() if node.members), ())


def _host(nodes: Nodes, service: str) -> str:
    """Return the host of a service such as `postgres-2`; the service's own name if unknown."""
    names = {f"{each.number}": each.name for each in _managed_nodes(nodes)}
    return names.get(service.rpartition("-")[2], service)


def _members(nodes: Nodes, unreachable: Sequence[str]) -> Row:
    seen = _managed_nodes(nodes)
    if not seen:
        return Row("Nodes", "no manager answers: a majority of them may be down", ok=False)
    troubles = [f"{each.name} {each.trouble}" for each in seen if each.trouble]
    named = {each.name for each in seen}
    troubles += [f"{name} can't be reached" for name in unreachable if name not in named]
    leader = ", ".join(each.name for each in seen if each.manager == "leader")
    healthy = sum(not each.trouble for each in seen)
    text = f"{healthy} of {len(seen)} ready and active; the Swarm's leader is {leader or 'none'}"
    return Row("Nodes", "; ".join([text, *troubles]), ok=not troubles and bool(leader))


def _services(nodes: Nodes, hosts: int, settings: Settings) -> Iterator[Row]:
    """Yield the rows of services whose replicas are interchangeable."""
    desired = {
        "infisical": (settings.cluster.infisical_replicas, settings.stack.infisical_reference),
        "haproxy": (hosts, settings.cluster.haproxy_image),
    }
    if settings.stack.runs_caddy:
        desired["caddy"] = (hosts, settings.stack.caddy_image)
    for role, (number, image) in desired.items():
        tasks = [task for node in nodes.values() for task in node.tasks.get(role, [])]
        healthy = [each for each in tasks if each.health == "healthy" and _runs(each, image)]
        others = sorted({each.image for each in tasks if not _runs(each, image)})
        but = f", but {', '.join(others)} runs too" if others else ""
        yield Row(
            role,
            f"{image_name(image)}: {len(healthy)} of {number} healthy{but}",
            len(healthy) == number,
        )


def _runs(task: Running, image: str) -> bool:
    """Return whether a task runs an image; Docker may append the digest to its name."""
    return task.image == image or task.image.startswith(f"{image}@")


def _postgres(nodes: Nodes) -> Row:
    primaries = [name for name, node in nodes.items() if node.postgres == "primary"]
    if len(primaries) != 1:
        which = f"{join_names(primaries)} are primaries" if primaries else "there is no primary"
        return Row("PostgreSQL", which, ok=False)
    (primary,) = primaries
    copies = nodes[primary].copies
    parts = [f"primary on {primary}"]
    for each in sorted(copies, key=lambda copy: copy.sync not in ("sync", "quorum")):
        kind = "synchronous standby" if each.sync in ("sync", "quorum") else "standby"
        parts.append(f"{kind} {_host(nodes, each.name)}, {each.behind} bytes behind")
    silent = [name for name, node in nodes.items() if node.postgres == "silent"]
    parts += [f"{name} does not answer" for name in silent]
    sync = [each for each in copies if each.sync in ("sync", "quorum")]
    if not sync:
        parts.append("no synchronous standby, so nothing can be written")
    follow = [each for each in copies if each.state == "streaming" and each.behind < _BEHIND_BYTES]
    ok = bool(sync) and len(follow) == DATA_NODES - 1 and not silent
    return Row("PostgreSQL", "; ".join(parts), ok)


def _etcd(nodes: Nodes) -> Row:
    healthy = sum(node.etcd == "healthy" for node in nodes.values())
    return Row("etcd", f"{healthy} of {DATA_NODES} members healthy", healthy == DATA_NODES)


def _redis(nodes: Nodes) -> Row:
    masters = [name for name, node in nodes.items() if node.redis == "master"]
    names = [node.sentinel for node in nodes.values() if node.sentinel]
    voted = max(names, key=names.count, default="")
    agree = names.count(voted) if voted else 0
    there = f"master on {join_names(masters)}" if masters else "no master"
    replicas = sum(node.redis == "slave" for node in nodes.values())
    named = _host(nodes, voted) if voted else "one"
    text = f"{there}, {replicas} replicas; {agree} of {DATA_NODES} sentinels name {named}"
    ok = (len(masters), replicas, agree) == (1, DATA_NODES - 1, DATA_NODES)
    return Row("Redis", text, ok)


def _tls(nodes: Nodes, now: datetime) -> Iterator[Row]:
    """Yield the row on TLS of PostgreSQL, Redis and etcd, and on their certificates."""
    levels = [node.tls for node in nodes.values() if node.tls is not None]
    ends = [node.leaf_ends for node in nodes.values() if node.leaf_ends is not None]
    if not levels:
        return
    if min(levels) < Level.REQUIRED or not ends:
        text = "PostgreSQL, Redis and etcd do not require it yet: run `infisical-iac apply`"
        yield Row("TLS", text, ok=False)
        return
    end = datetime.fromtimestamp(min(ends), UTC)
    if end - now < _RENEWED_BEFORE:
        text = f"a certificate within the cluster ends {end:%Y-%m-%d}: `infisical-iac apply` renews"
        yield Row("TLS", f"{text} it", ok=False)
        return
    yield Row("TLS", f"PostgreSQL, Redis and etcd require it; certificates until {end:%Y-%m-%d}")


def _overlay(nodes: Nodes, settings: ClusterSettings) -> Iterator[Row]:
    """Yield the row on encryption between the hosts, if any node knows the network."""
    known = {node.overlay for node in nodes.values()} - {""}
    if known == {"encrypted"}:
        yield Row("Overlay", "encrypted between the hosts")
    elif known:
        text = "not encrypted: HAProxy reaches Infisical on other hosts unencrypted"
        yield Row("Overlay", text, ok=settings.overlay_encryption == "optional")


def _fullest(nodes: Nodes) -> Row:
    name, node = min(nodes.items(), key=lambda each: each[1].health.facts.disk.free)
    row = health.disk(node.health)
    return replace(row, text=f"{name}: {row.text}")


def _certificate(nodes: Nodes, settings: Settings, now: datetime) -> Row:
    """Return the row of the certificate that ends first; each node serves one."""

    def end(name: str) -> int:
        return nodes[name].health.facts.certificate_ends or 0

    name = min(nodes, key=end)
    row = health.certificate(nodes[name].health, settings, now)
    return (
        row if row.ok or not settings.stack.runs_caddy else replace(row, text=f"{name}: {row.text}")
    )
