"""Configuration that nobody needs to hide, told from secrets by its looks."""

import re

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
