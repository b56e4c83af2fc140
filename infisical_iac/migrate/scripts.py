"""Command lines that name an `.env` file: in scripts, makefiles, CI, units and package.json."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

from infisical_iac.migrate.signs import Sign, Text, upwards

_NAME = re.compile(
    r".*\.(sh|bash|zsh|mk|service|ya?ml)|package\.json|(GNU)?[Mm]akefile|[Jj]ustfile|"
    r"(Procfile|Dockerfile|Containerfile)[^/]*"
)

_LONGEST = 2000  # of a line: what is longer is data


class _Command(NamedTuple):
    """A way to give a file to a program, with the file as the group `file`."""

    pattern: re.Pattern[str]
    grammar: str
    what: str
    exact: bool = True


_FILE = r"""(?P<file>"[^"\n]*"|'[^'\n]*'|\\"[^"\n]*\\"|[^\s"';&|)<>]+)"""
_OPTION = rf"[^\n|&;]*?\s--env-file(?:-if-exists)?[= ]+{_FILE}"


def _command(pattern: str, grammar: str, what: str, *, exact: bool = True) -> _Command:
    return _Command(re.compile(pattern), grammar, what, exact)


_COMMANDS = (
    _command(rf"\b(?:node|tsx|nodemon)\b{_OPTION}", "node-env-file", "gives it to node --env-file"),
    _command(rf"\bdocker[ -]compose\b{_OPTION}", "compose", "gives it to docker compose"),
    _command(
        rf"\b(?:docker|podman) run\b{_OPTION}",
        "compose",
        "gives it to docker run, which knows no quotes",
        exact=False,
    ),
    _command(rf"\buvicorn\b{_OPTION}", "python-dotenv", "gives it to uvicorn"),
    _command(
        rf"\bdotenv\s+(?:[^\n|&;]*?\s)?-f[= ]+{_FILE}[^\n]*?\brun\b",
        "python-dotenv",
        "gives it to python-dotenv's command",
    ),
    _command(
        rf"\bdotenv\s+(?:[^\n|&;]*?\s)?-e[= ]+{_FILE}",
        "dotenv-expand",
        "gives it to dotenv-cli",
    ),
    _command(rf"(?:^|[\s;&|(\"'])(?:source|\.)[ \t]+{_FILE}", "shell", "sources it"),
    _command(
        r"\b(?:export|env)\s+[^\n]{0,80}?\$\([^\n)]*?(?P<file>[^\s\"'()<]*\.env[\w.-]*)[^\n)]*\)",
        "shell",
        "gives its words to export or env, which know no quotes",
        exact=False,
    ),
    _command(
        rf"(?m)^EnvironmentFile=-?{_FILE}",
        "shell",
        "names it as EnvironmentFile, which systemd reads by rules of its own",
        exact=False,
    ),
)


def signs(paths: Iterable[str], text: Text, env_files: Set[str]) -> Iterator[tuple[str, Sign]]:
    """The `.env` files that command lines name, each with the sign."""
    for path in paths:
        if not _NAME.fullmatch(posixpath.basename(path)):
            continue
        lines = dict.fromkeys(text(path).splitlines())
        for line in (each for each in lines if "env" in each.lower()):
            for command in _COMMANDS:
                for found in command.pattern.finditer(_without_directories(line[:_LONGEST])):
                    if named := _named(found["file"], posixpath.dirname(path), env_files):
                        yield named, Sign(command.grammar, f"{path} {command.what}", command.exact)


def _without_directories(line: str) -> str:
    """The line with a variable for each command in it that prints a directory."""
    for _ in range(2):  # one may stand in another: $(cd "$(dirname "$0")" && pwd)
        line = re.sub(r"\$\((?:dirname|cd|pwd|git)\b[^()]*\)", "$DIRECTORY", line)
    return line


def _named(written: str, directory: str, env_files: Set[str]) -> str | None:
    """The `.env` file that a command line means: seen from its directory, or from one above.

    A variable at the path's beginning stands for a directory that isn't known.
    """
    path = written.replace("\\", "").strip("\"'")
    path = re.sub(r"^(\$\{[^}]*\}|\$\w+|~|%h)/", "", path)
    for place in upwards(directory):
        candidate = posixpath.normpath(posixpath.join(place, path))
        if candidate in env_files:
            return candidate
    return None
