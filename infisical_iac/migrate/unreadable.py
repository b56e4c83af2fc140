"""Recognize what no grammar reads: encrypted files, and PEM blocks over lines without quotes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from infisical_iac.dotenv import Entry, Finding, Reading, grammar

TORN = "torn-value"
"""The kind of the finding on a value whose other lines belong to no entry."""

_BODY = (
    r"(?:[ \t]*+(?:[A-Za-z0-9+/]*+={0,2}+|(?:Proc-Type|DEK-Info):[^\n]*+)[ \t\r]*+\n)*+"
    r"[ \t]*+-----END [^\n]*+(?:\n|\Z)"
)
# The rest of a block, and the blocks of a chain that follow it; anything else ends it.
_REST = re.compile(rf"{_BODY}(?:[ \t]*+-----BEGIN [^\n=]*+\n{_BODY})*+")


def drop_pem_pieces(reading: Reading, data: bytes) -> Reading:
    """Return the reading without the entries that a parser finds inside a torn value.

    The lines after the first one of an unquoted PEM block are pieces of a secret: as names of
    entries they would be shown and stored. The torn value stays, with a finding that blocks.
    """
    torn = [each for each in reading.entries if _is_torn(each)]
    if not torn:
        return reading
    # Lines are counted in the text that its parser got.
    rests = _rests(torn, grammar(reading.grammar).decode(data).text)
    inside = {line for rest in rests.values() for line in rest}
    entries = tuple(
        each
        for each in reading.entries
        if not inside.issuperset(range(each.first_line, each.last_line + 1))
    )
    inside.difference_update(each.first_line for each in entries)
    findings = [
        each
        for each in reading.findings
        if each.line not in inside
        # The finding on the torn value covers it.
        if each.kind != "cut-at-line-end" or each.line not in rests
    ]
    for each in torn:
        if rest := rests.get(each.first_line):
            message = f"Its value ends with its line: lines {rest[0]} to {rest[-1]} are left out."
            remedy = "Quote the value and plan again; until then `migrate clean` keeps the file."
            findings.append(Finding(each.first_line, TORN, each.key, message, remedy))
    findings.sort(key=lambda each: each.line)
    return replace(reading, entries=entries, findings=tuple(findings))


def _is_torn(entry: Entry) -> bool:
    # An unclosed quote is a part of an unquoted value.
    written = entry.written.lstrip("\"'`")
    return not entry.quote and written.startswith("-----BEGIN") and "-----END" not in written


def _rests(torn: Iterable[Entry], text: str) -> Mapping[int, range]:
    """Return the lines that the parser cuts off each torn value, by its first line."""
    starts = [0, *(each.end() for each in re.finditer("\n", text))]
    found = {}
    for entry in torn:
        after = starts[entry.last_line] if entry.last_line < len(starts) else len(text)
        if rest := _REST.match(text, after):
            count = len(rest[0].removesuffix("\n").split("\n"))
            found[entry.first_line] = range(entry.last_line + 1, entry.last_line + 1 + count)
    return found


ENCRYPTED = "encrypted-file"
"""The kind of the note on an encrypted file."""

_LONGEST_HEAD = 4096
# The beginning of a file, or a line of it, as each program writes it.
_SIGNS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("age", re.compile(rb"age-encryption\.org/|-----BEGIN AGE ENCRYPTED FILE-----")),
    ("PGP", re.compile(rb"-----BEGIN PGP MESSAGE-----")),
    ("git-crypt", re.compile(rb"\0GITCRYPT\0")),
    ("Ansible Vault", re.compile(rb"\$ANSIBLE_VAULT;")),
    ("OpenSSL", re.compile(rb"Salted__|U2FsdGVkX1")),
    ("Laravel", re.compile(rb"eyJpdiI6")),
    ("SOPS", re.compile(rb"(?:.*\n)*?[^#\n=]*=[\"']?ENC\[AES256_GCM,")),
    ("dotenv-vault", re.compile(rb"(?:.*\n)*?DOTENV_VAULT(?:_[A-Z0-9]+)?=")),
    ("dotenvx", re.compile(rb"(?:.*\n)*?(?:export +)?\w+=[\"']?encrypted:[A-Za-z0-9+/]")),
)
_ENDINGS = (".age", ".gpg", ".pgp", ".asc", ".enc", ".encrypted", ".sops", ".vault")


def find_encryption(name: str, data: bytes) -> str:
    """Return the program that encrypted a file, or "" if it is not an encrypted file.

    The bytes decide, because a plain file may have such a name; a name such as `.env.gpg` decides
    only for bytes that are not text.
    """
    head = data[:_LONGEST_HEAD]
    for program, sign in _SIGNS:
        if sign.match(head):
            return program
    return "an unknown program" if is_encrypted_copy(name) and _is_binary(data) else ""


def is_encrypted_copy(name: str) -> bool:
    """Return whether the name is that of an encrypted copy, which no loader reads: `.env.age`."""
    return name.lower().endswith(_ENDINGS)


def _is_binary(data: bytes) -> bool:
    try:
        return "\0" in data.decode()
    except UnicodeDecodeError:
        return True
