"""Findings on the entries of one file, and names that are shown without a secret in them."""

import re
from collections.abc import Iterator

from infisical_iac.dotenv import Finding, Reading
from infisical_iac.migrate.families import is_withheld
from infisical_iac.migrate.fingerprint import encoded

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
    """Return whether it looks like configuration, such as `PORT=3000`, rather than a secret.

    A name that speaks of a secret wins over a value that looks harmless.
    """
    words = set(re.split(r"[^A-Z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", key).upper()))
    if words & _SECRET_WORDS or len(value) > _LONGEST:
        return False
    return all(bool(_PLAIN.fullmatch(each.strip())) for each in value.split(","))


# As the server writes it: `@` and `.` too, no spaces, no defaults.
REFERENCE = re.compile(r"\$\{[a-zA-Z0-9\-_.@]+\}")

# What JavaScript's trim takes away, which is not what Python's strip does.
_BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_LONGEST_NAME = 500
_LONGEST_ENTRY = 131_072  # of `NAME=value` and a NUL, as Linux passes it to a process
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN_NAME = re.compile(r"[\w.:/-]{1,500}")
# Base64 over several lines: of a name and a value its last line has the padding alone.
_PIECE = re.compile(r"(?=.*[a-z0-9])[A-Za-z0-9+/]{8,}=|[\w+/-]+==")


def of_entries(reading: Reading) -> Iterator[Finding]:
    """Yield the findings on every entry that counts, in the file's order.

    Each tells what would happen and never a value; a grammar's own are in the reading already.
    """
    last = {each.key: each for each in reading.entries}
    for key, value in reading.values.items():
        if key not in last:
            continue
        entry = last[key]
        found = (*_of_name(key, value), *_of_value(value), *_of_use(key, value))
        if value != entry.written:
            found += (_RESOLVED,)
        if len(encoded(key)) + len(encoded(value)) + 2 > _LONGEST_ENTRY:
            found += (_LONG_VALUE,)
        for kind, message, remedy in found:
            yield Finding(entry.first_line, kind, shown(key, value), message, remedy)


def shown(key: str, value: str) -> str:
    """Return the name of a value as it may be printed; "" if it may be a piece of a value."""
    is_piece = _PIECE.fullmatch(f"{key}={value.strip(_BLANKS)}")
    return key if _SHOWN_NAME.fullmatch(key) and not is_piece else ""


def label(reading: Reading, key: str) -> str:
    """Return a key as a plan names it: by its line if it may be a piece of a value."""
    return shown(key, reading.values[key]) or f"line {reading.lines[key]}"


def is_bootstrap(key: str) -> bool:
    """Return whether a service needs it to reach Infisical, so that it stays where it is."""
    return key == "NODE_ENV" or key.startswith("INFISICAL_")


def trimmed(value: str) -> str:
    """Return what Infisical makes of a value when it is written."""
    return value.strip(_BLANKS) + ("\n" if value.endswith("\n") else "")


_Told = tuple[str, str, str]

_RESOLVED: _Told = (
    "resolved",
    "It refers to other names; stored is the resolved value, which the service sees today.",
    "Change it too when one of the names that it refers to changes.",
)
_LONG_VALUE: _Told = (
    "long-value",
    "It is longer than 128 KiB: no process could be started with it.",
    "Keep it in a file, and the file's place here.",
)


def _of_name(key: str, value: str) -> Iterator[_Told]:
    if len(encoded(key)) > _LONGEST_NAME:
        yield (
            "long-name",
            f"The name has {len(encoded(key))} bytes; Infisical takes {_LONGEST_NAME}.",
            "Shorten it, in the code too.",
        )
    elif ":" in key or "/" in key or not shown(key, value):
        yield (
            "refused-name",
            "Its name has what none of a secret may, or it is a piece of the value before it.",
            "Quote that value; if it is a name, rename it, in the code too.",
        )
    elif not _SHELL_NAME.fullmatch(key):
        yield (
            "odd-name",
            "No shell takes the name; Infisical and the loaders do.",
            "Rename it to letters, digits and underscores if scripts need it.",
        )


def _of_value(value: str) -> Iterator[_Told]:
    kept = trimmed(value)
    if kept != value:
        yield (
            "trimmed",
            f"Infisical trims values: blanks at its ends ({len(value) - len(kept)}) would be lost.",
            "Store it without them, or as base64 that the code decodes.",
        )
    if REFERENCE.search(value):
        yield (
            "literal-reference",
            "It holds ${…} as text, which Infisical replaces whenever it is read expanded.",
            "Allow it with --allow-literal-references: the loaders read it unexpanded.",
        )
    if "\0" in value:
        yield "nul", "It has a NUL, which no process can be given.", "Store it as base64."
    if not value:
        yield "empty", "It is empty, and is stored so.", "Leave it out if the code has a default."


def _of_use(key: str, value: str) -> Iterator[_Told]:
    if is_bootstrap(key):
        yield (
            "bootstrap-key",
            "A service reaches Infisical with it, so it can't come from there: it is not moved.",
            "Leave it in the process's environment, or in .env.local.",
        )
    elif is_withheld(key, windows=False):
        yield (
            "reserved-name",
            "It changes how programs run, or where they connect to, so the loaders withhold it.",
            "Skip it and set it where the process is started, or store it and name it in `allow` "
            "of .infisical.json.",
        )
    elif value and is_plain(key, value):
        yield (
            "plain-configuration",
            "It looks like plain configuration rather than a secret.",
            "Keep it in the code or the compose file if nobody needs to hide it.",
        )
