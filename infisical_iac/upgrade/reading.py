"""What of the secrets that could be read before is not read the same any more."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple


class Secret(NamedTuple):
    """A secret without its value: where it is, its name, version and the value's digest."""

    place: str
    name: str
    version: int
    digest: str


Secrets = Mapping[str, Secret]


def secret(environment: str, listed: Mapping[str, Any]) -> Secret:
    """The Secret of an entry that the server has listed."""
    return Secret(
        f"{environment}:{listed['secretPath']}",
        listed["secretKey"],
        listed["version"],
        sha256(listed["secretValue"].encode()).hexdigest(),
    )


def lost(before: Secrets, after: Secrets) -> list[str]:
    """The places and names, by their ids, of those that are gone or have another value.

    A higher version tells that somebody has written it in between.
    """
    return sorted({f"{each.name} in {each.place}" for each in _lost(before, after)})


def _lost(before: Secrets, after: Secrets) -> Iterable[Secret]:
    for id, old in before.items():
        new = after.get(id)
        if new is None or (new.version == old.version and new.digest != old.digest):
            yield old
