"""How two texts differ, for people to read: without anything that looks like a secret."""

import re
from difflib import unified_diff

_MASK = "***"
# What somebody else wrote into a file may hold secrets that this project does not know.
_ASSIGNMENT = re.compile(
    r"(?i)([\w-]*(?:passw|secret|token|key|credential|auth|private)[\w-]*[\"']?\s*[:=]\s*)(\S.*)"
)
_URL = re.compile(r"(://[^/\s:@]*:)[^@\s]+(?=@)")
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{20,}")


def diff(there: str, wanted: str) -> str:
    """The unified diff from the text that is there to the one that is wanted.

    Lines that would be taken away are masked; those that would be added hold no secret anyway.
    """
    lines = unified_diff(there.splitlines(), wanted.splitlines(), lineterm="", n=1)
    return "\n".join(
        _masked(line) if line[:1] == "-" else line
        for line in lines
        if not line.startswith(("---", "+++"))
    )


def _masked(line: str) -> str:
    line = _ASSIGNMENT.sub(rf"\1{_MASK}", line)
    line = _URL.sub(rf"\1{_MASK}", line)
    return _RANDOM.sub(lambda match: _MASK if _is_random(match[0]) else match[0], line)


def _is_random(word: str) -> bool:
    return any(sign.isdigit() for sign in word) and any(sign.isalpha() for sign in word)
