"""Values that should be in Infisical alone, told from configuration and from placeholders."""

import json
import re
from collections.abc import Iterator
from typing import Any

from infisical_iac.migrate.findings import is_bootstrap, is_plain
from infisical_iac.migrate.search_terms import why_skipped

_REFERENCE = re.compile(r"\$\{[^{}]*\}|\$[A-Z_][A-Z0-9_]*\b")  # not $2b$ and what follows it
_PUBLIC = re.compile(r"(?:.*_)?(?:PUBLIC|PUBLISHABLE)(?:_.*)?", re.IGNORECASE)
# What stands in samples, such as change-me, <the token> and your-api-key-here, to be filled in.
_WORDS = (
    r"change[-_ ]?(?:me|it|this)|replace[-_ ]?(?:me|this)?|placeholder|example|sample|dummy|todo|"
    r"password|passwd|pass|secret|token|key|user|username|none|null|empty|unset|tbd|x{3,}|\*+|\.+"
)
_PLACEHOLDER = re.compile(
    rf"(?:{_WORDS})|<.*>|(?:your|insert|enter|replace)[-_ ].*|.*[-_ ](?:here|placeholder)",
    re.IGNORECASE | re.DOTALL,
)
_CREDENTIALS = re.compile(r"(?<=://)([^\s:@/]*):?([^\s@/]*)@")
_SETTING = re.compile(
    r"true|false|yes|no|on|off|\d{1,6}(?:ms|s|m|h|d)?|https?://[\w.-]+(?::\d+)?/?", re.IGNORECASE
)
_NAME = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,}){0,4}")


def is_sensitive(key: str, value: str, *, in_sample: bool = False) -> bool:
    """Return whether a value looks like one that nobody but its service should see.

    A name that speaks of a secret counts more than a value that looks harmless; without such a
    name it takes a value that looks random, or an address with a password in it. Of JSON each
    part is judged by its own name.

    Args:
        in_sample: whether it is there to be filled in, so that `changeme` is no password.
    """
    if is_bootstrap(key) and key != "INFISICAL_CLIENT_SECRET":
        return False
    parts = _parts(value)
    if parts is not None:
        return any(is_sensitive(name or key, part, in_sample=in_sample) for name, part in parts)
    bare = _REFERENCE.sub("", value).strip().replace("://:@", "://")
    if in_sample:
        bare = _CREDENTIALS.sub(_without_placeholders, bare)
        bare = "" if _PLACEHOLDER.fullmatch(bare) else bare
    return bool(bare) and not is_plain(key, bare) and _is_secret(key, bare)


def _is_secret(key: str, value: str) -> bool:
    if _speaks(key) and not _PUBLIC.fullmatch(key):
        # PASSWORD_MIN_LENGTH=12 sets something about a secret; DB_PASSWORD=12 is one.
        last = re.split(r"[^A-Za-z0-9]+", key)[-1]
        return _speaks(last) or not _SETTING.fullmatch(value)
    words = re.split(r"[\s!?;,<>()\"']+", value)
    return any(not (_NAME.fullmatch(word) or why_skipped(word)) for word in words)


def _parts(value: str) -> list[tuple[str, str]] | None:
    """Return the texts in a JSON object or list, each with its name; None for no JSON."""
    if value.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return list(_leaves("", json.loads(value)))
    except (ValueError, RecursionError):
        return None


def _leaves(name: str, data: Any) -> Iterator[tuple[str, str]]:
    if isinstance(data, dict):
        for key, each in data.items():
            yield from _leaves(key, each)
    elif isinstance(data, list):
        for each in data:
            yield from _leaves(name, each)
    elif isinstance(data, str):
        yield name, data


def _without_placeholders(found: re.Match[str]) -> str:
    return "" if not found[2] or _PLACEHOLDER.fullmatch(found[2]) else found[0]


def _speaks(key: str) -> bool:
    """Return whether the name speaks of a secret: a harmless value is not plain under it."""
    return not is_plain(key, "1")
