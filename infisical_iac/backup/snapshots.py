"""The snapshots in the targets, as the host lists them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, as its tags tell.

    Attributes:
        at: when it was saved.
        version: of Infisical.
        bytes: of the dump.
        secrets: how many secrets there were, over all projects.
        migrations: how many migrations the database had seen.
        key: the fingerprint of the encryption key that its database needs.
    """

    id: str
    at: datetime
    version: str
    bytes: int
    secrets: int
    migrations: int
    key: str


@dataclass(frozen=True)
class Listed:
    """A target with its snapshots, the latest last, or with the reason why they can't be told."""

    name: str
    snapshots: list[Snapshot] = field(default_factory=list)
    error: str = ""


def parse(lines: Iterable[str]) -> list[Listed]:
    """Return what the host's `backup.sh list` printed."""
    found: list[Listed] = []
    name = ""
    for line in lines:
        word, _, rest = line.partition(" ")
        match word:
            case "target":
                name = rest
            case "error":
                found.append(Listed(name, error=rest))
            case "snapshots":
                snapshots = [_snapshot(each) for each in json.loads(rest)]
                found.append(Listed(name, sorted(snapshots, key=lambda each: each.at)))
    return found


def _snapshot(found: dict[str, Any]) -> Snapshot:
    tags = dict(tag.split("=", 1) for tag in found["tags"] if "=" in tag)
    return Snapshot(
        id=found["short_id"],
        at=datetime.fromisoformat(found["time"]).astimezone(UTC),
        version=tags["version"],
        bytes=int(tags["bytes"]),
        secrets=int(tags["secrets"]),
        migrations=int(tags["migrations"]),
        key=tags["key"],
    )
