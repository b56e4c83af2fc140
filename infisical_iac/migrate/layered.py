"""A file as its loader reads it together with those beside it."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from infisical_iac.dotenv import Finding, Reading, merged, read
from infisical_iac.migrate import multiline_keys
from infisical_iac.migrate.cascades import Read, cascade
from infisical_iac.migrate.findings import shown


class Layer(Read, Protocol):
    """A file and the names of those that are read with it, as `cascades.layers` gives them."""

    @property
    def layers(self) -> tuple[str, ...]:
        """In their order, of which the last one wins; empty for a file that is read alone."""


class Layered(NamedTuple):
    """A reading, and the keys of which another file's value counts, with the name of that file."""

    reading: Reading
    overridden: Mapping[str, str]


def paths(file: Layer) -> list[str]:
    """The paths of the files that are read with a file, itself among them; the last one wins."""
    directory, name = posixpath.split(file.path)
    names = file.layers if name in file.layers else (name,)
    return [posixpath.join(directory, each) for each in names]


def read_in(file: Layer, contents: Mapping[str, bytes]) -> Layered:
    """Return what a file has in it, with references replaced as its loader does.

    A key that another file overrides has the value of this file by itself.

    Args:
        contents: the bytes of the file and of those read with it, by path; some may be missing.
    """
    there = {path: contents[path] for path in paths(file) if path in contents}
    place = list(there).index(file.path)
    above = dict([*there.items()][place + 1 :])
    alone = _alone(file, there[file.path])
    found = cascade(file)
    if found is None or found.merging == "as-written" or len(there) == 1:
        reading = alone
    elif found.merging == "together":
        reading = merged([*there.values()], place, found.parser)
    else:
        reading = _in_turn(there[file.path], [*above.values()], file.grammar)
    overridden = _overridden(alone, {path: _alone(file, each) for path, each in above.items()})
    whole = _with_own(reading, alone, overridden)
    return Layered(multiline_keys.drop_pem_pieces(whole, there[file.path]), overridden)


def _in_turn(data: bytes, above: Sequence[bytes], grammar: str) -> Reading:
    """The file as read after those above, of which the one that wins is read first."""
    environ: dict[str, str] = {}
    for each in reversed(above):
        environ = read(each, grammar, environ).values | environ
    reading = read(data, grammar, environ)
    entries = (replace(each, value=environ.get(each.key, each.value)) for each in reading.entries)
    return replace(reading, entries=tuple(entries)) if environ else reading


def _alone(file: Read, data: bytes) -> Reading:
    """A file as its loader reads it where no other is beside it."""
    found = cascade(file)
    together = found is not None and found.merging == "together"
    return merged([data], 0, found.parser) if found and together else read(data, file.grammar)


def _overridden(alone: Reading, above: Mapping[str, Reading]) -> dict[str, str]:
    """The name of the file that counts for each key, if something else is written there."""
    own = _written(alone)
    found: dict[str, str] = {}
    for path, reading in above.items():
        for key, written in _written(reading).items():
            if key in own:
                found[key] = posixpath.basename(path) if written != own[key] else ""
    return {key: name for key, name in found.items() if name}


def _written(reading: Reading) -> dict[str, str]:
    return {each.key: each.written for each in reading.entries}


def _with_own(reading: Reading, alone: Reading, overridden: Mapping[str, str]) -> Reading:
    own = {each.first_line: each for each in alone.entries if each.key in overridden}
    entries = (own.get(each.first_line, each) for each in reading.entries)
    return replace(reading, entries=tuple(entries)) if own else reading


def overridden(layered: Layered) -> Iterator[Finding]:
    """The findings on keys of which another file's value counts."""
    reading = layered.reading
    for key, name in layered.overridden.items():
        if key in reading.lines:
            yield Finding(
                reading.lines[key],
                "overridden",
                shown(key, reading.values[key]),
                f"Its loader takes the value in {name}, which is another: this one is left out.",
                "Delete the line if nothing else reads it.",
            )
