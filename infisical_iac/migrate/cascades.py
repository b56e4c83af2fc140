"""Read files like the loaders that merge several files of a directory by mode."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from infisical_iac.core.wording import join_names
from infisical_iac.dotenv import Finding, Reading, all_grammars, read, read_merged
from infisical_iac.dotenv.grammar import Cascade
from infisical_iac.migrate import find, findings
from infisical_iac.migrate.findings import is_bootstrap, safe_name
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import PlannedSource

CASCADES: Mapping[str, tuple[str, Cascade]] = {
    name: (each.name, cascade) for each in all_grammars() for name, cascade in each.cascades.items()
}
"""The loaders by name, each with its grammar; a file with another grammar is read by itself."""

LOCAL = ".env.local"
"""A file that loaders read in every mode, on one person's machine."""

OVERRIDDEN = "overridden"
"""The kind of the finding on a key that is left out: a shared file has another value."""
PERSONAL_OVERRIDE = "personal-override"
"""The kind of the finding on a key that only personal files override.

The decision on these files determines the stored value.
"""


class Spot(NamedTuple):
    """A file to be read; its fields are those of `Source`."""

    path: str
    environment: str
    grammar: str
    loader: str
    layers: tuple[str, ...] = ()


CascadeFile = Spot | Source | PlannedSource


def find_cascade(file: CascadeFile) -> Cascade | None:
    """Return the loader of a file that is read together with others; None for other files."""
    grammar, found = CASCADES.get(file.loader, ("", None))
    return found if grammar == file.grammar else None


def is_read(loader: str, name: str) -> bool:
    """Return whether a loader reads a file of this name, even if it looks like a sample."""
    return loader in CASCADES and name in CASCADES[loader][1].files


def is_of_every_mode(file: CascadeFile) -> bool:
    """Return whether the loader of a file reads it in every mode."""
    found = find_cascade(file)
    return found is not None and posixpath.basename(file.path) in found.files


def mode_of(file: CascadeFile) -> str:
    """Return the mode of a file: that of its name, or else of its environment."""
    name = posixpath.basename(file.path)
    if name.startswith(".env.") and not is_of_every_mode(file):
        return name.removeprefix(".env.").removesuffix(".local")
    return find.mode(file.environment)


def layers(files: Iterable[CascadeFile]) -> dict[str, tuple[str, ...]]:
    """Return for each file, by path, the names of the files that its loader reads together.

    They include the file itself, and the last one wins. They have the directory, the loader and the
    mode in common. A file that is read by itself has none. A `.env.local` counts for its own
    environment only, because it is on no other machine.
    """
    groups: dict[tuple[str, str], list[CascadeFile]] = {}
    for each in files:
        groups.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    return {each.path: _layers(each, group) for group in groups.values() for each in group}


def _layers(file: CascadeFile, group: Iterable[CascadeFile]) -> tuple[str, ...]:
    found = find_cascade(file)
    if not found:
        return ()
    there = {
        posixpath.basename(each.path)
        for each in group
        if find_cascade(each) == found
        if posixpath.basename(each.path) != LOCAL or each.environment == file.environment
    }
    read = tuple(name for name in found.names(mode_of(file)) if name in there)
    return read if posixpath.basename(file.path) in read else ()


class Layered(NamedTuple):
    """A reading, and the keys that another file overrides.

    Attributes:
        overridden: the name of the overriding file, by key; that of a shared file, if there is one.
        personal: the names of the overriding files, by key, if all of them are personal. The last
            one wins.
    """

    reading: Reading
    overridden: Mapping[str, str]
    personal: Mapping[str, tuple[str, ...]]


def paths(file: CascadeFile) -> list[str]:
    """Return the paths of the files that are read together with a file; the last one wins."""
    directory, name = posixpath.split(file.path)
    names = file.layers if name in file.layers else (name,)
    return [posixpath.join(directory, each) for each in names]


def read_in(file: CascadeFile, contents: Mapping[str, bytes]) -> Layered:
    """Return the content of a file, with references replaced as its loader does.

    A key that another file overrides has this file's own value. Overrides of one person are left
    out, as they are not migrated.

    Args:
        contents: the bytes of the file and of those read with it, by path; some may be missing.
    """
    there = {e: find.shared_part(e, contents[e]) for e in paths(file) if e in contents}
    place = list(there).index(file.path)
    above = dict([*there.items()][place + 1 :])
    by_itself = _read_by_itself(file, there[file.path])
    found = find_cascade(file)
    if found is None or found.merging == "as-written" or len(there) == 1:
        reading = by_itself
    elif found.merging == "together":
        reading = read_merged([*there.values()], place, found.parser)
    else:
        reading = _read_after(there[file.path], [*above.values()], file.grammar)
    readings = {path: _read_by_itself(file, each) for path, each in above.items()}
    overridden = _overriding_files(by_itself, readings)
    shared = {path: each for path, each in readings.items() if not _is_personal(path)}
    in_any_case = _overriding_files(by_itself, shared)
    overridden = {key: in_any_case.get(key, name) for key, name in overridden.items()}
    own = {each.first_line: each for each in by_itself.entries if each.key in overridden}
    if own:
        entries = (own.get(each.first_line, each) for each in reading.entries)
        reading = replace(reading, entries=tuple(entries))
    personal = _personal_overrides(overridden.keys() - in_any_case.keys(), by_itself, readings)
    return Layered(findings.drop_pem_pieces(reading, there[file.path]), overridden, personal)


def _read_after(data: bytes, above: Sequence[bytes], grammar: str) -> Reading:
    """Return the file as read after the files `above` it, in ascending precedence."""
    environ: dict[str, str] = {}
    for each in reversed(above):
        environ = read(each, grammar, environ).values | environ
    reading = read(data, grammar, environ)
    entries = (replace(each, value=environ.get(each.key, each.value)) for each in reading.entries)
    return replace(reading, entries=tuple(entries)) if environ else reading


def _read_by_itself(file: CascadeFile, data: bytes) -> Reading:
    """Return a file as its loader reads it without the others."""
    found = find_cascade(file)
    together = found is not None and found.merging == "together"
    return read_merged([data], 0, found.parser) if found and together else read(data, file.grammar)


def _overriding_files(by_itself: Reading, above: Mapping[str, Reading]) -> dict[str, str]:
    """Return by key the name of the file that overrides it with another text."""
    own = _written_values(by_itself)
    found: dict[str, str] = {}
    for path, reading in above.items():
        for key, written in _written_values(reading).items():
            if key in own:
                found[key] = posixpath.basename(path) if written != own[key] else ""
    return {key: name for key, name in found.items() if name}


def _written_values(reading: Reading) -> dict[str, str]:
    return {each.key: each.written for each in reading.entries}


def _personal_overrides(
    keys: Set[str], by_itself: Reading, above: Mapping[str, Reading]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the personal files that override each of these keys.

    No shared file overrides one of them. If a shared file has the same value, only the personal
    files after it count.
    """
    own = _written_values(by_itself)
    found: dict[str, tuple[str, ...]] = dict.fromkeys(keys, ())
    for path, reading in above.items():
        written = _written_values(reading)
        for key in keys & written.keys():
            if not _is_personal(path):
                found[key] = ()
            elif written[key] != own[key]:
                found[key] += (posixpath.basename(path),)
    return found


def _is_personal(path: str) -> bool:
    return find.is_personal(posixpath.basename(path))


def find_overridden(
    file: Spot, layered: Layered, contents: Mapping[str, bytes]
) -> Iterator[Finding]:
    """Yield the findings on keys that another file overrides, or may override.

    The variables of a service's login are skipped: they are never moved.

    Args:
        contents: the argument of `read_in`.
    """
    reading = layered.reading
    for key, name in layered.overridden.items():
        if key not in reading.lines or is_bootstrap(key):
            continue
        line, shown = reading.lines[key], safe_name(key, reading.values[key])
        if key in layered.personal:
            message, remedy = _describe_outcomes(file, key, layered.personal[key], contents)
            yield Finding(line, PERSONAL_OVERRIDE, shown, message, remedy)
        else:
            message = f"{name}, which wins over this file, has another value: this one is left out."
            remedy = "Delete the line if nothing else reads it."
            yield Finding(line, OVERRIDDEN, shown, message, remedy)


def _describe_outcomes(
    file: Spot, key: str, personal: Sequence[str], contents: Mapping[str, bytes]
) -> tuple[str, str]:
    """Return a message with the length of each possible value, and a remedy with the edits.

    Args:
        personal: the names of the personal files with another value; the last one wins.
    """
    directory, name = posixpath.split(file.path)
    candidates = [posixpath.join(directory, each) for each in (name, *personal)]
    lengths, edits = [], []
    for number, path in enumerate(candidates, start=1):
        later = candidates[number:]
        layers = tuple(e for e in file.layers if posixpath.join(directory, e) not in later)
        place = file._replace(path=path, layers=layers)
        value = read_in(place, contents).reading.values.get(key, "")
        lengths.append(f"{len(value)} characters in {path}")
        decisions = [f"`decision: skip` on {join_names(later)}"] if later else []
        decisions += [f"`decision: store` on {path}"] if _is_personal(path) else []
        again = ", then plan again" if later else ""
        edits.append(f"the value of {path}: {join_names(decisions)}{again}")
    files = join_names(candidates[1:])
    personal_files = f"{files}, {'a personal file' if len(personal) == 1 else 'personal files'}"
    return (
        f"Which value is stored depends on the decision on {personal_files}: {', '.join(lengths)}.",
        f"Store {'; store '.join(edits)}.",
    )


_NAMED = 5  # keys in a message


def of_modes(sources: Sequence[Source]) -> Iterator[FileFinding]:
    """Yield the findings on files that their loader reads in every mode, or in none.

    Skip personal files (`.env.local`): they do not exist in production.
    """
    others: dict[tuple[str, str], list[Source]] = {}  # the files of one mode
    for each in sources:
        if find_cascade(each) and each.environment and not is_of_every_mode(each):
            others.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    for source in sources:
        found = find_cascade(source)
        if found is None or posixpath.basename(source.path) == LOCAL:
            continue
        if not is_of_every_mode(source):
            yield from _unread(source, found)
            continue
        here = others.get((posixpath.dirname(source.path), source.loader), [])
        files = [each for each in here if each.environment != source.environment]
        if not files:
            yield _file_finding(
                source,
                "every-mode",
                f"{found.title} reads this file in every environment, but its keys are stored in "
                f"{source.environment or 'one environment'} only: the other environments lack "
                "them.",
                "Write the keys that another environment needs into its own file, such as "
                ".env.production, and plan again; or add them in Infisical.",
            )
        else:
            yield from _lacking(source, found, files)


def _lacking(source: Source, found: Cascade, files: Sequence[Source]) -> Iterator[FileFinding]:
    """Yield a finding for each environment of `files` that takes keys only from this source."""
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
                f"{found.title} reads this file in {environment} too, but it goes to "
                f"{source.environment} only: {environment} would lack {', '.join(named)}.",
                f"Add what {environment} needs to {posixpath.basename(there[0].path)} and plan "
                f"again, or leave {environment} without them: `decision: store` on this file.",
            )


def _unread(source: Source, found: Cascade) -> Iterator[FileFinding]:
    mode, remedy = mode_of(source), "Find out what reads this file, or leave it out."
    if posixpath.basename(source.path) not in found.names(mode):
        yield _file_finding(
            source, "unread", f"{found.title} reads no file of this name by itself.", remedy
        )
    elif found.modes and mode not in found.modes:
        modes = ", ".join(found.modes)
        message = f"{found.title} has the modes {modes} only: it doesn't read this file."
        yield _file_finding(source, "unread", message, remedy)


def _file_finding(source: Source, kind: str, message: str, remedy: str) -> FileFinding:
    return FileFinding.of(source.path, Finding(0, kind, "", message, remedy))
