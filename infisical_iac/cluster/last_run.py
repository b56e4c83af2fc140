"""Choose the node whose last backup, or drill, the status of a cluster tells. Pure."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infisical_iac.backup.record import is_late
from infisical_iac.cluster.node_state import Nodes
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring import condition as single
from infisical_iac.monitoring.condition import ConditionState, Row, ended


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
        return LastRun(each.backups, single.backup(each, settings, now))

    row = _last(nodes, away, settings, look)
    begun = [each.condition.backups_since or 0 for each in nodes.values()]
    since, missed = datetime.fromtimestamp(max(begun), UTC), []
    for target in settings.backup_targets:
        saved = [each.condition.saved.get(target.name) for each in nodes.values()]
        newest = max((each for each in saved if each), default=None)
        if target.kind != "directory" and is_late(newest or since, now):
            when = f" since {newest:%Y-%m-%dT%H:%M:%SZ}" if newest else " yet"
            missed.append(f"{target.name}{when}")
    if not (row.ok and missed):
        return row
    text = f"no node has saved in {', '.join(missed)}{_as_known(away)}; {row.text}"
    return replace(row, text=text, ok=False)


def drill(nodes: Nodes, away: Sequence[str], settings: Settings, now: datetime) -> Row:
    """The row of the last drill; the arguments are those of `backup`."""
    return _last(nodes, away, settings, lambda each: LastRun(each.drills, single.drill(each, now)))


def _last(
    nodes: Nodes, away: Sequence[str], settings: Settings, look: Callable[[ConditionState], LastRun]
) -> Row:
    """The row of the last one; nodes without data make none."""
    runs = {name: look(node.condition) for name, node in nodes.items()}
    with_data = {name: run for name, run in runs.items() if run.record or nodes[name].postgres}
    kinds = {each.name: each.kind for each in settings.backup_targets}
    own = {name for name, kind in kinds.items() if kind == "directory"}
    row = told(with_data or runs, own=own, shared=kinds.keys() - own)
    if any(run.record for run in runs.values()):
        return row
    return replace(row, text=f"{row.text}{_as_known(away)}")


def _as_known(away: Sequence[str]) -> str:
    return f" (as far as is known without {', '.join(away)})" if away else ""


def told(runs: Mapping[str, LastRun], *, own: Collection[str], shared: Collection[str]) -> Row:
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
