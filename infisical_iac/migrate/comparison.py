"""Findings from files or grammars compared: the same key or value twice, samples, readings."""

import posixpath
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from infisical_iac.dotenv import Finding, Reading, read
from infisical_iac.migrate import multiline_keys
from infisical_iac.migrate.find import SAMPLES, words
from infisical_iac.migrate.findings import is_bootstrap, is_plain, shown
from infisical_iac.migrate.model import FileFinding, Source


def drift(sources: Sequence[Source], samples: Mapping[str, bytes]) -> Iterator[FileFinding]:
    """Yield keys that a sample has and the files beside it lack, and the other way round.

    The files of one directory and environment count as one, because `.env.local` holds only what
    differs from `.env`. `samples` holds the bytes of each sample by its path.
    """
    for path, data in samples.items():
        directory, name = posixpath.split(path)
        suffix = [each for each in words(name) if each not in SAMPLES]
        groups: dict[str, list[Source]] = {}
        for each in sources:
            beside, other = posixpath.split(each.path)
            if beside == directory and (not suffix or words(other)[: len(suffix)] == suffix):
                groups.setdefault(each.environment, []).append(each)
        for group in groups.values():
            yield from _between(path, read(data, group[0].grammar), group)


def _between(path: str, sample: Reading, group: Sequence[Source]) -> Iterator[FileFinding]:
    keys = {key for each in group for key in each.reading.values}
    lines = sample.lines
    for key in (each for each in lines if each not in keys):
        message = f"{path}:{lines[key]} names it, and no file beside it has it."
        remedy = "See whether the service needs it, and add it before the move."
        found = Finding(0, "missing", shown(key, sample.values[key]), message, remedy)
        yield FileFinding.of(group[0].path, found)
    for each in group:
        values = each.reading.values
        for key in (name for name in values if name not in lines):
            remedy = "Add its name there, or remove it here if nothing reads it."
            message = f"{path} doesn't name it."
            name = shown(key, values[key])
            found = Finding(each.line(key), "not-in-sample", name, message, remedy)
            yield FileFinding.of(each.path, found)


def disagreements(data: bytes, reading: Reading, others: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each key that one of `others` reads otherwise than `reading`.

    Args:
        data: the bytes that `reading` was made from.
    """
    if reading.error:
        return  # that is told already, and no key could agree
    readings = [multiline_keys.drop_pem_pieces(read(data, grammar), data) for grammar in others]
    able = [each for each in readings if not each.error]
    lines = {key: line for each in (*able, reading) for key, line in each.lines.items()}
    values, of_others = reading.values, {each.grammar: each.values for each in able}
    for key, line in lines.items():
        own = values.get(key)
        told = [
            f"{grammar} {_told(own, other.get(key))}"
            for grammar, other in of_others.items()
            if other.get(key) != own
        ]
        if told:
            yield Finding(
                line,
                "grammars-disagree",
                _shown(key, (values, *of_others.values())),
                f"{reading.grammar} {_length(own)}, {', '.join(told)}.",
                "Say in the plan which grammar counts, or quote it so that all read the same.",
            )
    for each in readings:
        if each.error:
            yield Finding(
                0,
                "refused-by-another",
                "",
                f"{each.grammar}, which may read it too, refuses the file: {each.error}",
                "Set it right if the service reads it so.",
            )


def _shown(key: str, readings: Iterable[Mapping[str, str]]) -> str:
    """Return the name as it may be printed, whichever of the readings is right."""
    may = all(shown(key, values[key]) for values in readings if key in values)
    return key if may else ""


def _told(own: str | None, other: str | None) -> str:
    if own is not None and other is not None and len(own) == len(other):
        return "other ones"
    return _length(other)


def _length(value: str | None) -> str:
    if value is None:
        return "reads no such key"
    return f"reads {len(value)} character{'' if len(value) == 1 else 's'}"


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
    """Yield findings on keys and values of several files, each once for every file in it."""
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
    """Yield the finding at each place of a group; `{others}` in it are the other places."""
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
