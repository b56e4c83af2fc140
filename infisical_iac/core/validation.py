"""Validators that several sections of the settings use, and the sentences for refused values."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from math import inf
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from infisical_iac.core.errors import mask_logins
from infisical_iac.core.images import DIGEST

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be above"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be below"),
}
_MOST_CHARACTERS = 60
# By the kind of problem, the types of a value that a trailing comma may turn into a tuple.
_SCALARS: dict[str, list[list[type]]] = {
    "string": [[str]],
    "int": [[int]],
    "float": [[int], [float]],
    "bool": [[bool]],
    "literal": [[str]],
    "model": [[dict]],
    "dict": [[dict]],
}


class SettingsModel(BaseModel):
    """A part of the settings: immutable, and with known keys only.

    Attributes:
        example: for an entry of a list, its required keys with example values. A value without a
            key is suggested as the value of the last key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    example: ClassVar[Mapping[str, Any]] = {}


def explain(problem: Mapping[str, Any], annotation: Any) -> str:
    """Return a sentence on a refused value, with what to write instead.

    Args:
        problem: one of `ValidationError.errors()`. The sentence shows the value unless its field,
            or one that it is in, has `repr=False`.
        annotation: the type that was validated.
    """
    place, value, (kind, _, _) = problem["loc"], problem["input"], problem["type"].partition("_")
    parent, model = _model_at(annotation, place[:-1]), _model_at(annotation, place)
    is_hidden = _is_hidden(annotation, place)
    # Masked before it is cut: the rest of an address may not look like one.
    whole = "" if is_hidden else mask_logins(repr(value))
    shown, usable = whole or "the value", None if is_hidden else value
    if len(shown) > _MOST_CHARACTERS:
        shown = f"{shown[:_MOST_CHARACTERS]}…"
    if problem["type"] in _BOUNDS:
        name, words = _BOUNDS[problem["type"]]
        return f"{shown} {words} {problem['ctx'][name]}"
    match kind:
        case _ if isinstance(value, tuple) and [*map(type, value)] in _SCALARS.get(kind, ()):
            inner = repr(value[0]) if shown == whole else "the same"
            return f"{shown} is a tuple; write {inner}, without the comma"
        case "value" | "assertion":
            sentence = str(problem["msg"]).partition(", ")[2]
            return sentence.replace(repr(value), shown) if is_hidden else sentence
        case "missing" if parent and place[-1] in parent.example:
            return f"is not set; write one such as {parent.example[place[-1]]!r}"
        case "missing":
            return "is not set; `infisical-iac docs settings` has an example"
        case "extra" if parent:
            return f"is unknown: {suggest(str(place[-1]), parent.model_fields)}"
        case "tuple" | "list" | "set":
            return f"{shown} is not a tuple; write {_in_tuple(usable, model)}"
        case "string":
            return f"{shown} is not text; {_in_quotes(usable)}"
        case "int":
            return f"{shown} is not a whole number; write one such as 10"
        case "float" | "finite":
            return f"{shown} is not a number; write one such as 0.5"
        case "bool":
            return f"{shown} is not a boolean; write True or False"
        case "literal":
            return f"{shown} is not accepted; write {problem['ctx']['expected']}"
        case "dict" | "model" | "mapping" if model:
            return f"{shown} is not a dictionary; write {_as_entry(usable, model)}"
    return f"{shown} can't be used; `infisical-iac docs settings` lists the values that can"


def _model_at(annotation: Any, place: Sequence[str | int]) -> type[SettingsModel] | None:
    """Return the model of the value at a place, or of its entries; None if it has none."""
    for part in place:
        if isinstance(part, str):
            model = _model_in(annotation)
            field = model.model_fields.get(part) if model else None
            annotation = field.annotation if field else None
    return _model_in(annotation)


def _is_hidden(annotation: Any, place: Sequence[str | int]) -> bool:
    """Return whether the field at a place, or one that it is in, has `repr=False`."""
    for index, part in enumerate(place):
        parent = _model_at(annotation, place[:index])
        field = parent.model_fields.get(str(part)) if parent else None
        if field and not field.repr:
            return True
    return False


def _model_in(annotation: Any) -> type[SettingsModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _as_entry(value: Any, model: type[SettingsModel]) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    key, example = list(model.example.items())[-1]
    return {**model.example, key: value if type(value) is type(example) else example}


def _in_tuple(value: Any, model: type[SettingsModel] | None) -> str:
    if model:
        return f"({_as_entry(value, model)!r},), with the comma"
    if isinstance(value, str) and value:
        parts = tuple(re.findall(r"[^,\s]+", value))
        return f"({value!r},), with the comma" if len(parts) < 2 else repr(parts)
    return 'one such as ("one", "other"), a single one as ("one",), () for none'


def _in_quotes(value: Any) -> str:
    if value is None:
        return "write it in quotes, or leave it out"
    is_plain = isinstance(value, int | float | PurePath) and not isinstance(value, bool)
    return f"write it in quotes: '{value}'" if is_plain else "write it in quotes"


@dataclass(frozen=True)
class Rule(AfterValidator):
    """A validator with a description of the accepted values, for the reference of settings."""

    accepts: str = ""


def fitting(fits: Callable[[Any], object], words: str, *, accepts: str = "") -> Rule:
    """Return a validator that refuses values for which `fits` is false.

    Args:
        words: the rest of the error, after the value.
        accepts: the accepted values, for the reference of settings.
    """

    def check(value: Any) -> Any:
        if not fits(value):
            raise ValueError(f"{value!r} {words}")
        return value

    return Rule(check, accepts)


def matching(pattern: str, words: str, *, accepts: str = "") -> Rule:
    """Return a validator that refuses texts that the pattern does not match as a whole."""
    return fitting(lambda value: re.fullmatch(pattern, value), words, accepts=accepts)


def within(low: float, high: float, remedy: str) -> Rule:
    """Return a validator that refuses numbers below `low` or above `high`."""
    words = f"is out of range; {remedy}"
    return fitting(lambda value: low <= value <= high, words, accepts=f"{low} to {high}")


def at_least(low: float, words: str) -> Rule:
    """Return a validator that refuses numbers below `low`."""
    return fitting(lambda value: value >= low, words, accepts=f"{low} or more")


@dataclass(frozen=True)
class Size(BeforeValidator):
    """A validator of memory sizes. `accepts` describes them for the reference, as in `Rule`."""

    accepts: str = "megabytes or gigabytes, such as `1536m` or `2g`"


_FEWEST_MEGABYTES = 64


def _check_size(value: object) -> object:
    text = str(value)
    if isinstance(value, tuple) or re.fullmatch(r"[1-9]\d*[mg]", text):
        return value
    if re.fullmatch(r"[1-9]\d*", text):
        # Nothing of the stack runs in so few megabytes.
        unit, name = ("g", "gigabytes") if int(text) < _FEWEST_MEGABYTES else ("m", "megabytes")
        raise ValueError(f"{value!r} has no unit; write '{value}{unit}' for {name}")
    written = "megabytes or gigabytes such as '1536m'"
    if close := re.fullmatch(r"([1-9]\d*)(\.\d+)?\s*([mg])i?b?", text.lower()):
        whole, rest, unit = close.groups("")
        written = f"'{whole}{unit}'" if not rest else f"'{round(float(whole + rest) * 1024)}m'"
    raise ValueError(f"{value!r} is not a size; write {written}")


def _check_names(value: Any) -> Any:
    for name, number in Counter(each.name for each in value).items():
        if number > 1:
            raise ValueError(f"has {number} targets named {name!r}; give each its own name")
    return value


# A rule for tuples of targets: each has a name of its own.
DISTINCT_NAMES = Rule(_check_names)


def _positive(value: float) -> float:
    if not 0 < value < inf:
        raise ValueError(f"{value:g} must be a number above 0")
    return value


EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_MEBIBYTES = {"m": 1, "g": 1024}
IMAGE_NAME = r"([a-z0-9.-]+:\d+/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
_IMAGE = rf"{IMAGE_NAME}:v?\d[A-Za-z0-9._-]*"

_CALENDAR = r"[A-Za-z0-9*][A-Za-z0-9*:,./~+ -]*"
_NO_CALENDAR = "is not an OnCalendar expression; write one such as *-*-* 02:30:00"
_CALENDARS = "a time as systemd's OnCalendar, such as `*-*-* 02:30:00`"
# The description of settings that are networks.
NETWORKS = "networks such as `203.0.113.0/24` or `2001:db8::/32`"

OnOff = Literal["on", "off"]
# A value of `OnCalendar=`. Only systemd can validate it completely.
Calendar = Annotated[str, matching(_CALENDAR, _NO_CALENDAR, accepts=_CALENDARS)]
CalendarEmptyOrAuto = Annotated[
    str,
    matching(f"(auto|{_CALENDAR})?", _NO_CALENDAR, accepts=f"{_CALENDARS}, `auto`, or nothing"),
]
Positive = Annotated[float, Rule(_positive, "a number above 0")]
Seconds = Annotated[int, at_least(10, "seconds are too few; write 10 or more")]
Memory = Annotated[str, Size(_check_size)]


def image_with_version(example: str) -> Rule:
    """Return a validator that refuses references of images without a version."""

    def check(value: str) -> str:
        name, at, digest = value.partition("@")
        if not re.fullmatch(_IMAGE, name):
            raise ValueError(f"{value!r} names no version; write one such as {example}")
        if at and not re.fullmatch(DIGEST, digest):
            raise ValueError(
                f"{value!r} has no digest after the @; write sha256: and 64 hexadecimal digits"
            )
        return value

    return Rule(check, "`name:version`, or `name:version@sha256:…`")


def network(text: str) -> str:
    """Return an IPv4 or IPv6 network in CIDR notation in its canonical form.

    Raises ValueError with a sentence if `text` is not a network.
    """
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write one such as 10.0.0.0/8") from None


def mebibytes(size: str) -> int:
    """Return the mebibytes of a validated size such as `1536m` or `2g`."""
    return int(size[:-1]) * _MEBIBYTES[size[-1]]


def is_confidential(url: str) -> bool:
    """Return whether credentials in a request to a URL are encrypted, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # The host is a name, or the text is not a URL.
        is_local = False
    return url.startswith("https://") or (url.startswith("http://") and is_local)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is closest, or all known words, as the end of a sentence."""
    known = list(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there are none yet"
