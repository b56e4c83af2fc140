"""Read a .env file by a grammar, or several files together as Vite does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from infisical_iac.dotenv import grammars
from infisical_iac.dotenv.grammar import Grammar
from infisical_iac.dotenv.text import Entry, FileRefused, Finding, Text, with_values

_NOTHING: Mapping[str, str] = MappingProxyType({})


def _load_grammars() -> Iterator[Grammar]:
    """Yield an instance of each grammar in the modules of `grammars`."""
    for each in iter_modules(grammars.__path__, f"{grammars.__name__}."):
        module = import_module(each.name)
        kinds = (value for value in vars(module).values() if isinstance(value, type))
        for kind in kinds:
            is_own = kind.__module__ == module.__name__ and "name" in vars(kind)
            if is_own and issubclass(kind, Grammar):
                yield kind()


_BY_NAME = {each.name: each for each in sorted(_load_grammars(), key=lambda each: each.place)}
GRAMMARS = tuple(_BY_NAME)
"""The names of the grammars."""
_MERGED = next(
    each.name
    for each in _BY_NAME.values()
    if any(cascade.merging == "together" for cascade in each.cascades.values())
)


def grammar(name: str) -> Grammar:
    """Return the grammar of a name. Raises ValueError for an unknown one."""
    if name not in _BY_NAME:
        raise ValueError(f"No grammar {name!r}: it is one of {', '.join(GRAMMARS)}.")
    return _BY_NAME[name]


def all_grammars() -> Iterable[Grammar]:
    """Return the grammars, the most common first."""
    return _BY_NAME.values()


@dataclass(frozen=True)
class Reading:
    """A file as read by a grammar; `error` is the reason if the parser refuses the whole file."""

    grammar: str
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    error: str = ""

    @cached_property
    def values(self) -> dict[str, str]:
        """Return the values that the program gets, in the order of the real parser."""
        return grammar(self.grammar).order({entry.key: entry.value for entry in self.entries})

    @cached_property
    def lines(self) -> dict[str, int]:
        """Return the first line of the entry that counts, by key."""
        return {entry.key: entry.first_line for entry in self.entries}


def read(data: bytes, name: str, environ: Mapping[str, str] = _NOTHING) -> Reading:
    """Read a file by a grammar.

    Args:
        data: the bytes of the file.
        name: the name of the grammar, one of GRAMMARS.
        environ: the environment of the program, in which references are looked up.

    Raises ValueError for an unknown grammar. No bytes raise an error: if the parser refuses the
    file, the reading has an `error`.
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
    """Read one of several files that are merged before references are replaced, as Vite does.

    So a reference sees the values of all files, also those further down.

    Args:
        files: their bytes; a later file wins.
        place: the index of the file to read. Values that a later file overrides stay as written.
        parser: the grammar of the files before references are replaced.
    """
    merged = grammar(_MERGED)
    readings = [read(data, parser) for data in files]
    own = replace(readings[place], grammar=_MERGED)
    owners = {key: index for index, each in enumerate(readings) for key in each.values}
    written = merged.order({key: value for each in readings for key, value in each.values.items()})
    of_own, of_others = Text(""), Text("")
    values = dict(written)
    try:
        for key, value in written.items():
            text = of_own if owners[key] == place else of_others
            line = readings[owners[key]].lines[key]
            merged.expand(text, key, value, line, values)
    except FileRefused as refused:
        all_findings = (*own.findings, refused.finding)
        return Reading(_MERGED, (), all_findings, refused.finding.message)
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

    Args:
        earlier: the line of the previous assignment to the same key, if there is one.
    """
    if earlier is not None:
        message = f"Already assigned on line {earlier}: the last one counts."
        yield "duplicate-key", message, "Delete the others."
    if entry.value != entry.written:
        message = "The program does not get the written value: references in it are replaced."
        yield "interpolated", message, "Store the value that the program gets."
    begins = entry.written.startswith("-----BEGIN") and "-----END" not in entry.written
    if begins and not entry.quote:
        message = "Without quotes the value is the first line of this key only."
        yield "cut-at-line-end", message, "Quote the value."
    if "\r" in entry.raw:
        message = "The lines end as in Windows: the carriage return is a part of the value."
        remedy = "Save the file with LF as line ends, unless the program needs the CR."
        yield "carriage-return", message, remedy
