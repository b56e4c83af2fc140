"""Reads a .env file as the parser of one grammar does."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from infisical_iac.dotenv import expand, next_env, python_references
from infisical_iac.dotenv.decoding import decode
from infisical_iac.dotenv.grammars import compose, node, npm, shell
from infisical_iac.dotenv.model import Entry, Finding, Reading
from infisical_iac.dotenv.text import Refused, Text

_PARSERS: dict[str, Callable[[Text, Mapping[str, str]], list[Entry]]] = {
    "dotenv": npm.parse,
    "dotenv-expand": expand.parse,
    "next": next_env.parse,
    "node-env-file": node.parse,
    "python-dotenv": python_references.parse,
    "python-dotenv-raw": python_references.parse_raw,
    "compose": compose.parse,
    "shell": shell.parse,
}
GRAMMARS = tuple(_PARSERS)
_NOTHING: Mapping[str, str] = MappingProxyType({})


def read(data: bytes, grammar: str, environ: Mapping[str, str] = _NOTHING) -> Reading:
    """Return what the parser of a grammar (one of GRAMMARS) reads from a file's bytes.

    `environ` is the environment in which the program would run: references are looked up in it.
    Raises ValueError for a grammar that isn't known, and nothing whatever the bytes are: where the
    parser refuses the file, so does the reading.
    """
    if grammar not in _PARSERS:
        raise ValueError(f"No grammar {grammar!r}: it is one of {', '.join(GRAMMARS)}.")
    findings: list[Finding] = []
    try:
        text = decode(data, grammar)
        findings = text.findings
        entries = _PARSERS[grammar](text, environ)
    except Refused as refused:
        findings.append(refused.finding)
        return Reading(grammar, (), _sorted(findings), refused.finding.message)
    findings += [
        *_overwritten(entries),
        *_interpolated(entries),
        *_cut(entries),
        *_returns(entries),
    ]
    return Reading(grammar, tuple(entries), _sorted(findings))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.line))


def _overwritten(entries: Iterable[Entry]) -> Iterator[Finding]:
    seen: dict[str, Entry] = {}
    for entry in entries:
        if entry.key in seen:
            earlier = seen[entry.key].first_line
            message = f"Already assigned on line {earlier}: the last one counts."
            remedy = "Delete the others."
            yield Finding(entry.first_line, "duplicate-key", entry.key, message, remedy)
        seen[entry.key] = entry


def _interpolated(entries: Iterable[Entry]) -> Iterator[Finding]:
    for entry in entries:
        if entry.value != entry.written:
            message = "The program does not get what is written: references in it are replaced."
            remedy = "Store the value that the program gets."
            yield Finding(entry.first_line, "interpolated", entry.key, message, remedy)


def _cut(entries: Iterable[Entry]) -> Iterator[Finding]:
    for entry in entries:
        begins = entry.written.startswith("-----BEGIN") and "-----END" not in entry.written
        if begins and not entry.quote:
            message = "Without quotes the value is the first line of this key only."
            remedy = "Quote the value."
            yield Finding(entry.first_line, "cut-at-line-end", entry.key, message, remedy)


def _returns(entries: Iterable[Entry]) -> Iterator[Finding]:
    for entry in entries:
        if "\r" in entry.raw:
            message = "The lines end as in Windows: the carriage return is a part of the value."
            remedy = "Save the file with line ends of LF alone, unless the program needs the CR."
            yield Finding(entry.first_line, "carriage-return", entry.key, message, remedy)
