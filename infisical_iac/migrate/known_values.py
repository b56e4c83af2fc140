"""The values of a plan, wherever they are today: in the files, or in Infisical alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from infisical_iac.dotenv import GRAMMARS, Reading, read
from infisical_iac.migrate import findings, multiline_keys
from infisical_iac.migrate.cascades import paths, read_in
from infisical_iac.migrate.fingerprint import digest
from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import Plan, PlannedSource


class MovedValue(NamedTuple):
    """The place of a value that its file does not have any more, and the digest to tell it by."""

    name: Name
    digest: str


@dataclass(frozen=True)
class KnownValues:
    """Hold what is known of a plan's values, by labels such as `backend/.env DATABASE_URL`.

    Attributes:
        values: those that were read.
        moved: those that Infisical alone may have.
        unknown: those that are nowhere any more, or can't be read, and why.
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    moved: dict[str, MovedValue] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


def in_files(plan: Plan, root: Path, key: bytes) -> KnownValues:
    """Return what the files tell, each read by the grammar that the plan has for it.

    Of a value that has changed there, the new one is known, and the planned one is looked for
    as if the file were gone.

    Args:
        root: the directory that the sources' paths begin in.
        key: of the hashes of values.
    """
    known = KnownValues()
    for source in plan.sources:
        here, problem = _read(source, root)
        if problem:
            known.unknown[source.path] = problem
        for name, value in here.items():
            planned = source.keys.get(name)
            is_other = planned is not None and planned.digest != digest(key, value)
            known.values[_label(source, name, "in the file now" if is_other else "")] = value
        _add_others(known, source)
    return known


def with_stored(known: KnownValues, stored: Mapping[Name, Stored], key: bytes) -> KnownValues:
    """Return the same with what Infisical has of the values that were moved.

    One that was changed there is known, and the planned one is unknown.
    """
    values, unknown = dict(known.values), dict(known.unknown)
    for label, (name, planned) in known.moved.items():
        there = stored.get(name)
        if there is None or there.is_hidden:
            told = "is not there" if there is None else "does not show its value"
            unknown[label] = f"its file does not have it any more, and {name} in Infisical {told}"
        elif digest(key, there.value) == planned:
            values[label] = there.value
        else:
            values[f"{label} (in Infisical now)"] = there.value
            unknown[label] = f"its file does not have it any more, and {name} has another value"
    return KnownValues(values, unknown=unknown)


def labelled(data: bytes, grammar: str) -> tuple[dict[str, str], str]:
    """Return a file's values by name, or by line where that may be a piece of a value.

    Returns also why the grammar, one of GRAMMARS, refuses the whole file; "" if it doesn't.
    """
    reading = multiline_keys.drop_pem_pieces(read(data, grammar), data)
    return _labelled(reading), reading.error


def _labelled(reading: Reading) -> dict[str, str]:
    return {findings.label(reading, name): value for name, value in reading.values.items()}


def _read(source: PlannedSource, root: Path) -> tuple[dict[str, str], str]:
    """Return the values by the names that the plan has for them, or why there are none."""
    if source.grammar not in GRAMMARS:
        return {}, f"{source.grammar} is no grammar"
    try:
        contents = _contents(source, root)
    except OSError as error:
        return {}, f"it can't be read: {error.strerror}"
    if source.path not in contents:
        return {}, ""
    reading = read_in(source, contents).reading
    refused = f"it can't be read by {source.grammar}: {reading.error}" if reading.error else ""
    return _labelled(reading), refused


def _contents(source: PlannedSource, root: Path) -> dict[str, bytes]:
    """Return the bytes of the file and of those read with it, by path; of those that are there."""
    contents = {}
    for path in paths(source):
        try:
            contents[path] = (root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
    return contents


def _add_others(known: KnownValues, source: PlannedSource) -> None:
    """Add the planned values that the file does not have."""
    for name, planned in source.keys.items():
        label = _label(source, name)
        if label in known.values:
            continue
        if name in source.stored:
            place = Name(source.environment, source.folder, name)
            known.moved[label] = MovedValue(place, planned.digest)
        else:
            known.unknown[label] = "it was not moved, and its file does not have it any more"


def _label(source: PlannedSource, name: str, more: str = "") -> str:
    return f"{source.path} {name}" + (f" ({more})" if more else "")
