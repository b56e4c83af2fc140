"""List the keys of the configuration files that releases renamed or removed.

Each file says which version of its schema it was written for. A change that renames or removes a
key adds it to the schema here, with the release, and gives the reason in `CHANGELOG.md` under that
release's heading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infisical_iac.core.wording import join_names


class Renamed(NamedTuple):
    """A key that a release renamed.

    Attributes:
        old: the key's place, with dots between its parts; `*` stands for any one part, as in
            `services.*.ttl`.
        new: the key's new name.
        release: the release that renamed it.
    """

    old: str
    new: str
    release: str

    def __str__(self) -> str:
        return f"was renamed to {self.new!r} in {self.release}"


class Removed(NamedTuple):
    """A key that a release removed.

    Attributes:
        old: the key's place, as in Renamed.
        instead: what to do instead, as the end of a sentence.
        release: the release that removed it.
    """

    old: str
    instead: str
    release: str

    def __str__(self) -> str:
        return f"was removed in {self.release}; {self.instead}"


@dataclass(frozen=True)
class Schema:
    """The versions of one file's schema.

    Attributes:
        releases: the release that introduced each version, beginning with version 1.
        moved: the keys that were renamed or removed.
    """

    releases: tuple[str, ...]
    moved: tuple[Renamed | Removed, ...] = ()

    @property
    def version(self) -> int:
        """The version that this code reads."""
        return len(self.releases)


SETTINGS = Schema(releases=("0.1.0",))
WORKSPACE = Schema(releases=("0.1.0",))


def find_moved_key(place: Sequence[str | int], schema: Schema) -> Renamed | Removed | None:
    """Return how a release renamed or removed the key at `place`; None if it never existed."""
    parts = [str(part) for part in place]
    return next((each for each in schema.moved if _matches(each.old, parts)), None)


def refusal(version: object, schema: Schema) -> str | None:
    """Return why a file of this schema version can't be read, with the remedy; None if it can.

    An older version is refused with a list of all changes since, because a key that kept its name
    may have another meaning now.
    """
    known = schema.version
    if type(version) is not int or version < 1:
        return f"this is not a version; write {known}"
    if version == known:
        return None
    if version > known:
        return (
            f"{version} was written for a newer infisical-iac, and this one reads {known}: upgrade "
            "infisical-iac"
        )
    since = schema.releases[version:]
    changes = [f"{each.old!r} {each}" for each in schema.moved if each.release in since]
    older = f"{version} is older than {known}, which this infisical-iac reads"
    if not changes:
        changelog = f"`infisical-iac outdated --since {schema.releases[version - 1]}`"
        due = f"make the changes that {changelog} prints for {join_names(since)}"
        return f"{older}: {due}, and write {known}"
    command = "`infisical-iac init --upgrade` makes these changes, or make them"
    return "\n  ".join([f"{older}: {command} and write {known}", *changes])


def _matches(pattern: str, parts: list[str]) -> bool:
    expected = pattern.split(".")
    return len(expected) == len(parts) and all(
        one in ("*", other) for one, other in zip(expected, parts, strict=True)
    )
