"""Collect the values of a plan from its files, from git, and from Infisical."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.dotenv import GRAMMARS, Reading, grammar, read
from infisical_iac.dotenv.text import without_comment
from infisical_iac.migrate import findings, git
from infisical_iac.migrate.cascades import paths, read_in
from infisical_iac.migrate.find import content, shared_part
from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedSource, digest


class MovedValue(NamedTuple):
    """The place in Infisical of a value that its file no longer has, and the value's digest."""

    name: Name
    digest: str


@dataclass(frozen=True)
class KnownValues:
    """The values of a plan, by labels such as `backend/.env DATABASE_URL`.

    Attributes:
        values: the values that were read.
        moved: the values that may be only in Infisical.
        unknown: the values that are gone or can't be read, with the reason.
        lost: those of the unknown values that the plan skipped. Somebody may have stored them in
            another place in Infisical; the name is the one in the folder of the file.
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    moved: dict[str, MovedValue] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    lost: dict[str, MovedValue] = field(default_factory=dict)


def in_files(plan: MigrationPlan, root: Path, key: bytes) -> KnownValues:
    """Return the values in the files, each read by the grammar in the plan.

    If a value has changed in its file, the new one is known, and the planned one counts as gone. A
    skipped value that is gone is recognized by its digest: among the other values, and in the
    versions of its file in git.
    """
    known = KnownValues()
    for source in plan.sources:
        here, problem = ({}, "") if source.deleted else _read(source, root)
        if problem:
            known.unknown[source.path] = problem
        for name, value in here.items():
            planned = source.keys.get(name)
            is_other = planned is not None and planned.digest != digest(key, value)
            now = " (in the file now)" if is_other else ""
            known.values[f"{source.path} {name}{now}"] = value
        for name, planned in source.keys.items():
            label = f"{source.path} {name}"
            if label in known.values:
                if not source.deleted:
                    continue
                label = f"{label} (before the file was deleted)"
            place = MovedValue(Name(*source.target, name), planned.digest)
            (known.moved if name in source.stored_keys else known.lost)[label] = place
    by_digest = _by_digest(known.values.values(), key) if known.lost else {}
    for source in plan.sources if known.lost else ():
        _recover(source, root, key, known, by_digest)
    return known


def _by_digest(values: Iterable[str], key: bytes) -> dict[str, str]:
    return {digest(key, value): value for value in values}


def _recover(
    source: PlannedSource, root: Path, key: bytes, known: KnownValues, others: Mapping[str, str]
) -> None:
    """Move the lost values of a file to the known ones, as far as they can be recognized.

    Args:
        others: further values, by their digest.
    """
    labels = [each for each in known.lost if each.startswith(f"{source.path} ")]
    left = {label for label in labels if known.lost[label].digest not in others}
    in_git = _by_digest(_earlier_values(source, root), key) if left else {}
    for label in labels:
        wanted = known.lost[label].digest
        value = others.get(wanted, in_git.get(wanted))
        if value is None:
            known.unknown[label] = _LOST
        else:
            known.values[label] = value
            known.unknown.pop(label, None)
            del known.lost[label]


_LOST = (
    "it was not moved, its file no longer has it, and no version of the file in git has it; "
    "restore the file from its archive, and name it with --env-file"
)


def _earlier_values(source: PlannedSource, root: Path) -> Iterator[str]:
    """Yield the values in all versions of a file that git has, each read by its grammar."""
    if source.grammar not in GRAMMARS:
        return
    found = {path: content(root, path) for path in paths(source)}
    contents = {path: data for path, (data, problem) in found.items() if not problem}
    for data in git.versions((root / source.path).resolve()):
        for reading in (
            read_in(source, contents | {source.path: data}).reading,
            read(data, source.grammar),
        ):
            yield from reading.values.values()


def with_stored(known: KnownValues, stored: Mapping[Name, Stored], key: bytes) -> KnownValues:
    """Return the known values together with the moved ones that Infisical has.

    If a value has changed in Infisical, the new one is known, and the planned one is unknown. A
    lost value is recognized wherever Infisical has it.
    """
    values, unknown = dict(known.values), dict(known.unknown)
    there = (each.value for each in stored.values() if not each.is_hidden)
    by_digest = _by_digest(there, key) if known.lost else {}
    for label, (_, planned) in known.lost.items():
        if planned in by_digest:
            values[label] = by_digest[planned]
            del unknown[label]
    for label, (name, planned) in known.moved.items():
        found = stored.get(name)
        if found is None or found.is_hidden:
            state = "is missing" if found is None else "does not show its value"
            unknown[label] = f"its file no longer has it, and {name} in Infisical {state}"
        elif digest(key, found.value) == planned:
            values[label] = found.value
        else:
            values[f"{label} (in Infisical now)"] = found.value
            unknown[label] = f"its file no longer has it, and {name} has another value"
    return KnownValues(values, unknown=unknown)


def in_env_files(env_files: Sequence[Path], grammar: str) -> dict[str, str]:
    """Return the values of files by file and name. Raises UserError for an unreadable one."""
    if grammar not in GRAMMARS:
        names = ", ".join(GRAMMARS)
        raise UserError(f"{grammar} is not a grammar: name one of {names}", code="error.no_grammar")
    values: dict[str, str] = {}
    for file in env_files:
        try:
            data = file.read_bytes()
        except OSError as failure:
            raise FileError(f"{file} can't be read: {failure.strerror}") from None
        found, error = _values_by_label(findings.drop_pem_pieces(read(data, grammar), data))
        if error:
            raise FileError(f"{file} can't be read by {grammar}: {error}")
        values |= {f"{file} {name}": value for name, value in found.items()}
    return values


def _values_by_label(reading: Reading) -> tuple[dict[str, str], str]:
    """Return a file's values by name, or by line where the name may be a piece of a value.

    Return also the reason why the grammar refuses the whole file; "" if it doesn't.
    """
    values = {findings.label(reading, name): value for name, value in reading.values.items()}
    return values, reading.error


def _uncut_values(reading: Reading, data: bytes) -> dict[str, str]:
    """Return the whole texts of the values that the grammar cuts at a `#`, by a label of theirs."""
    lines = grammar(reading.grammar).decode(data).text.split("\n")
    return {
        f"{each.key} (with the text after the #)": without_comment(
            lines[each.line - 1].partition("=")[2]
        )
        for each in reading.findings
        if each.kind == findings.CUT and findings.safe_name(each.key, "")
    }


def _overrides(
    source: PlannedSource, data: bytes, shared: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the labels and values of one person's overrides in a file.

    Args:
        shared: the values above them, by label.
    """
    above = shared_part(source.path, data)
    if rest := data[len(above) :]:
        rest = b"\n" * above.count(b"\n") + rest  # so that labels have the lines of the file
        values, _ = _values_by_label(findings.drop_pem_pieces(read(rest, source.grammar), rest))
        for name, value in values.items():
            yield f"{name} (below # overrides)" if name in shared else name, value


def _read(source: PlannedSource, root: Path) -> tuple[dict[str, str], str]:
    """Return the values by their names in the plan, or the reason why there are none."""
    if source.grammar not in GRAMMARS:
        return {}, f"{source.grammar} is not a grammar"
    contents = {}
    for path in paths(source):
        try:
            contents[path] = (root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return {}, f"it can't be read: {error.strerror}"
    if source.path not in contents:
        return {}, ""
    reading = read_in(source, contents).reading
    values, refused = _values_by_label(reading)
    values |= _uncut_values(reading, contents[source.path])
    values.update(_overrides(source, contents[source.path], dict(values)))
    return values, f"it can't be read by {source.grammar}: {refused}" if refused else ""
