"""Forms of values that several slices' settings have, and plain sentences for those refused."""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from math import inf
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

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


class SettingsModel(BaseModel):
    """A part of the settings: immutable, and without keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def fitting(fits: Callable[[Any], object], words: str) -> AfterValidator:
    """Return a validator that refuses a value which does not fit, shown before the words."""

    def check(value: Any) -> Any:
        if not fits(value):
            raise ValueError(f"{value!r} {words}")
        return value

    return AfterValidator(check)


def matching(pattern: str, words: str) -> AfterValidator:
    """Return a validator that refuses a text which is not whole as the pattern has it."""
    return fitting(lambda value: re.fullmatch(pattern, value), words)


def within(low: float, high: float, remedy: str) -> AfterValidator:
    """Return a validator that refuses a number below `low` or above `high`."""
    return fitting(lambda value: low <= value <= high, f"is out of range; {remedy}")


def at_least(low: float, words: str) -> AfterValidator:
    """Return a validator that refuses a number below `low`."""
    return fitting(lambda value: value >= low, words)


def _sized(value: object) -> object:
    if re.fullmatch(r"[1-9]\d*", str(value)):
        raise ValueError(f"{value!r} has no unit; write '{value}m' for megabytes")
    if not re.fullmatch(r"[1-9]\d*[mg]", str(value)):
        raise ValueError(f"{value!r} is no size; write megabytes or gigabytes such as '1536m'")
    return value


def _positive(value: float) -> float:
    if not 0 < value < inf:
        raise ValueError(f"{value:g} must be a number above 0")
    return value


EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_MEBIBYTES = {"m": 1, "g": 1024}
IMAGE_NAME = r"([a-z0-9.-]+:\d+/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
_IMAGE = rf"{IMAGE_NAME}:v?\d[A-Za-z0-9._-]*(@sha256:[0-9a-f]{{64}})?"

_CALENDAR = r"[A-Za-z0-9*][A-Za-z0-9*:,./~+ -]*"
_NO_CALENDAR = "is no OnCalendar; write one such as *-*-* 02:30:00"

OnOff = Literal["on", "off"]
# What may stand after `OnCalendar=`; whether systemd understands it, it must say itself.
Calendar = Annotated[str, matching(_CALENDAR, _NO_CALENDAR)]
CalendarOrEmpty = Annotated[str, matching(f"({_CALENDAR})?", _NO_CALENDAR)]
Positive = Annotated[float, AfterValidator(_positive)]
Seconds = Annotated[int, at_least(10, "s are too few; give it at least 10")]
Memory = Annotated[str, BeforeValidator(_sized)]


def pinned(example: str) -> AfterValidator:
    """Return a validator that refuses an image's reference without a version."""
    return matching(_IMAGE, f"names no version; write one such as {example}")


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


def hint(word: str, known: Iterable[str]) -> str:
    """The known word that is closest, or all of them, as the end of a sentence."""
    known = list(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there are none yet"
