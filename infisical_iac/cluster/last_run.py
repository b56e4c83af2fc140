"""Which node's last backup, or drill, the status of a cluster tells. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from infisical_iac.condition import Row, ended


@dataclass(frozen=True)
class LastRun:
    """A node's record of its last run, empty before the first, and what is to be said of it."""

    record: str
    row: Row


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
