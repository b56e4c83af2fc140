"""Find problems of a file's entries for people to review, without any value.

This includes content that no grammar reads: encrypted files, and unquoted PEM blocks of several
lines.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from infisical_iac.core.bundle import LOADER_CASES
from infisical_iac.dotenv import Entry, Finding, Reading, grammar, read
from infisical_iac.migrate.plan_file import encode

TORN = "torn-value"
"""The kind of the finding on a value whose other lines belong to no entry."""

CUT = "cut-at-hash"
CUT_SECRET = "cut-secret"
"""The kinds of the findings on a value that a `#` cuts short, and on a secret cut like that."""


def has_secret_name(key: str) -> bool:
    """Return whether a name suggests a secret, whatever the value is."""
    return not is_plain(key, "1")


def require_decision_on_cut(found: Finding) -> Finding:
    """Return a finding on a cut value; for a secret, as one that a person must decide."""
    if found.kind != CUT or not has_secret_name(found.key):
        return found
    remedy = (
        "Quote the value in the file if the # is a part of it, and plan again; keep what the "
        "service reads today: `decision: store`; leave it out: `decision: skip`."
    )
    return found._replace(kind=CUT_SECRET, remedy=remedy)


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
        # The finding on the torn value covers this entry.
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


_SECRET_WORDS = frozenset(
    {
        *("PASSWORD", "PASSWD", "PASS", "PASSPHRASE", "PWD", "PIN", "SECRET", "SECRETS"),
        *("TOKEN", "KEY", "KEYS", "APIKEY", "CREDENTIAL", "CREDENTIALS", "AUTH", "SALT"),
        *("PRIVATE", "CERT", "CERTIFICATE", "DSN", "SEED", "SIGNATURE", "WEBHOOK", "COOKIE"),
    }
)
_HOST = r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,})"
_PLAIN = re.compile(
    rf"""
      \d{{1,6}} | \d{{1,6}}(?:\.\d+)?(?:ms|s|m|h|d|[kmg]i?b?|%)   # numbers, times and sizes
    | true | false | yes | no | on | off | null | none
    | trace | debug | verbose | info | notice | warn | warning | error | fatal | silent
    | dev | develop | development | test | staging | prod | production
    | (?:utf-?8 | [a-z]{{2}}[_-][a-z]{{2}}(?:\.utf-?8)?)           # encodings and languages
    | [a-z]+/[a-z_]+ | utc                                       # time zones, types of content
    | (?:[a-z][a-z0-9+.-]*://)?{_HOST}(?::\d{{1,5}})?(?:/[a-z0-9._/-]*)?   # no user, no query
    | \.{{0,2}}(?:/[a-z0-9._-]+)+/?                              # paths
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST = 200


def is_plain(key: str, value: str) -> bool:
    """Return whether an entry looks like configuration, such as `PORT=3000`, and not like a secret.

    A name that suggests a secret wins over a value that looks harmless.
    """
    words = set(re.split(r"[^A-Z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", key).upper()))
    if words & _SECRET_WORDS or len(value) > _LONGEST:
        return False
    return all(bool(_PLAIN.fullmatch(each.strip())) for each in value.split(","))


# The server's own pattern: with `@` and `.`, without spaces and defaults.
REFERENCE = re.compile(r"\$\{[a-zA-Z0-9\-_.@]+\}")

# The characters that JavaScript's trim removes; Python's strip removes others.
_BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
LONGEST_NAME = 500  # in bytes, for Infisical
_LONGEST_ENTRY = 131_072  # of `NAME=value` and a NUL, as Linux passes it to a process
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN_NAME = re.compile(r"[\w.:/-]{1,500}")
# Base64 over several lines: its last line looks like a name with only the padding as value.
_PIECE = re.compile(r"(?=.*[a-z0-9])[A-Za-z0-9+/]{8,}=|[\w+/-]+==")


def of_entries(reading: Reading) -> Iterator[Finding]:
    """Yield the findings on every entry that counts, in the file's order.

    A finding describes the outcome and never shows a value. The grammar's own findings are part of
    the reading, and are not repeated here.
    """
    last = {each.key: each for each in reading.entries}
    undecided = {
        (each.line, each.key) for each in reading.findings if each.kind == "undefined-reference"
    }
    for key, value in reading.values.items():
        if key in last:
            line = last[key].first_line
            for kind, message, remedy in _of_entry(key, value, last[key].written):
                if kind != "resolved" or (line, key) not in undecided:
                    yield Finding(line, kind, safe_name(key, value), message, remedy)


def safe_name(key: str, value: str) -> str:
    """Return the name of a value if it may be printed; "" if it may be a piece of a value."""
    is_piece = _PIECE.fullmatch(f"{key}={value.strip(_BLANKS)}")
    return key if _SHOWN_NAME.fullmatch(key) and not is_piece else ""


def label(reading: Reading, key: str) -> str:
    """Return the name of a key in a plan: its line if the name may be a piece of a value."""
    return safe_name(key, reading.values[key]) or f"line {reading.lines[key]}"


def is_bootstrap(key: str) -> bool:
    """Return whether a service needs this variable to reach Infisical, so that it is not moved."""
    return key == "NODE_ENV" or key.startswith("INFISICAL_")


def trim(value: str) -> str:
    """Return a value as Infisical stores it."""
    return value.strip(_BLANKS) + ("\n" if value.endswith("\n") else "")


_IN_BROWSERS = "NEXT_PUBLIC_"
"""The beginning of the names whose values Next.js puts into the pages that it sends."""


def _of_entry(key: str, value: str, written: str) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the message and the remedy of each finding: on name, value, and use."""
    if len(encode(key)) > LONGEST_NAME:
        yield (
            "long-name",
            f"The name has {len(encode(key))} bytes; Infisical takes {LONGEST_NAME}.",
            "Shorten it, in the code too.",
        )
    elif ":" in key or "/" in key or not safe_name(key, value):
        yield (
            "refused-name",
            "Infisical refuses such a name, which may be a piece of the value before it.",
            "Quote that value; if this is a name, rename it, in the code too.",
        )
    elif not _SHELL_NAME.fullmatch(key):
        yield (
            "odd-name",
            "Infisical and the loaders accept the name, but no shell does.",
            "Rename it to letters, digits and underscores if scripts need it.",
        )
    trimmed = trim(value)
    if trimmed != value:
        yield (
            "trimmed",
            f"It begins or ends with blanks, which Infisical trims: of {len(value)} characters it "
            f"would store {len(trimmed)}.",
            "Write it without the blanks, or as base64 that the code decodes.",
        )
    if REFERENCE.search(value):
        yield (
            "literal-reference",
            f"Its {len(value)} characters hold ${{…}} as text, which Infisical replaces for "
            "clients that read it expanded.",
            "Keep the text, which the loaders read unexpanded: `decision: store-literal`, or "
            "--allow-literal-references for all of them; leave it out: `decision: skip`.",
        )
    if "\0" in value:
        yield "nul", "It has a NUL, which no environment can hold.", "Store it as base64."
    if not value:
        yield (
            "empty",
            "It is empty, and is stored as an empty value.",
            "Leave it out if the code has a default.",
        )
    if is_bootstrap(key):
        yield (
            "bootstrap-key",
            "A service reaches Infisical with it, so it is not moved there.",
            "Leave it in the process's environment, or in .env.local.",
        )
    elif is_withheld(key):
        yield (
            "reserved-name",
            "It changes how programs run or where they connect to, so the loaders withhold it.",
            "Set it where the process is started: `decision: skip`; or name it in `allow` of "
            ".infisical.json: `decision: store`.",
        )
    elif value and (is_plain(key, value) or key.startswith(_IN_BROWSERS)):
        yield (
            "plain-configuration",
            "It looks like plain configuration rather than a secret.",
            "Keep it in the code or the compose file if nobody needs to hide it.",
        )
    if value != written:
        yield (
            "resolved",
            "It refers to other names; the resolved value is stored, as the service reads it now.",
            "Change it too whenever the value of one of these names changes.",
        )
    if len(encode(key)) + len(encode(value)) + 2 > _LONGEST_ENTRY:
        yield (
            "long-value",
            "It is longer than 128 KiB: no process can start with it.",
            "Put the value into a file, and the file's path here.",
        )


def disagreements(data: bytes, reading: Reading, others: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each key that one of the grammars in `others` reads differently."""
    if reading.error:
        return  # the error is reported, and no key could agree
    readings = [drop_pem_pieces(read(data, each), data) for each in others]
    successful = [each for each in readings if not each.error]
    lines = {key: line for each in (*successful, reading) for key, line in each.lines.items()}
    for key, line in lines.items():
        own, own_length = reading.values.get(key), _length(reading.values.get(key))
        lengths, differing = [], []
        for each in successful:
            other = each.values.get(key)
            if other != own:
                length = _length(other)
                is_as_long = own is not None and length == own_length
                lengths.append(f"{each.grammar} {'other ones' if is_as_long else length}")
                differing.append(each)
        if lengths:
            # The name must be safe to print whichever reading is right.
            values = [each.values[key] for each in (reading, *successful) if key in each.values]
            name = key if all(safe_name(key, each) for each in values) else ""
            message = f"{reading.grammar} {own_length}, {', '.join(lengths)}."
            edits = _edits(key, reading, differing)
            remedy = f"{edits} Or quote it so that all read the same."
            yield Finding(line, "grammars-disagree", name, message, remedy)
    for each in readings:
        if each.error:
            message = f"{each.grammar}, which may read it too, refuses the file: {each.error}"
            remedy = "Correct it if the service reads it so."
            yield Finding(0, "refused-by-another", "", message, remedy)


def with_outcomes(found: Finding, data: bytes, reading: Reading) -> Finding:
    """Return a finding on an undefined reference with the length and the edit of each outcome."""
    plain = read(data, grammar(reading.grammar).uninterpolated or "dotenv")
    plain = drop_pem_pieces(plain, data)
    own, other = reading.values.get(found.key), plain.values.get(found.key)
    if plain.error or own is None or other in (None, own):
        return found
    lengths = f"{reading.grammar} {_length(own)}, {plain.grammar} {_length(other)}"
    is_cut = _is_cut(found.key, plain)
    edits = _edits(found.key, reading, [] if is_cut else [plain])
    if is_cut:
        lengths += ": neither reads all of it"
        edits = (
            "For the whole text, put the value in single quotes in the file, and plan again. "
            f"{edits[:-1]}; leave it out: `decision: skip`."
        )
    return found._replace(message=f"{found.message} {lengths}.", remedy=f"{found.remedy} {edits}")


def _edits(key: str, own: Reading, others: Sequence[Reading]) -> str:
    """Return the edit of the plan for each reading of a value, as one sentence."""
    value, edits = own.values.get(key), []
    if value is None:
        edits.append(f"leave it out, as {own.grammar} does: `decision: store` on this file")
    elif trim(value) == value:
        decision = "store-literal" if REFERENCE.search(value) else "store"
        is_replaced = any(_replaces(key, each) for each in others)
        is_text = is_replaced and _is_as_written(key, own)
        named = "the text as written" if is_text else f"{own.grammar}'s"
        edits.append(f"keep {named}: `decision: {decision}`")
    # Equal readings need only one edit.
    for each in {other.values.get(key): other for other in reversed(others)}.values():
        if key not in each.values:
            edits.append(f"leave it out, as {each.grammar} does: `decision: skip`")
            continue
        is_as_written = _is_as_written(key, each) and _replaces(key, own)
        named = "the text as written" if is_as_written else f"{each.grammar}'s"
        edits.append(f"keep {named}: `grammar: {each.grammar}` on this file, then plan again")
    sentence = "; ".join(edits)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _is_as_written(key: str, reading: Reading) -> bool:
    """Return whether a grammar replaces nothing in the value of a key, and reads all of it."""
    return not _replaces(key, reading) and not _is_cut(key, reading)


def _replaces(key: str, reading: Reading) -> bool:
    return any(each.value != each.written for each in reading.entries if each.key == key)


def _is_cut(key: str, reading: Reading) -> bool:
    line = reading.lines.get(key, 0)
    return any((each.kind, each.line) == (CUT, line) for each in reading.findings)


def _length(value: str | None) -> str:
    if value is None:
        return "reads no such key"
    return f"reads {len(value)} character{'' if len(value) == 1 else 's'}"


_KINDS = ("names", "prefixes", "suffixes", "except")


@cache
def _families() -> list[dict[str, Any]]:
    """Return the families, with words as tuples; `except` has the ends of credentials too."""
    withheld = json.loads(LOADER_CASES.read_text("utf-8"))["withheld"]
    return [
        each
        | {kind: tuple(each[kind].split()) for kind in _KINDS}
        | {"credentials": tuple(withheld["credentials"].split())}
        for each in withheld["families"]
    ]


def is_withheld(name: str) -> bool:
    """Return whether a name changes how programs run, or where they connect to.

    The loaders withhold it. On Windows they ignore the case of letters; the platform of the service
    is unknown here.
    """
    for each in _families():
        shown = name.upper() if each["anyCase"] else name
        if shown in each["names"]:
            return True
        if shown.startswith(each["prefixes"]) or shown.endswith(each["suffixes"]):
            is_own = shown in each["except"] or shown.endswith(each["credentials"])
            if each["closed"] or not is_own:
                return True
    return False
