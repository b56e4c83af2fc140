"""Put a text in the place of another as JavaScript's String.replace does."""

import re

_PATTERN = re.compile(r"\$([$&`'])")


def replaced(text: str, template: str, value: str) -> str:
    """The text with its first `template` replaced.

    `$$`, `$&`, `` $` `` and `$'` in the value stand for a dollar, the template, and the text before
    and after it: a password that holds these is changed by being referred to.
    """
    if "$" not in value:
        return text.replace(template, value, 1)
    before, _, after = text.partition(template)
    meanings = {"$": "$", "&": template, "`": before, "'": after}
    return before + _PATTERN.sub(lambda match: meanings[match[1]], value) + after
