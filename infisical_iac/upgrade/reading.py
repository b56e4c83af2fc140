"""Compare secrets with what was read before: unreadable, or deleted by somebody."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple


class Secret(NamedTuple):
    """A secret without its value: where it is, its name, version and the value's digest."""

    place: str
    name: str
    version: int
    digest: str

    @property
    def environment(self) -> str:
        """The slug of its environment."""
        return self.place.partition(":")[0]


# So many deletions are people's, whatever there is.
_MOST_DELETED = 5
Secrets = Mapping[str, Secret]


def secret(environment: str, listed: Mapping[str, Any]) -> Secret:
    """The Secret of an entry that the server has listed."""
    return Secret(
        f"{environment}:{listed['secretPath']}",
        listed["secretKey"],
        listed["version"],
        sha256(listed["secretValue"].encode()).hexdigest(),
    )


@dataclass(frozen=True)
class Differences:
    """The differences between secrets and what was read before.

    Attributes:
        unreadable: those that the database has, and that are not read as they were.
        deleted: those that it has no more, or whose environment waits for its deletion.
        of: how many there were before.
    """

    unreadable: list[Secret]
    deleted: list[Secret]
    of: Counter[str]

    @property
    def is_damage(self) -> bool:
        """Return whether more are deleted than people delete meanwhile: a migration may have."""
        deleted = Counter(each.environment for each in self.deleted)
        emptied = any(number > 1 and number == self.of[name] for name, number in deleted.items())
        return emptied or deleted.total() > max(_MOST_DELETED, self.of.total() // 10)


def altered(before: Secrets, after: Secrets) -> Iterator[Secret]:
    """Yield those that have another value in the same version: nobody has written them."""
    for id, old in before.items():
        new = after.get(id)
        if new and new.version == old.version and new.digest != old.digest:
            yield old


def compare(
    before: Secrets, after: Secrets, *, present: Container[str], closed: Container[str]
) -> Differences:
    """Return how secrets differ from `before`.

    Args:
        present: the ids of those that are not in `after`, and of which the database has a row.
        closed: the environments that somebody has deleted, which keep their rows for a while.
    """
    missing = {id: old for id, old in before.items() if id not in after}
    kept = {
        id: old for id, old in missing.items() if id in present and old.environment not in closed
    }
    gone = [old for id, old in missing.items() if id not in kept]
    of = Counter(each.environment for each in before.values())
    return Differences([*altered(before, after), *kept.values()], gone, of)


def named(secrets: Iterable[Secret]) -> str:
    """Return the first three names and places, and how many there are besides."""
    names = sorted({f"{each.name} in {each.place}" for each in secrets})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
