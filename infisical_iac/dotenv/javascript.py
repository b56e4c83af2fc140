"""White space, String.replace and the order of objects in JavaScript."""

import re

_PATTERN = re.compile(r"\$([$&`'])")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_LAST_INDEX = 2**32 - 2

# White space, and the characters of it that end a line.
SPACES = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
TRIMMED = SPACES.replace("\u2000-\u200a", "".join(map(chr, range(0x2000, 0x200B))))
ENDS = "\n\u2028\u2029"


def replace_first(text: str, template: str, value: str) -> str:
    """Return the text with its first `template` replaced, as by String.replace.

    `$$`, `$&`, `` $` `` and `$'` in the value stand for a dollar, the template, and the text before
    and after it. So a reference to a password with one of these changes it.
    """
    if "$" not in value:
        return text.replace(template, value, 1)
    before, _, after = text.partition(template)
    meanings = {"$": "$", "&": template, "`": before, "'": after}
    return before + _PATTERN.sub(lambda match: meanings[match[1]], value) + after


def as_object(values: dict[str, str]) -> dict[str, str]:
    """Return values in the order of an object: keys that are array indices first, by number."""
    numbers = (key for key in values if _NUMBER.fullmatch(key))
    indices = sorted((key for key in numbers if int(key) <= _LAST_INDEX), key=int)
    return {key: values[key] for key in indices} | values if indices else values
