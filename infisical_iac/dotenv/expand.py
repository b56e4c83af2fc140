"""The grammar of npm dotenv followed by dotenv-expand (12)."""

import re
from collections.abc import Mapping

from infisical_iac.dotenv.grammars import npm
from infisical_iac.dotenv.javascript import replaced
from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.order import in_order
from infisical_iac.dotenv.replacing import note_undefined, with_values
from infisical_iac.dotenv.text import Text

_REFERENCE = re.compile(r"\$(?<!\\\$)(?:\{([^{}]+)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OPERATOR = re.compile(r":?[+-]")


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments, with references replaced by the environment's values or earlier ones."""
    entries = npm.parse(text, environ)
    lines = {entry.key: entry.first_line for entry in entries}
    expansion = Expansion(text, environ, {})
    written = {entry.key: entry.written for entry in entries}
    for key, value in in_order("dotenv-expand", written).items():
        expansion.add(key, value, lines[key])
    return with_values(entries, expansion.values)


class Expansion:
    """Replaces the references in values, one after the other.

    `values` are those that references see besides the environment's, and where results go.
    """

    def __init__(self, text: Text, environ: Mapping[str, str], values: dict[str, str]) -> None:
        self.values = values
        self._text, self._environ = text, environ

    def add(self, key: str, value: str, line: int) -> None:
        """Put in the value that stands under a key on a line, with its references replaced.

        Raises Refused if that leads to more work than that of any program.
        """
        ours = self._environ.get(key) or value
        # What the environment has wins, and is taken as it is.
        value = self._expanded(key, value, line) if ours == value else ours
        self.values[key] = value.replace("\\$", "$")

    def _expanded(self, key: str, value: str, line: int) -> str:
        seen = set()
        undefined = 0
        while match := _REFERENCE.search(value):
            seen.add(value)
            name, found, default = self._resolved(match[1] or match[2])
            undefined += not found and default is None
            if not found or found in seen:
                found = default or ""
            value = replaced(value, match[0], found)
            self._text.replacing(value, line)
            if value == self.values.get(name):
                break
        note_undefined(self._text, line, key, undefined)
        return value

    def _resolved(self, expression: str) -> tuple[str, str, str | None]:
        """The name, the value to take if there is one, and the one to take otherwise."""
        operator = _OPERATOR.search(expression)
        if not operator:
            # dotenv-expand splits the name at the operator, which is JavaScript's null here.
            name, null, default = expression.partition("null")
            return name, self._known(name), default if null else None
        name, default = expression[: operator.start()], expression[operator.end() :]
        if operator[0].endswith("+"):
            return name, "", default if self._known(name) else ""
        return name, self._known(name), default

    def _known(self, name: str) -> str:
        return self._environ.get(name, self.values.get(name, ""))
