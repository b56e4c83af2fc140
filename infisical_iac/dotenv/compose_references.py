"""Replace `$NAME`, `${NAME}`, `${NAME:-default}` and their like as Docker Compose does."""

import re
from collections.abc import Mapping
from typing import NoReturn

from infisical_iac.dotenv.model import Finding
from infisical_iac.dotenv.text import Refused, Text

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[_a-zA-Z]\w*+)"
    r"|\{(?:(?P<braced>[_a-zA-Z]\w*+)(?:\}|(?P<operator>:?[-+?])))?)",
    re.ASCII,
)
# An opening brace hides the character after it from the search for the closing one.
_BRACE = re.compile(r"\{.?|\}", re.DOTALL)
_DEEPEST = 50


class References:
    """Replaces the references in a file's values, with what the environment or the file has."""

    def __init__(self, text: Text, environ: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self.undefined = 0
        self._text, self._environ = text, environ
        self._line = 0

    def replaced(self, value: str, line: int) -> str:
        """The value, which stands on a line of the text, with its references replaced.

        Counts those that are not defined. Raises Refused if Compose would refuse the file.
        """
        self.undefined, self._line = 0, line
        return self._replaced(value, _DEEPEST)

    def known(self, name: str) -> str | None:
        """The value of a name if it is defined so far."""
        return self._environ.get(name, self.values.get(name))

    def _replaced(self, value: str, depth: int) -> str:
        self._text.replacing(value, self._line)
        if not depth:
            self._refuse("References are nested too deeply.")
        parts = []
        position = last = 0
        while match := _REFERENCE.search(value, position):
            parts.append(value[position : match.start()])
            position = match.end()
            if match["operator"]:
                last = last if last >= position else self._last_brace(value, position)
                end = _closing_brace(value, match.start() + 1, last)
                rest, position = value[position:end], end + 1
                found = self._chosen(match["braced"], match["operator"], rest, depth)
            elif match["dollar"]:
                found = "$"
            else:
                found = self._found(match["plain"] or match["braced"])
            self._text.replacing(found, self._line)
            parts.append(found)
        return "".join([*parts, value[position:]])

    def _found(self, name: str | None) -> str:
        if name is None:
            self._refuse("A ${ is followed by something that is no reference.")
        value = self.known(name)
        self.undefined += value is None
        return value or ""

    def _last_brace(self, value: str, position: int) -> int:
        line_end = value.find("\n", position)
        last = value.rfind("}", position, line_end if line_end >= 0 else len(value))
        if last < 0:
            self._refuse("A ${ is not closed on its line.")
        return last

    def _chosen(self, name: str, operator: str, rest: str, depth: int) -> str:
        # Compose replaces in it even if it isn't taken, and refuses what is wrong in it.
        rest = self._replaced(rest, depth - 1)
        value = self.known(name)
        given = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return rest if given else value or ""
        if operator[-1] == "-":
            return value or "" if given else rest
        if not given:
            self._refuse("A name that is required (:? or ?) is not defined.")
        return value or ""

    def _refuse(self, message: str) -> NoReturn:
        message = f"{message} Compose refuses the whole file."
        remedy = "Correct the reference, or double the dollar that is none."
        raise Refused(Finding(self._line, "refused", "", message, remedy))


def _closing_brace(value: str, opening: int, last: int) -> int:
    """Where a brace is closed; at the last one of the line if there are not enough."""
    depth = 0
    for brace in _BRACE.finditer(value, opening, last + 1):
        depth += 1 if brace[0][0] == "{" else -1
        if not depth:
            return brace.start()
    return last
