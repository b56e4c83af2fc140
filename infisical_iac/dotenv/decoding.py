"""From a file's bytes to text, as each parser decodes them."""

import re

from infisical_iac.dotenv.model import Finding
from infisical_iac.dotenv.text import Refused, Text

_BOM = "\ufeff"
_UTF_8 = "Save the file as UTF-8 and scan again."

_STRICT = ("python-dotenv", "python-dotenv-raw", "shell")

# What each parser makes of the mark that some editors put before the first line.
_BOMS = {
    "node-env-file": "The byte order mark becomes a part of the first name.",
    "shell": "The byte order mark becomes a part of the first command, which fails.",
}


def decode(data: bytes, grammar: str) -> Text:
    """The text of a file, with findings about its encoding.

    Raises Refused if the grammar's parser takes UTF-8 only and this is not, or if the shell would
    see bytes that no text can hold.
    """
    invalid = _invalid(data, grammar)
    finding = _utf_16(data) or invalid
    if finding and (grammar == "shell" or (invalid and grammar in _STRICT)):
        raise Refused(finding)
    text = _decoded(data, grammar)
    kept = text if grammar == "node-env-file" else text.removeprefix(_BOM)
    decoded = Text(_with_line_ends(kept, grammar))
    if finding:
        decoded.findings.append(finding)
    elif text.startswith(_BOM):
        _note_mark(decoded, grammar)
    return decoded


def _utf_16(data: bytes) -> Finding | None:
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not marked and b"\0" not in data[:2]:
        return None
    message = "The file is in UTF-16 (as PowerShell's > writes it): no name is read as it is meant."
    return Finding(1, "utf-16", "", message, _UTF_8)


def _invalid(data: bytes, grammar: str) -> Finding | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        happens = "the file can't be read" if grammar in _STRICT else "they are read as U+FFFD"
        message = f"Bytes that are not UTF-8: {happens}."
        return Finding(line, "invalid-utf-8", "", message, _UTF_8)
    return None


def _decoded(data: bytes, grammar: str) -> str:
    if grammar != "compose":
        return data.decode(errors="replace")
    # Go replaces each single byte, the others each sequence that was cut short.
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode(errors="surrogateescape"))


def _with_line_ends(text: str, grammar: str) -> str:
    if grammar == "node-env-file":
        return text.replace("\r", "")
    if grammar in ("compose", "shell"):
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _note_mark(text: Text, grammar: str) -> None:
    message = _BOMS.get(grammar, "The byte order mark is ignored by this parser, not by others.")
    remedy = "Save the file without a byte order mark."
    if grammar == "shell":
        text.refuse(0, "bom", message, remedy)
    text.note(0, "bom", message, remedy)
