"""Reads a .env file as the parser of one grammar does, or several as Vite does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from infisical_iac.dotenv import grammars
from infisical_iac.dotenv.grammar import Grammar
from infisical_iac.dotenv.grammars.npm import DotenvExpand, Expansion
from infisical_iac.dotenv.model import Entry, Finding
from infisical_iac.dotenv.text import FileRefused, Text, with_values

_NOTHING: Mapping[str, str] = MappingProxyType({})
_MERGED = DotenvExpand.name


def _found() -> Iterator[Grammar]:
    """Yield one of each grammar that a module of `grammars` defines."""
    for each in iter_modules(grammars.__path__, f"{grammars.__name__}."):
        module = import_module(each.name)
        kinds = (value for value in vars(module).values() if isinstance(value, type))
        for kind in kinds:
            is_own = kind.__module__ == module.__name__ and "name" in vars(kind)
            if is_own and issubclass(kind, Grammar):
                yield kind()


_BY_NAME = {each.name: each for each in sorted(_found(), key=lambda each: each.place)}
GRAMMARS = tuple(_BY_NAME)
"""The names of the grammars."""


def grammar(name: str) -> Grammar:
    """Return the grammar of a name. Raises ValueError for one that isn't known."""
    if name not in _BY_NAME:
        raise ValueError(f"No grammar {name!r}: it is one of {', '.join(GRAMMARS)}.")
    return _BY_NAME[name]


def all_grammars() -> Iterable[Grammar]:
    """Return the grammars, the most common first."""
    return _BY_NAME.values()


@dataclass(frozen=True)
class Reading:
    """A file as the parser of a grammar reads it; `error` says why it refuses the whole file."""

    grammar: str
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    error: str = ""

    @cached_property
    def values(self) -> dict[str, str]:
        """Return what the program gets, in the order in which the real parser returns it."""
        return grammar(self.grammar).order({entry.key: entry.value for entry in self.entries})

    @cached_property
    def lines(self) -> dict[str, int]:
        """Return the line in which the entry that counts begins, by key."""
        return {entry.key: entry.first_line for entry in self.entries}


def read(data: bytes, name: str, environ: Mapping[str, str] = _NOTHING) -> Reading:
    """Return what the parser of a grammar (one of GRAMMARS) reads from a file's bytes.

    `environ` is the environment in which the program would run: references are looked up in it.
    Raises ValueError for a grammar that isn't known, and nothing whatever the bytes are: where the
    parser refuses the file, so does the reading.
    """
    by = grammar(name)
    findings: list[Finding] = []
    try:
        text = by.decode(data)
        findings = text.findings
        entries = by.parse(text, environ)
    except FileRefused as refused:
        findings.append(refused.finding)
        return Reading(name, (), _sort_by_line(findings), refused.finding.message)
    lines: dict[str, int] = {}
    for entry in entries:
        for kind, message, remedy in _of_entry(entry, lines.get(entry.key)):
            findings.append(Finding(entry.first_line, kind, entry.key, message, remedy))
        lines[entry.key] = entry.first_line
    return Reading(name, tuple(entries), _sort_by_line(findings))


def read_merged(files: Sequence[bytes], place: int, parser: str = "dotenv") -> Reading:
    """Return one of several files, with references replaced by what any has, also further down.

    So does Vite: all files of a mode are merged, then references in all are replaced at once.

    Args:
        files: their bytes; a later one wins.
        place: which of them is read. What a later one has otherwise stays as it is written.
        parser: the grammar by which they are read before references are replaced.
    """
    readings = [read(data, parser) for data in files]
    own = replace(readings[place], grammar=_MERGED)
    owners = {key: index for index, each in enumerate(readings) for key in each.values}
    written = grammar(_MERGED).order(
        {key: value for each in readings for key, value in each.values.items()}
    )
    of_own, of_others = Text(""), Text("")
    values = dict(written)
    try:
        for key, value in written.items():
            text = of_own if owners[key] == place else of_others
            line = readings[owners[key]].lines[key]
            Expansion(text, {}, values).add(key, value, line)
    except FileRefused as refused:
        told = (*own.findings, refused.finding)
        return Reading(_MERGED, (), told, refused.finding.message)
    here = {
        key: values[key] if written[key] == own.values[key] else own.values[key]
        for key in own.values
    }
    findings = sorted((*own.findings, *of_own.findings), key=lambda each: each.line)
    return replace(own, entries=tuple(with_values(own.entries, here)), findings=tuple(findings))


def _sort_by_line(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.line))


def _of_entry(entry: Entry, earlier: int | None) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the message and the remedy of each finding.

    `earlier` is the line of the assignment before it to the same key, if there is one.
    """
    if earlier is not None:
        message = f"Already assigned on line {earlier}: the last one counts."
        yield "duplicate-key", message, "Delete the others."
    if entry.value != entry.written:
        message = "The program does not get what is written: references in it are replaced."
        yield "interpolated", message, "Store the value that the program gets."
    begins = entry.written.startswith("-----BEGIN") and "-----END" not in entry.written
    if begins and not entry.quote:
        message = "Without quotes the value is the first line of this key only."
        yield "cut-at-line-end", message, "Quote the value."
    if "\r" in entry.raw:
        message = "The lines end as in Windows: the carriage return is a part of the value."
        remedy = "Save the file with line ends of LF alone, unless the program needs the CR."
        yield "carriage-return", message, remedy
