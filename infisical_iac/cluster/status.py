"""Describe a cluster's health: a row for each thing, and whether it is well. Pure."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from infisical_iac.backup.record import is_late
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.cluster.model import ManagedNode, Nodes
from infisical_iac.cluster.settings import DATA_NODES, ClusterSettings
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.audit_entries import doings_of
from infisical_iac.core.item import Row
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring import condition
from infisical_iac.monitoring.condition import ConditionState, Running, ended
from infisical_iac.stack.settings import named


@dataclass(frozen=True)
class LastRun:
    """A node's record of its last run, empty before the first, and what is to be said of it."""

    record: str
    row: Row


def backup(nodes: Nodes, away: Sequence[str], settings: Settings, now: datetime) -> Row:
    """The row of the last backup; not well either if all nodes leave a shared target to another.

    Args:
        nodes: what each node that was reached says, by its name in the inventory.
        away: the names of those that were not.
    """

    def look(each: ConditionState) -> LastRun:
        return LastRun(each.backups, condition.backup(each, settings, now))

    row = _last(nodes, away, settings.backup, look)
    begun = [each.condition.backups_since or 0 for each in nodes.values()]
    since, missed = datetime.fromtimestamp(max(begun), UTC), []
    for target in settings.backup.backup_targets:
        saved = [each.condition.saved.get(target.name) for each in nodes.values()]
        newest = max((each for each in saved if each), default=None)
        if not target.kind.on_host and is_late(newest or since, now):
            when = f" since {newest:%Y-%m-%dT%H:%M:%SZ}" if newest else " yet"
            missed.append(f"{target.name}{when}")
    if not (row.ok and missed):
        return row
    text = f"no node has saved in {', '.join(missed)}{_as_known(away)}; {row.text}"
    return replace(row, text=text, ok=False)


def drill(nodes: Nodes, away: Sequence[str], settings: Settings, now: datetime) -> Row:
    """The row of the last drill; the arguments are those of `backup`."""
    return _last(
        nodes, away, settings.backup, lambda each: LastRun(each.drills, condition.drill(each, now))
    )


def _last(
    nodes: Nodes,
    away: Sequence[str],
    settings: BackupSettings,
    look: Callable[[ConditionState], LastRun],
) -> Row:
    """The row of the last one; nodes without data make none."""
    runs = {name: look(node.condition) for name, node in nodes.items()}
    with_data = {name: run for name, run in runs.items() if run.record or nodes[name].postgres}
    on_host = {each.name: each.kind.on_host for each in settings.backup_targets}
    own = {name for name, is_own in on_host.items() if is_own}
    row = newest_row(with_data or runs, own=own, shared=on_host.keys() - own)
    if any(run.record for run in runs.values()):
        return row
    return replace(row, text=f"{row.text}{_as_known(away)}")


def _as_known(away: Sequence[str]) -> str:
    return f" (as far as is known without {', '.join(away)})" if away else ""


def newest_row(
    runs: Mapping[str, LastRun], *, own: Collection[str], shared: Collection[str]
) -> Row:
    """The row of the newest run that is not well, or of the newest if all are, with its node.

    What is not well in targets that all nodes share is passed over once another node has done it
    well since: which of them does it changes. Where there are no others, one does it for all.

    Args:
        runs: by the names of the nodes with data; at least one.
        own: the names of the targets of which each node has its own.
        shared: the names of those that all share.
    """
    done = {name: run for name, run in runs.items() if run.record or own} or dict(runs)
    unwell = [
        name
        for name, run in done.items()
        if not run.row.ok and not any(_outdoes(each, run, shared) for each in done.values())
    ]
    name = max(unwell or done, key=lambda each: ended(done[each].record))
    row = done[name].row
    return replace(row, text=f"{name}: {row.text}") if done[name].record or unwell else row


def _outdoes(other: LastRun, run: LastRun, shared: Collection[str]) -> bool:
    if not other.row.ok or ended(other.record) <= ended(run.record):
        return False
    wanting = _targets(run.record, only_failed=True) or _targets(run.record)
    return bool(wanting) and wanting <= set(shared) & _targets(other.record)


def _targets(record: str, *, only_failed: bool = False) -> set[str]:
    """Those that a backup was for, or failed for themselves; or the one that a drill was of."""
    try:
        found = json.loads(record)
        if "targets" not in found:
            return {found["target"]} - {""}
        return {each["name"] for each in found["targets"] if each["error"] or not only_failed}
    except (ValueError, KeyError, TypeError):
        return set()


# What a standby may be behind a primary that writes and still be said to follow.
_BEHIND_BYTES = 16 * 1024**2
# As certificates.sh has it.
_RENEWED_BEFORE = timedelta(days=60)


def rows(
    nodes: Nodes,
    away: Sequence[str],
    settings: Settings,
    lead: str,
    drift: Row,
    now: datetime,
    inside: Sequence[Row] = (),
) -> list[Row]:
    """The rows of the status.

    Args:
        nodes: what each node that was reached says, by its name in the inventory.
        away: the names of those that were not.
        lead: the name of the one that the credentials are looked for on.
    """
    logs = {name: node.log for name, node in nodes.items()}
    found = [
        _members(nodes, away),
        *_services(nodes, len(nodes) + len(away), settings),
        _postgres(nodes),
        _etcd(nodes),
        _redis(nodes),
        *_tls(nodes, now),
        *_overlay(nodes, settings.cluster),
        _fullest(nodes),
        _certificate(nodes, settings, now),
        *condition.credentials(nodes[lead].condition, now),
        backup(nodes, away, settings, now),
        drill(nodes, away, settings, now),
        condition.last_apply(doings_of(logs)),
        drift,
        *inside,
    ]
    unfinished: dict[str, str] = {}
    for node in nodes.values():
        unfinished |= node.condition.unfinished
    for name, node in nodes.items():
        # What has closed a node's edge is under way on the lead.
        closed = replace(node.condition, unfinished=unfinished)
        found += [replace(each, text=f"{name}: {each.text}") for each in condition.edge(closed)]
        found += condition.kept(node.condition)
        if trouble := condition.firewall(node.condition):
            found.append(Row("Firewall", f"{name}: {trouble}", ok=False))
        if node.condition.holder:
            found.append(Row("At work now", f"{name}: {node.condition.holder}", is_note=True))
        if node.log.broken_at is not None:
            text = f"{name}: line {node.log.broken_at} was changed"
            found.append(Row("Audit log", text, ok=False))
    return found


def _managed_nodes(nodes: Nodes) -> tuple[ManagedNode, ...]:
    """All nodes as a manager sees them; none where no manager answers."""
    return next((node.members for node in nodes.values() if node.members), ())


def _host(nodes: Nodes, service: str) -> str:
    """The name of the host that `postgres-2` or the like is on; the service's own if none tells."""
    names = {f"{each.number}": each.name for each in _managed_nodes(nodes)}
    return names.get(service.rpartition("-")[2], service)


def _members(nodes: Nodes, away: Sequence[str]) -> Row:
    seen = _managed_nodes(nodes)
    if not seen:
        return Row("Nodes", "no manager answers: there may be no majority of them", ok=False)
    troubles = [f"{each.name} {each.trouble}" for each in seen if each.trouble]
    named = {each.name for each in seen}
    troubles += [f"{name} can't be reached" for name in away if name not in named]
    leader = ", ".join(each.name for each in seen if each.manager == "leader")
    well = sum(not each.trouble for each in seen)
    text = f"{well} of {len(seen)} ready and active; the Swarm's leader is {leader or 'none'}"
    return Row("Nodes", "; ".join([text, *troubles]), ok=not troubles and bool(leader))


def _services(nodes: Nodes, hosts: int, settings: Settings) -> Iterator[Row]:
    """Those of which any container does for any other."""
    wanted = {
        "infisical": (settings.cluster.infisical_replicas, settings.stack.infisical_reference),
        "haproxy": (hosts, settings.cluster.haproxy_image),
    }
    if settings.stack.runs_caddy:
        wanted["caddy"] = (hosts, settings.stack.caddy_image)
    for role, (number, image) in wanted.items():
        tasks = [task for node in nodes.values() for task in node.tasks.get(role, [])]
        well = [each for each in tasks if each.health == "healthy" and _runs(each, image)]
        others = sorted({each.image for each in tasks if not _runs(each, image)})
        but = f", but {', '.join(others)} runs too" if others else ""
        yield Row(
            role, f"{named(image)}: {len(well)} of {number} healthy{but}", len(well) == number
        )


def _runs(task: Running, image: str) -> bool:
    """Return whether it is of an image; Docker may name it with its digest."""
    return task.image == image or task.image.startswith(f"{image}@")


def _postgres(nodes: Nodes) -> Row:
    primaries = [name for name, node in nodes.items() if node.postgres == "primary"]
    if len(primaries) != 1:
        which = f"{' and '.join(primaries)} are primaries" if primaries else "there is no primary"
        return Row("PostgreSQL", which, ok=False)
    (primary,) = primaries
    copies = nodes[primary].copies
    told = [f"primary on {primary}"]
    for each in sorted(copies, key=lambda copy: copy.sync not in ("sync", "quorum")):
        kind = "synchronous standby" if each.sync in ("sync", "quorum") else "standby"
        told.append(f"{kind} {_host(nodes, each.name)}, {each.behind} bytes behind")
    silent = [name for name, node in nodes.items() if node.postgres == "silent"]
    told += [f"{name} does not answer" for name in silent]
    sync = [each for each in copies if each.sync in ("sync", "quorum")]
    if not sync:
        told.append("no synchronous standby, so nothing can be written")
    follow = [each for each in copies if each.state == "streaming" and each.behind < _BEHIND_BYTES]
    ok = bool(sync) and len(follow) == DATA_NODES - 1 and not silent
    return Row("PostgreSQL", "; ".join(told), ok)


def _etcd(nodes: Nodes) -> Row:
    well = sum(node.etcd == "healthy" for node in nodes.values())
    return Row("etcd", f"{well} of {DATA_NODES} members healthy", well == DATA_NODES)


def _redis(nodes: Nodes) -> Row:
    masters = [name for name, node in nodes.items() if node.redis == "master"]
    names = [node.sentinel for node in nodes.values() if node.sentinel]
    voted = max(names, key=names.count, default="")
    agree = names.count(voted) if voted else 0
    there = f"master on {' and '.join(masters)}" if masters else "no master"
    replicas = sum(node.redis == "slave" for node in nodes.values())
    named = _host(nodes, voted) if voted else "one"
    text = f"{there}, {replicas} replicas; {agree} of {DATA_NODES} sentinels name {named}"
    ok = (len(masters), replicas, agree) == (1, DATA_NODES - 1, DATA_NODES)
    return Row("Redis", text, ok)


def _tls(nodes: Nodes, now: datetime) -> Iterator[Row]:
    """PostgreSQL, Redis and etcd, and how long their certificates last."""
    levels = [node.tls for node in nodes.values() if node.tls is not None]
    ends = [node.leaf_ends for node in nodes.values() if node.leaf_ends is not None]
    if not levels:
        return
    if min(levels) < Level.REQUIRED or not ends:
        text = "PostgreSQL, Redis and etcd do not require it yet: `infisical-iac apply` does it"
        yield Row("TLS", text, ok=False)
        return
    end = datetime.fromtimestamp(min(ends), UTC)
    if end - now < _RENEWED_BEFORE:
        text = f"a certificate within the cluster ends {end:%Y-%m-%d}: `infisical-iac apply` renews"
        yield Row("TLS", f"{text} it", ok=False)
        return
    yield Row("TLS", f"PostgreSQL, Redis and etcd require it; certificates until {end:%Y-%m-%d}")


def _overlay(nodes: Nodes, settings: ClusterSettings) -> Iterator[Row]:
    """The network between the hosts, if any node knows of it: what is in clear there."""
    known = {node.overlay for node in nodes.values()} - {""}
    if known == {"encrypted"}:
        yield Row("Overlay", "encrypted between the hosts")
    elif known:
        text = "not encrypted: what HAProxy passes to Infisical on another host is in clear"
        yield Row("Overlay", text, ok=settings.overlay_encryption == "optional")


def _fullest(nodes: Nodes) -> Row:
    name, node = min(nodes.items(), key=lambda each: each[1].condition.disk_free_gb)
    row = condition.disk(node.condition)
    return replace(row, text=f"{name}: {row.text}")


def _certificate(nodes: Nodes, settings: Settings, now: datetime) -> Row:
    """The one that ends first; each node serves it."""

    def end(name: str) -> int:
        return nodes[name].condition.certificate_ends or 0

    name = min(nodes, key=end)
    row = condition.certificate(nodes[name].condition, settings, now)
    return (
        row if row.ok or not settings.stack.runs_caddy else replace(row, text=f"{name}: {row.text}")
    )
