"""Decide which values are too short or too common to be searched for."""

import re

_SHORTEST = 8
_FEWEST_SIGNS = 4

# A word or a number; up to three of them make a name; names make a path, a host, an address.
_WORD = r"(?:[A-Z]?[a-z]{1,12}\d{0,2}|[A-Z]{1,12}|\d{1,15})"
_NAME = rf"{_WORD}(?:[-_ ]{_WORD}){{0,2}}"
_PATH = rf"{_NAME}(?:[./]{_NAME})*"
_PLAIN = re.compile(rf"(?:[a-z][a-z+]{{1,15}}://|\.{{0,2}}/)?{_PATH}(?::\d{{1,5}})?(?:/{_PATH})?/?")
_MAIL = re.compile(rf"[a-z0-9._+-]{{1,30}}@{_PATH}")


def why_skipped(value: str) -> str:
    """Return why a value is not searched for; empty if it is.

    In any repository, such a value would be found in places that have nothing to do with it.
    """
    text = value.strip()
    if len(text.encode("utf-8", "surrogatepass")) < _SHORTEST:
        return f"shorter than {_SHORTEST} bytes"
    if len(set(text)) < _FEWEST_SIGNS:
        return f"fewer than {_FEWEST_SIGNS} different characters"
    if all(_is_common(part.strip()) for part in text.split(",")):
        return "plain words, a number, a path, a host, or an address without credentials"
    return ""


def _is_common(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text) or _MAIL.fullmatch(text))
