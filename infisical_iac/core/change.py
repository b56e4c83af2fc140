"""Differences between the actual and the desired state, and rows of a status."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["+", "~", "-", "!", "*"]


@dataclass(frozen=True)
class Change:
    """One difference between the actual and the desired state, or one change that was made.

    Attributes:
        kind: `+` creates, `~` changes, `-` removes; `!` can't be inspected or changed; `*` is
            access that the project file does not grant, which stays.
        what: the object, such as `/etc/docker/daemon.json`.
        detail: the old and the new value, or another explanation; may be empty.
        diff: the lines of a file that differ, without secrets.
        host: the names of the hosts, with commas between them; empty for a single host.
    """

    kind: Kind
    what: str
    detail: str = ""
    diff: str = field(default="", kw_only=True)
    host: str = field(default="", kw_only=True)

    def read(self) -> "Change":
        """Return the change with the details that must be read on the host, such as a diff."""
        return self

    def __str__(self) -> str:
        of = f"{self.host}: " if self.host else ""
        return f"{self.kind} {of}{self.what}" + (f": {self.detail}" if self.detail else "")


class Unknown(str):
    """A sentence on what an operation can't see before earlier operations have run."""


class UpToDate(str):
    """A sentence on why an operation has nothing to change."""


def together(changes: Iterable[Change]) -> list[Change]:
    """Merge changes that are the same on several hosts, in the place of the first one."""
    merged: list[Change] = []
    places: dict[tuple[str, ...], int] = {}
    for change in changes:
        same = (change.kind, change.what, change.detail, change.diff)
        hosts = merged[places[same]].host.split(", ") if same in places else [change.host]
        if change.host not in hosts:
            merged[places[same]] = replace(change, host=", ".join([*hosts, change.host]))
        else:
            places[same] = len(merged)
            merged.append(change)
    return merged


def with_names(sentences: Mapping[str, Collection[str]], *, of: int) -> list[str]:
    """Return sentences that begin with their hosts' names, unless they are about all hosts.

    Args:
        sentences: for each sentence, the names of the hosts that it is about.
        of: the number of all hosts.
    """
    return [
        sentence if len(names) == of else f"{', '.join(names)}: {sentence}"
        for sentence, names in sentences.items()
    ]


@dataclass(frozen=True)
class Row:
    """One row of a status.

    Attributes:
        name: the subject, such as "Last backup".
        text: the state of the subject.
        ok: whether the subject is healthy.
        is_note: whether the row only informs, such as before the first backup. Then nothing is
            wrong, and no health is proven either.
    """

    name: str
    text: str
    ok: bool = True
    is_note: bool = False
