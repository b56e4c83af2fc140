"""Find what a person should know of a file's entries; names are shown, values never."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from infisical_iac.core.bundle import LOADER_CASES
from infisical_iac.dotenv import Finding, Reading, grammar, read
from infisical_iac.migrate import unreadable
from infisical_iac.migrate.fingerprint import encode

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

    A finding says what would happen and never shows a value. The reading has the grammar's own
    findings already, and what they cover is not reported again.
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
            "Infisical takes no such name, or it is a piece of the value before it.",
            "Quote that value; if it is a name, rename it, in the code too.",
        )
    elif not _SHELL_NAME.fullmatch(key):
        yield (
            "odd-name",
            "Infisical and the loaders take the name, but no shell does.",
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
    elif value and is_plain(key, value):
        yield (
            "plain-configuration",
            "It looks like plain configuration rather than a secret.",
            "Keep it in the code or the compose file if nobody needs to hide it.",
        )
    if value != written:
        yield (
            "resolved",
            "It refers to other names; the resolved value is stored, as the service reads it now.",
            "Change it too when one of these names changes.",
        )
    if len(encode(key)) + len(encode(value)) + 2 > _LONGEST_ENTRY:
        yield (
            "long-value",
            "It is longer than 128 KiB: no process can start with it.",
            "Keep it in a file, and the file's path here.",
        )


def disagreements(data: bytes, reading: Reading, others: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each key that one of the grammars in `others` reads differently."""
    if reading.error:
        return  # the error is reported, and no key could agree
    readings = [unreadable.drop_pem_pieces(read(data, each), data) for each in others]
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
    plain = unreadable.drop_pem_pieces(plain, data)
    own, other = reading.values.get(found.key), plain.values.get(found.key)
    if plain.error or own is None or other in (None, own):
        return found
    lengths = f"{reading.grammar} {_length(own)}, {plain.grammar} {_length(other)}."
    edits = _edits(found.key, reading, [plain])
    return found._replace(message=f"{found.message} {lengths}", remedy=f"{found.remedy} {edits}")


def _edits(key: str, own: Reading, others: Sequence[Reading]) -> str:
    """Return the edit of the plan for each reading of a value, as one sentence."""
    value, edits = own.values.get(key), []
    if value is None:
        edits.append(f"leave it out, as {own.grammar} does: `decision: store` on this file")
    elif trim(value) == value:
        decision = "store-literal" if REFERENCE.search(value) else "store"
        is_replaced = any(not _is_as_written(key, each) for each in others)
        is_text = is_replaced and _is_as_written(key, own)
        named = "the text as written" if is_text else f"{own.grammar}'s"
        edits.append(f"keep {named}: `decision: {decision}`")
    # Equal readings need only one edit.
    for each in {other.values.get(key): other for other in reversed(others)}.values():
        if key not in each.values:
            edits.append(f"leave it out, as {each.grammar} does: `decision: skip`")
            continue
        is_as_written = _is_as_written(key, each) and not _is_as_written(key, own)
        named = "the text as written" if is_as_written else f"{each.grammar}'s"
        edits.append(f"keep {named}: `grammar: {each.grammar}` on this file, then plan again")
    sentence = "; ".join(edits)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _is_as_written(key: str, reading: Reading) -> bool:
    """Return whether a grammar replaces nothing in the value of a key."""
    return all(each.value == each.written for each in reading.entries if each.key == key)


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
