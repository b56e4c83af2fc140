"""Find evidence of the loader of an `.env` file, and of the release of Node that a service runs.

The loader shows in compose files and scripts. The release chooses among the grammars of a program.
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from infisical_iac.core.wording import join_names
from infisical_iac.dotenv import Grammar, all_grammars
from infisical_iac.dotenv.grammar import NODE, Release

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


_FAMILIES: dict[str, Grammar] = {
    name: each
    for each in all_grammars()
    if each.by_release
    for name in (each.name, *(name for _, name in each.by_release))
}
_LATEST = 999  # the number for the newest release
_MAJORS = range(18, 60)  # 20 is the first major release that reads .env files


class ReleaseSign(NamedTuple):
    """A sign in the repository of the releases of Node that a service may run.

    Attributes:
        says: the file and its statement, as a clause.
        releases: the newest of each major release that it allows.
    """

    says: str
    releases: tuple[Release, ...]


class ReleaseChoice(NamedTuple):
    """The grammar of the release that a service runs.

    Attributes:
        others: the grammars of other releases that it may run.
        why: a sentence with the sign, or on signs that are missing or disagree.
    """

    grammar: str
    others: tuple[str, ...]
    why: str


def names_of_program(grammar: str) -> tuple[str, ...]:
    """Return the names of all grammars of the same program; none if its releases read alike."""
    return tuple(name for name, each in _FAMILIES.items() if each is _FAMILIES.get(grammar))


def choose_release(grammar: str, signs: Sequence[ReleaseSign]) -> ReleaseChoice | None:
    """Return the choice among the grammars of a program; None if its releases read alike.

    The first sign whose releases all have one grammar decides. Without such a sign, the newest
    release does.
    """
    if grammar not in _FAMILIES:
        return None
    program = _FAMILIES[grammar]
    allowed = [(each, {program.of_release(one) for one in each.releases}) for each in signs]
    certain = [(each, name) for each, names in allowed if len(names) == 1 for name in names]
    if not certain:
        taken = program.of_release((_LATEST, 0))
        others = tuple(name for name in names_of_program(grammar) if name != taken)
        said = ", ".join(each.says for each in signs)
        why = said or "nothing says which release of Node runs it"
        return ReleaseChoice(taken, others, why)
    first, taken = certain[0]
    differing = {name: each.says for each, name in reversed(certain) if name != taken}
    why = ", but ".join([first.says, *differing.values()])
    return ReleaseChoice(taken, tuple(differing), why)


# The codenames of major releases with long-term support, as tags of images and in .nvmrc.
_CODENAMES = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.[\w.+*-]+)?")
_HYPHEN = re.compile(r"\s*v?(\S+)\s+-\s+v?(\S+)\s*")


def newest_releases(written: str) -> tuple[Release, ...]:
    """Return the newest of each major release that a range of versions allows.

    Odd major releases, which have no long-term support, count only if no even one is allowed. The
    range has the form of npm; other texts, such as `lts/*`, allow no known release.
    """
    codename = written.strip().lower().removeprefix("lts/").removeprefix("lts-")
    allowed: set[Release] = set()
    for part in _CODENAMES.get(codename, written).split("||"):
        bounds = _bounds(part)
        if bounds is None:
            return ()
        for major in _MAJORS:
            low = max([(major, 0), *(low for low, _ in bounds)])
            high = min([(major, _LATEST), *(high for _, high in bounds)])
            if low <= high:
                allowed.add(high)
    even = {each for each in allowed if each[0] % 2 == 0}
    return tuple(sorted(even or allowed))


_ANY = ((0, 0), (10**6, 0))


def _bounds(part: str) -> list[tuple[Release, Release]] | None:
    """Return the lowest and the highest release that each comparator allows; None for no range."""
    if hyphen := _HYPHEN.fullmatch(part):
        part = f">={hyphen[1]} <={hyphen[2]}"
    if not part.strip():
        return [_ANY]
    bounds, position = [], 0
    part = part.strip()
    while position < len(part):
        match = _COMPARATOR.match(part, position)
        if not match or part[match.end() : match.end() + 1].strip():
            return None
        bounds.append(_bound(match))
        position = match.end() + 1
        position += len(part[position:]) - len(part[position:].lstrip())
    return bounds


def _bound(match: re.Match[str]) -> tuple[Release, Release]:
    if not match[2].isdigit():
        return _ANY
    major = int(match[2])
    minor = int(match[3]) if match[3] and match[3].isdigit() else None
    low, high = (major, minor or 0), (major, _LATEST if minor is None else minor)
    operator = match[1] or ""
    if operator == "^":
        return low, (major, _LATEST)
    if operator == ">=":
        return low, _ANY[1]
    if operator == ">":
        return high if minor is not None else (major + 1, 0), _ANY[1]
    if operator == "<=":
        return _ANY[0], high
    if operator == "<":
        return _ANY[0], (major, minor - 1) if minor else (major - 1, _LATEST)
    return low, high


_DOCKERFILE = re.compile(r"(?i)(?:.+\.)?(?:Dockerfile|Containerfile)(?:[.-].+)?")
_FROM = re.compile(r"(?im)^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?")
_ARG = re.compile(r"(?im)^[ \t]*ARG[ \t]+(\w+)=[\"']?([^\s\"']*)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")
_IMAGE = re.compile(r"node(?:js)?[:-]?v?(\d+(?:\.\d+)*|[a-z]+)(?=$|[-@])")
_VERSION_FILES = frozenset({".nvmrc", ".node-version"})
_CI = re.compile(
    r"((?:.+/)?)(?:\.github/workflows/[^/]+|\.gitlab-ci|\.circleci/config|bitbucket-pipelines)"
    r"\.ya?ml"
)
_IMAGE_KEYS = frozenset({"image", "name", "container"})
_INPUTS = frozenset({"node-version", "node_version", "node"})


def _in_dockerfile(path: str, text: str) -> Iterator[ReleaseSign]:
    """Yield the sign of the last stage with an image of Node, which is the one that runs."""
    defaults = dict(_ARG.findall(text))
    found = []
    for image, _ in _FROM.findall(text):
        image = _VARIABLE.sub(
            lambda match: str(defaults.get(match[1] or match[3], match[2] or "")), image
        )
        found += [(image, releases)] if (releases := _of_image(image)) else []
    for image, releases in found[-1:]:
        yield ReleaseSign(f"{path} says {image}", releases)


def _of_image(image: str) -> tuple[Release, ...]:
    match = _IMAGE.match(posixpath.basename(image))
    return newest_releases(match[1]) if match else ()


def _in_version_file(path: str, text: str) -> Iterator[ReleaseSign]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    written = next(filter(None, lines), "")
    yield ReleaseSign(f"{path} says {written}", newest_releases(written))


def _in_engines(path: str, text: str) -> Iterator[ReleaseSign]:
    try:
        written = json.loads(text)["engines"]["node"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(written, str):
        yield ReleaseSign(f"engines in {path} say {written}", newest_releases(written))


def _in_ci(path: str, text: str) -> Iterator[ReleaseSign]:
    if "node" not in text:
        return
    try:
        # Numbers stay as written: 22.10 is not 22.1.
        data = yaml.load(text, yaml.BaseLoader)
        values = [*_values(data)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    written: list[str] = []
    releases: set[Release] = set()
    for key, value in values:
        if allowed := _of_image(value) if key in _IMAGE_KEYS else newest_releases(value):
            written.append(value)
            releases.update(allowed)
    if releases:
        yield ReleaseSign(f"{path} says {join_names([*dict.fromkeys(written)])}", (*releases,))


def _values(data: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of images, and the inputs of setup-node, with those of a matrix."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _values(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key)
    elif isinstance(data, str) and key in _INPUTS | _IMAGE_KEYS:
        yield key, data


_KINDS: tuple[tuple[Callable[[str], bool], Callable[[str, str], Iterator[ReleaseSign]]], ...] = (
    (lambda path: bool(_DOCKERFILE.fullmatch(posixpath.basename(path))), _in_dockerfile),
    (lambda path: posixpath.basename(path) in _VERSION_FILES, _in_version_file),
    (NODE.is_manifest, _in_engines),
    (lambda path: bool(_CI.fullmatch(path)), _in_ci),
)
"""The files that name the release, nearest to production first, with their readers."""


class ReleaseDetection:
    """The signs in a tree of the releases of Node that its services run."""

    def __init__(self, paths: Iterable[str], text: Text) -> None:
        """Inspect the files in `paths`, relative to the root, each read by `text`."""
        paths = list(paths)
        packages = {posixpath.dirname(path) for path in paths if NODE.is_manifest(path)}
        self._found: list[dict[str, list[ReleaseSign]]] = []
        for is_one, read in _KINDS:
            by_directory: dict[str, list[ReleaseSign]] = {}
            for path in filter(is_one, paths):
                directory = posixpath.dirname(path)
                if read is _in_dockerfile:  # a Dockerfile may be in a directory of its own
                    directory = next((up for up in upwards(directory) if up in packages), "")
                elif of_ci := _CI.fullmatch(path):
                    directory = of_ci[1].rstrip("/")
                signs = [sign for sign in read(path, text(path)) if sign.releases]
                by_directory.setdefault(directory, []).extend(signs)
            self._found.append(by_directory)

    def signs(self, path: str) -> list[ReleaseSign]:
        """Return the signs for a file: those of each kind in the nearest directory at or above it.

        If there are none, those below its directory count.
        """
        directory = posixpath.dirname(path)
        found = []
        for kind in self._found:
            found += next((kind[up] for up in upwards(directory) if kind.get(up)), [])
        inside = f"{directory}/" if directory else ""
        return found or [
            sign
            for kind in self._found
            for place, signs in kind.items()
            if place.startswith(inside)
            for sign in signs
        ]
