"""Assess how the backups on a host went."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_iac.backup.target import Target

# Once a day, with room for the random delay and for the run itself.
_LONGEST = timedelta(hours=26)


@dataclass(frozen=True)
class Saved:
    """Hold what is known of one target.

    Attributes:
        success: when the last snapshot was saved there; None if none ever was.
        snapshot: that snapshot's id.
        added: the bytes that it added to the repository.
        snapshots: how many there were after it.
        error: why the last run failed there; empty if it did not.
    """

    name: str
    success: datetime | None
    snapshot: str
    added: int
    snapshots: int
    error: str


@dataclass(frozen=True)
class Record:
    """Hold how the last run went; `failure` holds all reasons, in one line, if there are any.

    `bytes` is the size of the dump, 0 if there was none.
    """

    began: datetime
    ended: datetime
    failure: str
    bytes: int
    targets: tuple[Saved, ...]


def parse(text: str) -> Record:
    """The record in the text of last.json. Raises ValueError for any other text."""
    try:
        found: dict[str, Any] = json.loads(text)
        targets = [
            Saved(**{**each, "success": _moment(each["success"]) if each["success"] else None})
            for each in found["targets"]
        ]
        began, ended = _moment(found["began"]), _moment(found["ended"])
        return Record(began, ended, found["failure"], found["bytes"], tuple(targets))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no record of a backup: {error}") from None


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def judged(
    record: Record | None, targets: Sequence[Target], *, since: datetime | None, now: datetime
) -> tuple[str, bool]:
    """Return what to say of the backups, and whether they are well.

    Args:
        record: how the last run went; None before the first.
        targets: those of the settings; what is known of others does not count.
        since: since when there should be backups; None where they are not set up.
    """
    if since is None:
        return "not set up: `infisical-iac apply` does it", False
    if record is None:
        waiting = now - since
        text = f"none yet, {waiting.total_seconds() / 3600:.0f} h after they were set up"
        return (text, False) if waiting > _LONGEST else ("none yet", True)
    if record.failure:
        return f"failed at {_text(record.ended)}: {record.failure}{_last(record)}", False
    late = [each.name for each in _of(record, targets) if is_late(each.success, now)]
    if late:
        return f"no success within 26 h for {', '.join(late)}{_last(record)}", False
    names = ", ".join(each.name for each in _of(record, targets))
    here = all(each.kind == "directory" for each in targets)
    text = f"{_text(record.ended)}, {size(record.bytes)} to {names}"
    return f"{text} (on this host only)" if here else text, True


def size(bytes: int) -> str:
    """A size for people, such as `6.1 MB`."""
    return f"{bytes / 1e6:.1f} MB" if bytes >= 1e6 else f"{bytes / 1e3:.0f} kB"


def _of(record: Record, targets: Iterable[Target]) -> list[Saved]:
    names = {each.name for each in targets}
    return [each for each in record.targets if each.name in names]


def is_late(success: datetime | None, now: datetime) -> bool:
    """Return whether a target should have had another snapshot since its last one."""
    return success is None or now - success > _LONGEST


def _last(record: Record) -> str:
    moments = [each.success for each in record.targets if each.success]
    return f"; last success {_text(max(moments))}" if moments else "; there is none yet"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
