"""Find evidence in compose files and scripts of the loader of an `.env` file."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

import yaml

from infisical_iac.dotenv import all_grammars
from infisical_iac.dotenv.grammar import NODE

# The text of a file, by its path relative to the scanned directory.
Text = Callable[[str], str]


@dataclass(frozen=True)
class Evidence:
    """A sign in the repository of a file's loader.

    Attributes:
        grammar: the loader's grammar, or the nearest to it.
        why: the sign, as a sentence.
        exact: whether the loader follows that grammar exactly; some have rules of their own.
        reader: the name of the container in a compose file that reads the file, or "".
        loader: one of `cascades.CASCADES` if it reads several files by mode, or "".
    """

    grammar: str
    why: str
    exact: bool = True
    reader: str = ""
    loader: str = ""


def upwards(directory: str) -> Iterator[str]:
    """Yield a directory and its parents, the nearest first; the root is ""."""
    while directory:
        yield directory
        directory = posixpath.dirname(directory)
    yield ""


_COMPOSE = next(each.name for each in all_grammars() if each.reads_compose_files)
_COMPOSE_FILE = re.compile(r"(docker-)?compose([.-][^/]*)?\.ya?ml")


class _Loader(yaml.SafeLoader):
    """Load YAML with compose's own tags, such as `!override`, which are ignored."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _plain)


def in_compose_files(paths: Iterable[str], text: Text) -> Iterator[tuple[str, Evidence]]:
    """Yield the files that `env_file:` names, each with the service that it is passed to."""
    for path in compose_files(paths):
        directory = posixpath.dirname(path)
        for service, name, raw in _env_files(text(path)):
            named = posixpath.normpath(posixpath.join(directory, name))
            own = ", as raw text" if raw else ""
            why = f"{path} passes it to {service} by env_file{own}"
            yield named, Evidence(_COMPOSE, why, exact=not raw, reader=service)


def next_to_compose_files(paths: Iterable[str], text: Text) -> Iterator[tuple[str, Evidence]]:
    """Yield the `.env` files next to a compose file that uses variables."""
    for path in compose_files(paths):
        if "${" in text(path):
            why = f"{path} next to it takes its own variables from it"
            yield posixpath.join(posixpath.dirname(path), ".env"), Evidence(_COMPOSE, why)


def compose_files(paths: Iterable[str]) -> Iterator[str]:
    """Return the paths of compose files among `paths`."""
    return (path for path in paths if _COMPOSE_FILE.fullmatch(posixpath.basename(path)))


def compose_services(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the services of a compose file, each with its name; none if compose can't read it."""
    try:
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    found = data.get("services") if isinstance(data, dict) else None
    for name, service in found.items() if isinstance(found, dict) else ():
        if isinstance(service, dict):
            yield str(name), service


def _env_files(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the service, the path as written and whether it is read raw, of each `env_file`."""
    for name, service in compose_services(text):
        given = service.get("env_file")
        for each in given if isinstance(given, list) else [given]:
            path = each.get("path") if isinstance(each, dict) else each
            raw = isinstance(each, dict) and each.get("format") == "raw"
            if isinstance(path, str):
                yield name, path, raw


_SCRIPT = re.compile(
    rf".*\.(sh|bash|zsh|mk|service|ya?ml)|{NODE.manifest.pattern}|(GNU)?[Mm]akefile|[Jj]ustfile|"
    r"(Procfile|Dockerfile|Containerfile)[^/]*"
)

_LONGEST = 2000  # characters of a line; longer lines are data
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
            line = line[:_LONGEST]
            for _ in range(2):  # they can be nested: $(cd "$(dirname "$0")" && pwd)
                line = re.sub(r"\$\((?:dirname|cd|pwd|git)\b[^()]*\)", "$DIRECTORY", line)
            for grammar, command in _COMMANDS:
                for found in command.pattern.finditer(line):
                    if named := _find_env_file(found["file"], posixpath.dirname(path), env_files):
                        yield named, Evidence(grammar, f"{path} {command.action}", command.exact)


def _find_env_file(written: str, directory: str, env_files: Set[str]) -> str | None:
    """Return the `.env` file that a command line names, relative to its directory or a parent.

    A variable at the path's beginning stands for an unknown directory.
    """
    path = written.replace("\\", "").strip("\"'")
    path = re.sub(r"^(\$\{[^}]*\}|\$\w+|~|%h)/", "", path)
    for place in upwards(directory):
        candidate = posixpath.normpath(posixpath.join(place, path))
        if candidate in env_files:
            return candidate
    return None
