"""Requests that write: by folder, in one transaction each, and small enough to be taken."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Any

from infisical_iac.migrate.secret import Name, Secret, Stored

# The server takes 1 MiB and answers a longer body with an error that tells nothing.
MOST_BYTES = 900_000
# Of one secret: the rest is for its comment, and for what a body has besides secrets.
LONGEST_ITEM = MOST_BYTES - 10_000

_PATH = "/api/v4/secrets/batch"
_ENVELOPE = 1_000  # more than project, environment, folder and mode take
_MARK = "migrated from "


@dataclass(frozen=True)
class Batch:
    """One request: secrets of one folder, of which Infisical writes all or none.

    Attributes:
        overwrites: whether it may change what is there; otherwise the server refuses it as a
            whole should one of the keys have come into being meanwhile.
        items: what the body holds of each secret.
    """

    environment: str
    folder: str
    overwrites: bool
    items: tuple[Mapping[str, str], ...] = field(repr=False)

    @property
    def names(self) -> list[Name]:
        """Return what it writes."""
        return [Name(self.environment, self.folder, each["secretKey"]) for each in self.items]

    @property
    def request(self) -> tuple[str, str]:
        """Method and path."""
        return ("PATCH" if self.overwrites else "POST"), _PATH

    def body(self, project: str) -> dict[str, Any]:
        """The body, for the project of this id."""
        mode = {"mode": "upsert"} if self.overwrites else {}
        place = {"projectId": project, "environment": self.environment, "secretPath": self.folder}
        return {**place, **mode, "secrets": list(self.items)}

    def __str__(self) -> str:
        count = len(self.items)
        word = "secret" if count == 1 else "secrets"
        return f"{count} {word} in {self.environment}{self.folder}"


def pack(
    new: Iterable[Secret], changed: Iterable[Secret], stored: Mapping[Name, Stored], today: date
) -> list[Batch]:
    """The requests that write all of them, by environment and folder.

    A folder's secrets go in one request unless they are too long for one.

    Args:
        new: what is not there yet.
        changed: what is there with another value, which is overwritten.
        stored: what is there now; a comment that a person wrote is left.
    """
    changed = list(changed)
    overwritten = {each.name for each in changed}
    secrets = sorted([*new, *changed], key=lambda each: each.name[:2])
    batches: list[Batch] = []
    for (environment, folder), inside in groupby(secrets, key=lambda each: each.name[:2]):
        here = list(inside)
        items = [_item(each, stored.get(each.name), today) for each in here]
        overwrites = any(each.name in overwritten for each in here)
        batches += [Batch(environment, folder, overwrites, part) for part in _parts(items)]
    return batches


def size(item: Mapping[str, str]) -> int:
    """Return how many bytes an item takes in a body, as the client writes it."""
    return len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _item(secret: Secret, there: Stored | None, today: date) -> dict[str, str]:
    item = {"secretKey": secret.name.key, "secretValue": secret.value}
    if there is None or not there.comment or there.comment.startswith(_MARK):
        item["secretComment"] = f"{_MARK}{secret.file}:{secret.line}, {today.isoformat()}"
    return item


def _parts(items: Iterable[Mapping[str, str]]) -> Iterator[tuple[Mapping[str, str], ...]]:
    part: list[Mapping[str, str]] = []
    free = room = MOST_BYTES - _ENVELOPE
    for item in items:
        taken = size(item)
        if part and taken > free:
            yield tuple(part)
            part, free = [], room
        part.append(item)
        free -= taken
    if part:
        yield tuple(part)
