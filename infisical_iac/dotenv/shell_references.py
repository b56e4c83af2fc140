"""Replace `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+alternative}` as a shell does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from infisical_iac.dotenv.text import Text

_REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*+)|\{([A-Za-z_]\w*+)(?:\}|(:?[-+])))(?!\\\n)", re.ASCII)
# After a dollar: commands, arithmetic, and parameters of the script or the shell.
_MORE = re.compile(r"\$(?:[A-Za-z_{(\[0-9@*#?$!-]|\\\n)")
_PLAIN = re.compile(r"[^}\"'\\`$~{()<>]*+")
_DEEPEST = 20

# Names with a value of the shell's own, whatever is assigned to them; and those with one at first.
_MAGIC = re.compile(
    r"_|BASH\w*|EPOCH\w*|SHELLOPTS|POSIXLY_CORRECT|S?RANDOM|SECONDS|LINENO|E?UID|PPID|GROUPS"
    r"|FUNCNAME|DIRSTACK|HISTCMD|PIPESTATUS"
)
_SET_AT_START = re.compile(
    r"PATH|IFS|PS[0-4]|(?:OLD)?PWD|SHLVL|SHELL|TERM|OPT(?:IND|ERR|ARG)|(?:HOST|MACH|OS)TYPE"
    r"|HOSTNAME|COLUMNS|LINES"
)


@dataclass
class Replaced:
    """A reference's value, where it ends, and how many names in it are not defined."""

    value: str
    end: int
    undefined: int = 0


class References:
    """Reads references with what is assigned so far. Raises Refused for what can't be known."""

    def __init__(self, text: Text, environ: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self._text, self._environ = text, environ

    def read(self, position: int, depth: int = _DEEPEST) -> Replaced:
        """The reference at a position where a dollar stands; a dollar alone stands for itself."""
        text = self._text.text
        match = _REFERENCE.match(text, position)
        if not match:
            if _MORE.match(text, position) or not depth:
                self._refuse(position)
            return Replaced("$", position + 1)
        name, operator = match[1] or match[2], match[3]
        value = self._known(name, position)
        self._text.replacing(value or "", self._text.line(position))
        if not operator:
            return Replaced(value or "", match.end(), int(value is None))
        rest = self._rest(match.end(), depth)
        given = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return rest if given else Replaced("", rest.end)
        return Replaced(value or "", rest.end) if given else rest

    def _rest(self, position: int, depth: int) -> Replaced:
        """Return what stands in a reference after the operator: plain text and other references."""
        rest = Replaced("", position)
        parts = []
        while not self._text.text.startswith("}", rest.end):
            plain = _PLAIN.match(self._text.text, rest.end)
            if plain and plain[0]:
                part = Replaced(plain[0], plain.end())
            elif self._text.text.startswith("$", rest.end) and depth:
                part = self.read(rest.end, depth - 1)
            else:
                self._refuse(rest.end)
            parts.append(part.value)
            rest.end, rest.undefined = part.end, rest.undefined + part.undefined
        return Replaced("".join(parts), rest.end + 1, rest.undefined)

    def _known(self, name: str, position: int) -> str | None:
        value = self.values.get(name, self._environ.get(name))
        if _MAGIC.fullmatch(name) or (value is None and _SET_AT_START.fullmatch(name)):
            self._refuse(position)
        return value

    def _refuse(self, position: int) -> NoReturn:
        message = "The value depends on a command or on the shell itself. It is not read."
        remedy = "Write the value itself; put it in single quotes if the dollar is a part of it."
        self._text.refuse(position, "refused", message, remedy)


def is_magic(name: str) -> bool:
    """Return whether a shell gives a name a value of its own, whatever is assigned to it."""
    return bool(_MAGIC.fullmatch(name))
