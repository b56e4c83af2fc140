"""Read what a shell's `source` would assign, without running anything.

Whatever would run a command, or depends on more than the environment, is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.replacing import note_undefined
from infisical_iac.dotenv.shell_references import is_magic
from infisical_iac.dotenv.shell_words import Words
from infisical_iac.dotenv.text import Text, after

_BETWEEN = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_BLANKS = re.compile(r"[ \t]*+")
_ALLEXPORT = re.compile(r"set[ \t]++[-+](?:a|o[ \t]++allexport)(?![^ \t\n;])")
_EXPORT = re.compile(r"export[ \t]++(?=[A-Za-z_])")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*+)(=?)")
_END = re.compile(r"[ \t]*+(?:(?<=[ \t])#[^\n]*+)?(?:[\n;]|\Z)")


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments of a file, with references replaced. Raises Refused."""
    if "\0" in text.text:
        message = "A NUL byte: the shell drops it."
        text.refuse(text.text.index("\0"), "refused", message, "Delete it.")
    entries: list[Entry] = []
    words = Words(text, environ)
    position = 0
    while (start := after(_BETWEEN, text.text, position)) < len(text.text):
        assigned, position = _statement(text, start, words)
        entries += assigned
        words.values.update((entry.key, entry.value) for entry in assigned)
        end = _END.match(text.text, position)
        if not end:
            _refuse(text, position)
        position = end.end()
    return entries


def _refuse(text: Text, position: int) -> NoReturn:
    message = "A shell would run this, or knows more about it than can be read safely."
    text.refuse(position, "refused", message, "Leave assignments only, with values in quotes.")


def _statement(text: Text, start: int, words: Words) -> tuple[list[Entry], int]:
    """Return what a statement assigns, and where it ends."""
    allexport = _ALLEXPORT.match(text.text, start)
    if allexport:
        return [], allexport.end()
    export = _EXPORT.match(text.text, start)
    entries = []
    begin = position = export.end() if export else start
    while name := _NAME.match(text.text, begin):
        position = name.end()
        if name[2]:
            entry, position = _assignment(text, name, words, exported=bool(export))
            entries.append(entry)
            if not export:
                words.values[entry.key] = entry.value
        elif not export:
            _refuse(text, start)
        begin = after(_BLANKS, text.text, position)
        if begin == position:
            break
    if position == start:
        _refuse(text, start)
    return entries, position


def _assignment(
    text: Text, name: re.Match[str], words: Words, *, exported: bool
) -> tuple[Entry, int]:
    if is_magic(name[1]):
        _refuse(text, name.start())
    word = words.read(name.end(), exported=exported)
    written, value = "".join(word.written), "".join(word.read)
    entry = text.entry(name[1], written, name.start(), word.end, word.quote)
    note_undefined(text, entry.first_line, entry.key, word.undefined)
    return (entry if value == written else replace(entry, value=value)), word.end
