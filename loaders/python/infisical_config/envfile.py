"""Parse `.env.local` and `.env.override`: lines of `NAME=value`, without expansions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_CONVENTIONAL = re.compile(r"[A-Z_][A-Z0-9_]*")
_LINE = re.compile(r"(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*)")
_OVERRIDES = re.compile(r"#\s*overrides", re.IGNORECASE)
_OWN = "INFISICAL_"


class LocalFile(NamedTuple):
    """The content of a developer's own file.

    Attributes:
        settings: the variables that a loader reads from it.
        overrides: values that replace Infisical's.
        ignored: names that belong to neither, as `list_for_display` returns them.
    """

    settings: dict[str, str]
    overrides: dict[str, str]
    ignored: list[str]

    @property
    def override_names(self) -> str:
        """Return the names of the overrides, safe to print; "" without any."""
        return ", ".join(list_for_display(list(self.overrides)))


def parse(text: str, file: Path) -> LocalFile:
    """Parse the text of `.env.local`, whose overrides are below a line `# overrides`.

    Of several lines with one name, the last wins. Raises ConfigError for an override of several
    lines.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").split("\n")]
    end = next((n for n, line in enumerate(lines) if _OVERRIDES.fullmatch(line)), len(lines))
    above, below = _pairs(lines[:end]), _pairs(lines[end:])
    settings = {name: value for name, value in above if name == "NODE_ENV" or _is_own(name)}
    ignored = {name: None for name, _ in above if name not in settings}
    settings |= {name: value for name, value in below if _is_own(name)}
    overrides = _overrides([pair for pair in below if not _is_own(pair[0])], file)
    return LocalFile(_unquote(settings), overrides, list_for_display(list(ignored)))


def parse_overrides(text: str, file: Path) -> LocalFile:
    """Parse the text of `.env.override`, which has overrides only; raises ConfigError likewise."""
    pairs = _pairs(line.strip() for line in text.removeprefix("\ufeff").split("\n"))
    ignored = {name: None for name, _ in pairs if _is_own(name)}
    overrides = _overrides([pair for pair in pairs if not _is_own(pair[0])], file)
    return LocalFile({}, overrides, list_for_display(list(ignored)))


def list_for_display(names: Sequence[str]) -> list[str]:
    """Return names that are safe to print; count the others, which may be lines of a key."""
    shown = [name for name in names if _CONVENTIONAL.fullmatch(name)]
    others = len(names) - len(shown)
    return [*shown, f"{others} of another form"] if others else shown


def _pairs(lines: Iterable[str]) -> list[tuple[str, str]]:
    return [(line[1], line[2]) for line in map(_LINE.fullmatch, lines) if line]


def _is_own(name: str) -> bool:
    return name.startswith(_OWN)


def _overrides(pairs: Iterable[tuple[str, str]], file: Path) -> dict[str, str]:
    for name, value in pairs:
        if value[:1] in ("'", '"') and not _is_quoted(value):
            (shown,) = list_for_display([name])
            raise ConfigError(
                "not_configured",
                f"{file} has an override {shown} whose quote does not end in its line: write the"
                " value in one line",
            )
    return _unquote(dict(pairs))


def _unquote(values: dict[str, str]) -> dict[str, str]:
    return {name: value[1:-1] if _is_quoted(value) else value for name, value in values.items()}


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
