"""Find what shows only when the files are seen together: the same key, or the same value, twice."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from infisical_iac.dotenv import Finding
from infisical_iac.migrate.findings import is_bootstrap, shown
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plain import is_plain

KINDS = frozenset({"same-target", "same-value", "shared-candidate", "differs-across-services"})
"""Of the findings."""

_SHORTEST = 8  # of values that are the same for a reason
_NAMED = 3  # of the other places


class _Place(NamedTuple):
    source: Source
    key: str
    value: str
    line: int

    def __str__(self) -> str:
        return f"{self.source.path}:{self.line}"

    @property
    def counts(self) -> bool:
        """Return whether it is the one that the loader takes, of all files that it reads
        together.
        """
        return self.key not in self.source.overridden

    @property
    def is_telling(self) -> bool:
        """Return whether its value is hardly the same as another by chance."""
        return len(self.value) >= _SHORTEST and not is_plain(self.key, self.value)


def compare_files(sources: Iterable[Source]) -> Iterator[FileFinding]:
    """The findings on keys and values of several files, each told once for every file in it."""
    places = [each for source in sources for each in _places(source)]
    yield from _same_target(places)
    yield from _across_services(places)
    yield from _same_value(places)


def _places(source: Source) -> Iterator[_Place]:
    for key, value in source.reading.values.items():
        if not is_bootstrap(key):
            yield _Place(source, key, value, source.line(key))


def _same_target(places: Sequence[_Place]) -> Iterator[FileFinding]:
    known = (each for each in places if all(each.source.target) and each.counts)
    for group in _grouped(known, lambda each: (*each.source.target, each.key)):
        if len({each.source.path for each in group}) > 1 and _differ(group):
            yield from _tell(
                group,
                "same-target",
                "Has another value in {others}, and both go to the same place.",
                "Say in the plan which file counts.",
            )


def _across_services(places: Sequence[_Place]) -> Iterator[FileFinding]:
    known = (each for each in places if all(each.source.target) and each.value)
    for group in _grouped(known, lambda each: (each.source.environment, each.key)):
        if len({each.source.service for each in group}) < 2:
            continue
        if _differ(group):
            if all(is_plain(each.key, each.value) for each in group):
                continue
            yield from _tell(
                group,
                "differs-across-services",
                "Has another value in {others}.",
                "Leave each service its own, or make it one value in a shared folder.",
            )
        elif group[0].is_telling:
            yield from _tell(
                group,
                "shared-candidate",
                "Has the same value in {others}.",
                "Keep it once, in a shared folder that the services import.",
            )


def _same_value(places: Sequence[_Place]) -> Iterator[FileFinding]:
    telling = (each for each in places if each.is_telling and each.source.environment)
    for group in _grouped(telling, lambda each: (each.source.environment, each.value)):
        if len({each.key for each in group}) > 1:
            yield from _tell(
                group,
                "same-value",
                "Has the same value as {others}.",
                "Give each its own, so that one can be rotated without the other.",
                names=True,
            )


def _grouped(
    places: Iterable[_Place], by: Callable[[_Place], Hashable]
) -> Iterator[Sequence[_Place]]:
    groups: dict[Hashable, list[_Place]] = {}
    for each in places:
        groups.setdefault(by(each), []).append(each)
    return (group for group in groups.values() if len(group) > 1)


def _differ(group: Sequence[_Place]) -> bool:
    return len({each.value for each in group}) > 1


def _tell(
    group: Sequence[_Place], kind: str, message: str, remedy: str, *, names: bool = False
) -> Iterator[FileFinding]:
    """The finding at each place of a group; `{others}` in the message are the other places."""
    same_key = Counter(each.key for each in group)
    for each in group:
        others = (
            other for other in group if (other.key != each.key if names else other is not each)
        )
        named = [
            f"{shown(other.key, other.value)} in {other}" if names else str(other)
            for other in islice(others, _NAMED)
        ]
        more = len(group) - (same_key[each.key] if names else 1) - len(named)
        told = " and ".join([*named, *([f"{more} more"] if more else [])])
        name = shown(each.key, each.value)
        finding = Finding(each.line, kind, name, message.format(others=told), remedy)
        yield FileFinding.of(each.source.path, finding)
