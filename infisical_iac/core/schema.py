"""The versions of configuration files, and the keys that releases renamed or removed.

Each configuration file says which version of its schema it was written for. A change that renames
or removes a key adds it to the schema here, with the release, and gives the reason in
`CHANGELOG.md` under that release's heading. The old name of a renamed key still works, with a
warning, as long as it is listed here. So a renamed key needs no new version.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from infisical_iac.core.errors import printable
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

    @property
    def both(self) -> str:
        """The sentence that refuses the old key next to the new one."""
        return f"{self}, and both are set; remove {self.old.rpartition('.')[2]!r}"


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


@dataclass(frozen=True)
class Use:
    """The use of an old name, at a place of a file."""

    place: tuple[str | int, ...]
    renamed: Renamed

    @property
    def new_place(self) -> tuple[str | int, ...]:
        return (*self.place[:-1], self.renamed.new)

    def __str__(self) -> str:
        return f"{self.renamed}; use that name"


SETTINGS_SCHEMA = Schema(releases=("0.1.0",))
PROJECT_FILE_SCHEMA = Schema(releases=("0.1.0",))


def find_moved_key(place: Sequence[str | int], schema: Schema) -> Renamed | Removed | None:
    """Return how a release renamed or removed the key at `place`; None if it never existed."""
    parts = [str(part) for part in place]
    return next((each for each in schema.moved if _is_at(each.old, parts)), None)


def explain_moved_key(place: Sequence[str | int], schema: Schema) -> str:
    """Return why the key at `place` is refused; empty if it never existed.

    A renamed key is refused only next to its new name.
    """
    moved = find_moved_key(place, schema)
    return moved.both if isinstance(moved, Renamed) else str(moved or "")


def explain_version(version: object, schema: Schema) -> str | None:
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


def with_new_names(data: Any, schema: Schema) -> tuple[Any, list[Use]]:
    """Return the data of a file with the new names of renamed keys, and the uses of old names.

    An old name next to the new one stays: the file is refused for it.
    """
    uses: list[Use] = []
    for moved in schema.moved:
        if isinstance(moved, Renamed):
            data = _rename(data, moved.old.split("."), moved, (), uses)
    return data, uses


@cache
def warn_once(sentence: str) -> None:
    """Print a warning on standard error, only the first time in this program.

    Modules that compute without a terminal read files too, so this needs none.
    """
    print(f"Warning: {printable(sentence)}", file=sys.stderr)


def _rename(
    data: Any, left: Sequence[str], moved: Renamed, place: tuple[str | int, ...], uses: list[Use]
) -> Any:
    first, *rest = left
    match data:
        case Mapping() if not rest:
            if first not in data or moved.new in data:
                return data
            uses.append(Use((*place, first), moved))
            return {moved.new if key == first else key: each for key, each in data.items()}
        case Mapping():
            return {
                key: _rename(each, rest, moved, (*place, key), uses)
                if first in ("*", str(key))
                else each
                for key, each in data.items()
            }
        case list() | tuple() if rest:
            return type(data)(
                _rename(each, rest, moved, (*place, number), uses)
                if first in ("*", str(number))
                else each
                for number, each in enumerate(data)
            )
    return data


def _is_at(pattern: str, parts: list[str]) -> bool:
    expected = pattern.split(".")
    return len(expected) == len(parts) and all(
        one in ("*", other) for one, other in zip(expected, parts, strict=True)
    )
