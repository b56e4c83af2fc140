"""Command lines that name an `.env` file: in scripts, makefiles, CI, units and package.json."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Set

from infisical_iac.dotenv import all_grammars
from infisical_iac.migrate.evidence import Evidence, Text, upwards

_SCRIPT = re.compile(
    r".*\.(sh|bash|zsh|mk|service|ya?ml)|package\.json|(GNU)?[Mm]akefile|[Jj]ustfile|"
    r"(Procfile|Dockerfile|Containerfile)[^/]*"
)

_LONGEST = 2000  # of a line: what is longer is data


_COMMANDS = sorted(
    ((grammar.name, command) for grammar in all_grammars() for command in grammar.commands),
    key=lambda each: each[1].rank,
)


def in_scripts(
    paths: Iterable[str], text: Text, env_files: Set[str]
) -> Iterator[tuple[str, Evidence]]:
    """Yield the `.env` files that command lines name, each with the evidence."""
    for path in paths:
        if not _SCRIPT.fullmatch(posixpath.basename(path)):
            continue
        lines = dict.fromkeys(text(path).splitlines())
        for line in (each for each in lines if "env" in each.lower()):
            for grammar, command in _COMMANDS:
                for found in command.pattern.finditer(_without_directories(line[:_LONGEST])):
                    if named := _named(found["file"], posixpath.dirname(path), env_files):
                        yield named, Evidence(grammar, f"{path} {command.action}", command.exact)


def _without_directories(line: str) -> str:
    """Return the line with a variable for each command in it that prints a directory."""
    for _ in range(2):  # one may stand in another: $(cd "$(dirname "$0")" && pwd)
        line = re.sub(r"\$\((?:dirname|cd|pwd|git)\b[^()]*\)", "$DIRECTORY", line)
    return line


def _named(written: str, directory: str, env_files: Set[str]) -> str | None:
    """Return the `.env` file that a command line means: seen from its directory, or from one above.

    A variable at the path's beginning stands for a directory that isn't known.
    """
    path = written.replace("\\", "").strip("\"'")
    path = re.sub(r"^(\$\{[^}]*\}|\$\w+|~|%h)/", "", path)
    for place in upwards(directory):
        candidate = posixpath.normpath(posixpath.join(place, path))
        if candidate in env_files:
            return candidate
    return None
