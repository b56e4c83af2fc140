"""Loaders that read several files of a directory by mode, and a file as they read it."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from infisical_iac.dotenv import Finding, Reading, all_grammars, read, read_merged
from infisical_iac.dotenv.grammar import Cascade
from infisical_iac.migrate import find, multiline_keys
from infisical_iac.migrate.findings import is_bootstrap, safe_name
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import PlannedSource

CASCADES: Mapping[str, tuple[str, Cascade]] = {
    name: (each.name, cascade) for each in all_grammars() for name, cascade in each.cascades.items()
}
"""By name, each with the name of its grammar: a file that is read by another is read alone."""

LOCAL = ".env.local"
"""A file in every mode, but of the machine that it is on."""


class Spot(NamedTuple):
    """A file that is to be read; its fields are those of `Source`."""

    path: str
    environment: str
    grammar: str
    loader: str
    layers: tuple[str, ...] = ()


CascadeFile = Spot | Source | PlannedSource


def cascade(file: CascadeFile) -> Cascade | None:
    """Return what reads the file with others, if its loader does."""
    grammar, found = CASCADES.get(file.loader, ("", None))
    return found if grammar == file.grammar else None


def is_read(loader: str, name: str) -> bool:
    """Return whether a loader reads a file of this name, though others take it for a sample."""
    return loader in CASCADES and name in CASCADES[loader][1].files


def is_of_every_mode(file: CascadeFile) -> bool:
    """Return whether its loader reads the file whatever the mode."""
    found = cascade(file)
    return found is not None and posixpath.basename(file.path) in found.files


def mode_of(file: CascadeFile) -> str:
    """Return the mode in which a file is read: that of its name, or else of its environment."""
    name = posixpath.basename(file.path)
    if name.startswith(".env.") and not is_of_every_mode(file):
        return name.removeprefix(".env.").removesuffix(".local")
    return find.mode(file.environment)


def layers(files: Iterable[CascadeFile]) -> dict[str, tuple[str, ...]]:
    """Return the names of the files that are read with each file, itself among them, by its path.

    The last one wins. They are of one directory, one loader and the file's mode; there are none
    for a file that is read alone. A `.env.local` counts for its own environment only, as it is
    not where others run.
    """
    beside: dict[tuple[str, str], list[CascadeFile]] = {}
    for each in files:
        beside.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    return {each.path: _layers(each, group) for group in beside.values() for each in group}


def _layers(file: CascadeFile, group: Iterable[CascadeFile]) -> tuple[str, ...]:
    found = cascade(file)
    if not found:
        return ()
    there = {
        posixpath.basename(each.path)
        for each in group
        if cascade(each) == found
        if posixpath.basename(each.path) != LOCAL or each.environment == file.environment
    }
    read = tuple(name for name in found.names(mode_of(file)) if name in there)
    return read if posixpath.basename(file.path) in read else ()


class Layered(NamedTuple):
    """A reading, and the keys of which another file's value counts, with the name of that file."""

    reading: Reading
    overridden: Mapping[str, str]


def paths(file: CascadeFile) -> list[str]:
    """Return the paths of the files that are read with a file, itself too; the last one wins."""
    directory, name = posixpath.split(file.path)
    names = file.layers if name in file.layers else (name,)
    return [posixpath.join(directory, each) for each in names]


def read_in(file: CascadeFile, contents: Mapping[str, bytes]) -> Layered:
    """Return what a file has in it, with references replaced as its loader does.

    A key that another file overrides has the value of this file by itself.

    Args:
        contents: the bytes of the file and of those read with it, by path; some may be missing.
    """
    there = {path: contents[path] for path in paths(file) if path in contents}
    place = list(there).index(file.path)
    above = dict([*there.items()][place + 1 :])
    alone = _read_alone(file, there[file.path])
    found = cascade(file)
    if found is None or found.merging == "as-written" or len(there) == 1:
        reading = alone
    elif found.merging == "together":
        reading = read_merged([*there.values()], place, found.parser)
    else:
        reading = _in_turn(there[file.path], [*above.values()], file.grammar)
    overridden = _overriding_files(
        alone, {path: _read_alone(file, each) for path, each in above.items()}
    )
    own = {each.first_line: each for each in alone.entries if each.key in overridden}
    if own:
        entries = (own.get(each.first_line, each) for each in reading.entries)
        reading = replace(reading, entries=tuple(entries))
    return Layered(multiline_keys.drop_pem_pieces(reading, there[file.path]), overridden)


def _in_turn(data: bytes, above: Sequence[bytes], grammar: str) -> Reading:
    """Return the file as read after those above, of which the one that wins is read first."""
    environ: dict[str, str] = {}
    for each in reversed(above):
        environ = read(each, grammar, environ).values | environ
    reading = read(data, grammar, environ)
    entries = (replace(each, value=environ.get(each.key, each.value)) for each in reading.entries)
    return replace(reading, entries=tuple(entries)) if environ else reading


def _read_alone(file: CascadeFile, data: bytes) -> Reading:
    """Return a file as its loader reads it where no other is beside it."""
    found = cascade(file)
    together = found is not None and found.merging == "together"
    return read_merged([data], 0, found.parser) if found and together else read(data, file.grammar)


def _overriding_files(alone: Reading, above: Mapping[str, Reading]) -> dict[str, str]:
    """Return the name of the file that counts for each key, if something else is written there."""
    own = _written_values(alone)
    found: dict[str, str] = {}
    for path, reading in above.items():
        for key, written in _written_values(reading).items():
            if key in own:
                found[key] = posixpath.basename(path) if written != own[key] else ""
    return {key: name for key, name in found.items() if name}


def _written_values(reading: Reading) -> dict[str, str]:
    return {each.key: each.written for each in reading.entries}


def find_overridden(layered: Layered) -> Iterator[Finding]:
    """Yield the findings on keys of which another file's value counts."""
    reading = layered.reading
    for key, name in layered.overridden.items():
        if key in reading.lines:
            as_shown = safe_name(key, reading.values[key])
            told = f"Its loader takes the value in {name}, which is another: this one is left out."
            remedy = "Delete the line if nothing else reads it."
            yield Finding(reading.lines[key], "overridden", as_shown, told, remedy)


_NAMED = 5  # of the keys


def of_modes(sources: Sequence[Source]) -> Iterator[FileFinding]:
    """Yield the findings on files that are read in every mode, or in none that their loader has."""
    others: dict[tuple[str, str], list[Source]] = {}  # those that are read in one mode only
    for each in sources:
        if cascade(each) and each.environment and not is_of_every_mode(each):
            others.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    for source in sources:
        found = cascade(source)
        if found is None:
            continue
        if not is_of_every_mode(source):
            yield from _unread(source, found)
            continue
        here = others.get((posixpath.dirname(source.path), source.loader), [])
        files = [each for each in here if each.environment != source.environment]
        if posixpath.basename(source.path) == LOCAL or not files:
            yield _file_finding(
                source,
                "every-mode",
                f"{found.title} reads it in production too, and here it goes to one environment "
                "alone.",
                "Add to the production file the keys that it lacks.",
            )
        else:
            yield from _lacking(source, found, files)


def _lacking(source: Source, found: Cascade, files: Sequence[Source]) -> Iterator[FileFinding]:
    """Yield a finding for each environment of `files` in which keys are from here alone."""
    for environment in dict.fromkeys(each.environment for each in files):
        there = [each for each in files if each.environment == environment]
        if posixpath.basename(source.path) not in there[0].layers:
            continue
        has = {key for each in there for key in each.reading.values}
        values = source.reading.values
        lacks = [key for key in values if key not in has and not is_bootstrap(key)]
        if lacks:
            named = [safe_name(key, values[key]) or "one" for key in lacks[:_NAMED]]
            named += [f"{len(lacks) - _NAMED} more"] if len(lacks) > _NAMED else []
            yield _file_finding(
                source,
                "lacking",
                f"{found.title} reads it in {environment} too, and only here are "
                f"{', '.join(named)}; it goes to one environment alone.",
                f"Add what {environment} needs to {posixpath.basename(there[0].path)} and plan "
                f"again, or leave {environment} without them: `decision: store` on this file.",
            )


def _unread(source: Source, found: Cascade) -> Iterator[FileFinding]:
    mode, remedy = mode_of(source), "See what reads it, or leave the file out."
    if posixpath.basename(source.path) not in found.names(mode):
        yield _file_finding(
            source, "unread", f"{found.title} reads no file of this name by itself.", remedy
        )
    elif found.modes and mode not in found.modes:
        modes = ", ".join(found.modes)
        message = f"{found.title} has the modes {modes} only: it doesn't read this."
        yield _file_finding(source, "unread", message, remedy)


def _file_finding(source: Source, kind: str, message: str, remedy: str) -> FileFinding:
    return FileFinding.of(source.path, Finding(0, kind, "", message, remedy))
