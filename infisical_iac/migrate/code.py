"""Loaders that only the code of a service shows."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from infisical_iac.migrate.signs import Sign, Text, upwards

_NODE = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
_NODE_LOADER = re.compile(r"\b(process\.loadEnvFile|util\.parseEnv)\(")
_PYTHON_LOADER = re.compile(r"\b(?:load_dotenv|dotenv_values)(?=\()")
_OFF = re.compile(r"\binterpolate\s*=\s*False\b")
_LONGEST_CALL = 500


@dataclass(frozen=True)
class Said:
    """What code says, by the directory of the package that it is in.

    Attributes:
        loaders: calls of what the language itself brings.
        interpolation: of python-dotenv, by file: whether all, some or no calls turn it off.
    """

    loaders: dict[str, list[Sign]] = field(default_factory=dict)
    interpolation: dict[str, dict[str, Set[bool]]] = field(default_factory=dict)

    def corrected(self, place: str, signs: Sequence[Sign]) -> list[Sign]:
        """The signs of a package, python-dotenv's with what its calls say of interpolation."""
        off = self.interpolation.get(place, {})
        calls = {call for each in off.values() for call in each}
        if True not in calls:
            return list(signs)
        path = next(path for path, each in off.items() if True in each)
        raw = [
            replace(
                sign,
                grammar="python-dotenv-raw",
                why=f"{sign.why}, and {path} turns its interpolation off",
            )
            for sign in signs
            if sign.grammar == "python-dotenv"
        ]
        kept = [sign for sign in signs if False in calls or sign.grammar != "python-dotenv"]
        return [*raw, *kept]


def by_directory(paths: Iterable[str], places: Set[str], text: Text) -> Said:
    """What the code below each of `places` says; code elsewhere belongs to the root."""
    said = Said()
    for path in paths:
        place = next((each for each in upwards(posixpath.dirname(path)) if each in places), "")
        if path.endswith(_NODE) and (found := _NODE_LOADER.search(text(path))):
            sign = Sign("node-env-file", f"{path} calls {found[1]}")
            said.loaders.setdefault(place, []).append(sign)
        if path.endswith(".py"):
            calls = {bool(_OFF.search(each)) for each in _calls(text(path))}
            if calls:
                said.interpolation.setdefault(place, {})[path] = calls
    return said


def _calls(text: str) -> Iterator[str]:
    """What stands between the parentheses of each call of python-dotenv."""
    for found in _PYTHON_LOADER.finditer(text):
        arguments = text[found.end() : found.end() + _LONGEST_CALL]
        depth = 0
        for position, character in enumerate(arguments):
            depth += (character == "(") - (character == ")")
            if not depth:
                yield arguments[:position]
                break
