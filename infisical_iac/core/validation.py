"""Forms of values that several slices' settings have, and plain sentences for those refused."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be above"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be below"),
}
_MOST_CHARACTERS = 60


def explain(problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a value of Python, and what to write.

    Args:
        problem: one of `ValidationError.errors()`. The value is shown: it must be no secret.
    """
    kind, value = str(problem["type"]), problem.get("input")
    shown = repr(value)
    if len(shown) > _MOST_CHARACTERS:
        shown = f"{shown[:_MOST_CHARACTERS]}…"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{shown} {words} {problem['ctx'][name]}"
    kind, _, _ = kind.partition("_")
    match kind:
        case "value" | "assertion":
            return str(problem["msg"]).partition(", ")[2]
        case "missing":
            return "is missing; group_data/all.py shows what it may be"
        case "extra":
            return "is unknown; group_data/all.py lists what there is"
        case "tuple" | "list" | "set":
            return f"{shown} is no tuple; write {_in_tuple(value)}"
        case "string":
            return f"{shown} is no text; write it in quotes{_in_quotes(value)}"
        case "int":
            return f"{shown} is no whole number; write one such as 10"
        case "float" | "finite":
            return f"{shown} is no number; write one such as 0.5"
        case "bool":
            return f"{shown} is neither; write True or False"
        case "literal":
            return f"{shown} is none of them; write {problem['ctx']['expected']}"
        case "dict" | "model" | "mapping":
            return f"{shown} is no dictionary; group_data/all.py shows one"
        case _:
            return f"{shown} can't stand here: {problem['msg']}"


def _in_tuple(value: Any) -> str:
    if isinstance(value, str | int | float | dict) and not isinstance(value, bool):
        return f"({value!r},), with the comma"
    return 'one such as ("one", "other"), a single one as ("one",)'


def _in_quotes(value: Any) -> str:
    return f": '{value}'" if isinstance(value, int | float) else ""


EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_MEBIBYTES = {"m": 1, "g": 1024}


def network(text: str) -> str:
    """The IPv4 or IPv6 network that `text` names in CIDR notation, in its canonical form.

    Raises ValueError, a sentence, for anything else.
    """
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(f"{text!r} is no network; write one such as 10.0.0.0/8") from None


def mebibytes(size: str) -> int:
    """Return the mebibytes of a checked size such as `1536m` or `2g`."""
    return int(size[:-1]) * _MEBIBYTES[size[-1]]


def is_confidential(url: str) -> bool:
    """Return whether credentials sent to a URL are encrypted, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        at_home = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, or no URL at all
        at_home = False
    return url.startswith("https://") or (url.startswith("http://") and at_home)


def one_line(value: str) -> str:
    """`value`, if it may stand after `OnCalendar=`; whether systemd understands it, it must say.

    Raises ValueError.
    """
    if not re.fullmatch(r"[A-Za-z0-9*][A-Za-z0-9*:,./~+ -]*", value):
        raise ValueError(f"{value!r} is no OnCalendar; write one such as *-*-* 02:30:00")
    return value


def hint(word: str, known: Iterable[str]) -> str:
    """The known word that is closest, or all of them, as the end of a sentence."""
    known = list(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there are none yet"
