"""Show people how two texts differ, without anything that may be a secret."""

import re
from collections.abc import Set
from difflib import unified_diff

_MASK = "***"
_WORD = re.compile(r"[^\s\"'=:,;{}\[\]()<>]+")
# What can stand alone without giving anything away: words of configuration, sizes, small numbers.
_HARMLESS = re.compile(
    r"true|false|null|none|yes|no|on|off|\d{1,3}|\d{1,6}(k|m|g|kb|mb|gb|s|ms|min)"
)
_BEFORE_A_NAME = re.compile(r"(^|[{,])\s*(- |export )?\s*[\"']?$")
_NAME = re.compile(r"[A-Za-z_][\w./-]{0,63}")
# Padding of base64 at the end of a line is no sign that a value follows.
_AFTER_A_NAME = re.compile(r"[\"']?\s*(:|=(?!=*\s*$))")
# A value of these is masked whatever it is.
_PRIVATE = re.compile(
    r"(?i)([\w-]*(?:pass|secret|token|key|credential|auth|private|pin)[\w-]*[\"']?\s*[:=]\s*)(\S.*)"
)


def diff(there: str, wanted: str) -> str:
    """The unified diff from the text that is there to the one that is wanted.

    In lines that would be taken away, whatever the wanted text does not hold is masked, but for
    the names that values have and what is harmless: somebody else wrote it, who may have written
    a secret. Lines that would be added hold none.
    """
    known = set(_WORD.findall(wanted))
    lines = unified_diff(there.splitlines(), wanted.splitlines(), lineterm="", n=1)
    return "\n".join(
        f"-{_masked(line[1:], known)}" if line[:1] == "-" else line
        for line in lines
        if not line.startswith(("---", "+++"))
    )


def _masked(line: str, known: Set[str]) -> str:
    line = _PRIVATE.sub(rf"\1{_MASK}", line)

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        is_name = (
            _NAME.fullmatch(word)
            and _BEFORE_A_NAME.search(line[: match.start()])
            and _AFTER_A_NAME.match(line, match.end())
        )
        harmless = is_name or word in known or _HARMLESS.fullmatch(word.lower())
        return word if harmless else _MASK

    return _WORD.sub(mask, line)
