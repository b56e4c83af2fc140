"""Detect the loader that reads a file today, and with it the file's grammar."""

import ast
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any
from warnings import catch_warnings

from infisical_iac.dotenv import GRAMMARS, all_grammars, grammar
from infisical_iac.dotenv.grammar import LANGUAGES, NODE, PYTHON, Language, Package
from infisical_iac.migrate import evidence
from infisical_iac.migrate.evidence import (
    Evidence,
    ReleaseChoice,
    ReleaseDetection,
    ReleaseSign,
    Text,
    choose_release,
    upwards,
)
from infisical_iac.migrate.find import is_env
from infisical_iac.syntax import javascript

_NODE_LOADERS = {call: each.name for each in all_grammars() for call in each.node_calls}
_PYTHON_LOADERS = frozenset(name for each in all_grammars() for name in each.python_calls)


@dataclass(frozen=True)
class CodeEvidence:
    """The signs of loaders in code, by the directory of the package around it.

    Attributes:
        loaders: calls of functions that belong to the language itself.
        interpolation: by file, whether its calls of python-dotenv turn interpolation off: True,
            False, or both.
    """

    loaders: dict[str, list[Evidence]] = field(default_factory=dict)
    interpolation: dict[str, dict[str, Set[bool]]] = field(default_factory=dict)

    def correct(self, place: str, evidences: Sequence[Evidence]) -> list[Evidence]:
        """Return the evidence of a package, corrected by the calls that turn interpolation off."""
        off = self.interpolation.get(place, {})
        path = next((path for path, calls in off.items() if True in calls), None)
        if path is None:
            return list(evidences)
        is_on_too = any(False in calls for calls in off.values())
        raw, kept = [], []
        for each in evidences:
            other = grammar(each.grammar).uninterpolated
            if other:
                why = f"{each.why}, and {path} turns its interpolation off"
                raw.append(replace(each, grammar=other, why=why))
            if is_on_too or not other:
                kept.append(each)
        return [*raw, *kept]


def evidence_in_code(paths: Iterable[str], places: Set[str], text: Text) -> CodeEvidence:
    """Return the evidence in the code below each of `places`; other code belongs to the root."""
    found_in_code = CodeEvidence()
    for path in paths:
        place = next((each for each in upwards(posixpath.dirname(path)) if each in places), "")
        if path.endswith(javascript.ENDINGS) and (called := _node_loader(path, text(path))):
            evidence = Evidence(_NODE_LOADERS[called], f"{path} calls {'.'.join(called)}")
            found_in_code.loaders.setdefault(place, []).append(evidence)
        if path.endswith(".py") and (off := _interpolation_off(text(path))):
            found_in_code.interpolation.setdefault(place, {})[path] = off
    return found_in_code


def _node_loader(path: str, text: str) -> tuple[str, str] | None:
    """Return the function of Node itself by which a file reads `.env` files; None for none."""
    if not any(name in text for _, name in _NODE_LOADERS):
        return None
    names = javascript.Bindings()
    called = []
    for node, _ in javascript.parse(path, text).nodes():
        for _ in names.take(node):
            pass
        if node.type == "call_expression":
            called.append(javascript.path_of(node.child_by_field_name("function")))
    meant = (each for path in called for each in names.meanings(path))
    return next(((each[0], each[1]) for each in meant if each in _NODE_LOADERS), None)


def _interpolation_off(text: str) -> Set[bool]:
    """Return a set: with True if a call turns interpolation off, with False if one does not."""
    if not any(name in text for name in _PYTHON_LOADERS):
        return frozenset()
    try:
        nodes = python_nodes(text)
    except SyntaxError:
        # This Python can't parse it, so both are possible.
        return frozenset({False, "interpolate" in text})
    names = {*_PYTHON_LOADERS}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {each.asname or "" for each in node.names if each.name in _PYTHON_LOADERS}
    off: set[bool] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and last_word(node.func) in names:
            given = (each.value for each in node.keywords if each.arg == "interpolate")
            off.add(any(isinstance(e, ast.Constant) and e.value is False for e in given))
    return off


def python_nodes(text: str) -> list[ast.AST]:
    """Return all nodes of a file. Raises SyntaxError if this Python can't parse it."""
    try:
        with catch_warnings(action="ignore"):
            return [*ast.walk(ast.parse(text))]
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError from error


def last_word(node: ast.expr) -> str:
    """Return the last word of an expression: `Field` of `pydantic.Field`; "" if it ends in none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


_Readers = list[tuple[str, Package]]
"""Packages with the names of their grammars; the first one that is installed reads the files."""


def _readers(language: Language) -> _Readers:
    found = [
        (each.name, package)
        for each in all_grammars()
        for package in each.packages.get(language, ())
    ]
    return sorted(found, key=lambda each: each[1].rank)


_READERS = {language: _readers(language) for language in LANGUAGES}

# The forms in the lock files of npm, yarn and pnpm, and of Python.
_LOCKED = r"""(?m)node_modules/NAME"|^[ "'/]*NAME@|"NAME"(?=[:\n])"""


def evidence_by_directory(paths: Iterable[str], text: Text) -> dict[str, list[Evidence]]:
    """Return the evidence of all manifests and lock files, by their directory.

    A lock file counts if the manifests next to it name no loader: another package depends on it
    then. Packages installed only as dependencies of infisical-config do not count. Evidence in code
    goes to the directory of the nearest manifest.
    """
    paths = list(paths)
    manifests = {
        language: {path: read(path, text(path)) for path in paths if language.is_manifest(path)}
        for language, read in _MANIFESTS.items()
    }
    places = {posixpath.dirname(path) for each in manifests.values() for path in each}
    code_evidence = evidence_in_code(paths, places, text)
    by_directory: dict[str, list[Evidence]] = {}
    for language, evidence_by_path in manifests.items():
        found = _by_place(evidence_by_path)
        locks = (path for path in paths if language.is_lock(path))
        locked = {path: _evidence_in_lock(path, text(path), _READERS[language]) for path in locks}
        for place, weak in _by_place(locked).items():
            found.setdefault(place, weak)
        for place, each in found.items():
            by_directory.setdefault(place, []).extend(code_evidence.correct(place, each))
    for place, each in code_evidence.loaders.items():
        by_directory.setdefault(place, []).extend(each)
    return by_directory


def _by_place(by_path: dict[str, list[Evidence]]) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = {}
    for path, each in by_path.items():
        if each:
            found.setdefault(posixpath.dirname(path), []).extend(each)
    return found


def _node(path: str, text: str) -> list[Evidence]:
    desired = _dependencies(text)
    brought = {name for _, each in _READERS[NODE] if each.name in desired for name in each.brings}
    return [
        _sign(path, grammar, _adjust_to_release(each, desired[each.name]))
        for grammar, each in _READERS[NODE]
        if each.name in desired and each.name not in brought
    ]


def _adjust_to_release(package: Package, requirement: str) -> Package:
    """Return a package with the rules of the required release, or of today's if that is unknown."""
    release = re.search(r"\d{1,9}", requirement)
    if package.earlier and release and int(release[0]) <= package.earlier[0]:
        return replace(package, cascade=package.earlier[1], remark="")
    return package


def _dependencies(text: str) -> dict[str, str]:
    """Return the required packages with their releases, by name."""
    try:
        data: Any = json.loads(text)
        kinds = ("dependencies", "devDependencies", "optionalDependencies")
        found = [each for kind in kinds for each in (data.get(kind) or {}).items()]
        return {name: str(desired) for name, desired in found}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}  # npm can't read it either


def _python(path: str, text: str) -> list[Evidence]:
    named = without_comments(text)
    found = []
    for reader, package in _READERS[PYTHON]:
        name = re.escape(package.name).replace(r"\-", "[-_.]")
        if re.search(rf"(?i)(?<![\w./-]){name}(?![\w/-]|\.\w)", named):
            found.append(_sign(path, reader, package))
    return found


def without_comments(text: str) -> str:
    """Return a manifest of Python without its comments."""
    return re.sub(r"(?m)(^|\s)#.*", "", text)


# The reader of each language's manifests.
_MANIFESTS: Mapping[Language, Callable[[str, str], list[Evidence]]] = {NODE: _node, PYTHON: _python}


def _evidence_in_lock(path: str, text: str, readers: _Readers) -> list[Evidence]:
    found = []
    for reader, package in readers:
        is_locked = re.search(_LOCKED.replace("NAME", re.escape(package.name)), text)
        if is_locked and not is_brought_by_us_only(package.name, text):
            why = f"{path} has {package.name}, which another package brings"
            found.append(Evidence(reader, why, package.exact, loader=package.cascade))
    return found


def _sign(path: str, grammar: str, package: Package) -> Evidence:
    remark = package.remark or ("" if package.exact else "which reads by rules of its own")
    why = f"{path} depends on {package.name}{', ' if remark else ''}{remark}"
    return Evidence(grammar, why, package.exact, loader=package.cascade)


UNKNOWN = Evidence(
    GRAMMARS[0], "nothing says what reads it, so it is read as npm dotenv reads it", False
)


@dataclass(frozen=True)
class Choice:
    """The evidence that decides on a file's grammar.

    Attributes:
        others: other plausible grammars; if one reads another value, a person must decide.
        readers: the names of the containers in compose files that read the file.
        release: the choice of the program's or its parser's release; None if all releases have the
            same grammar.
    """

    evidence: Evidence
    others: tuple[str, ...]
    readers: tuple[str, ...]
    release: ReleaseChoice | None = None


class LoaderDetection:
    """The evidence in a tree for the loaders of its `.env` files."""

    def __init__(self, paths: Sequence[str], text: Text) -> None:
        """Inspect the files in `paths`, relative to the root, each read by `text`."""
        env_files = {path for path in paths if is_env(posixpath.basename(path))}
        self._packages = evidence_by_directory(paths, text)
        self._releases = ReleaseDetection(paths, text)
        self._named = _group_by_path(
            [
                *evidence.in_compose_files(paths, text),
                *evidence.in_scripts(paths, text, env_files),
            ]
        )
        self._next_to_compose = _group_by_path(evidence.next_to_compose_files(paths, text))

    def choose(self, path: str) -> Choice:
        """Return the grammar of one file.

        Evidence is taken in this order, and the first one decides:

        1. a file that names this very file
        2. the packages of the nearest directory above it that has a loader
        3. a compose file next to it
        4. without any of these, the packages below it

        The grammars of the other evidence are plausible too; without certain evidence, all grammars
        are. If the releases of a program differ, the grammar is that of the release that the
        service runs, and those of other releases that it may run are plausible too.
        """
        inside = path.removesuffix(posixpath.basename(path))
        below = (found for place, found in self._packages.items() if place.startswith(inside))
        found = [*self._found_for(path)] or [*chain.from_iterable(below)]
        evidence = found[0] if found else UNKNOWN
        signs = self._releases.signs(path)
        evidence, release = _of_release(evidence, signs)
        plausible = [each.grammar for each in found] if evidence.exact else GRAMMARS
        grammars = [each for name in plausible for each in _grammars_of_release(name, signs)]
        others = tuple(dict.fromkeys(each for each in grammars if each != evidence.grammar))
        readers = tuple(each.reader for each in found if each.reader)
        return Choice(evidence, others, readers, release)

    def _found_for(self, path: str) -> Iterator[Evidence]:
        directory, name = posixpath.split(path)
        for each in all_grammars():
            for beginning, why in each.file_names.items():
                if name.startswith(beginning):
                    yield Evidence(each.name, why)
        yield from self._named.get(path, ())
        above = (self._packages[up] for up in upwards(directory) if up in self._packages)
        yield from next(above, ())
        yield from self._next_to_compose.get(path, ())


def _of_release(
    evidence: Evidence, signs: Sequence[ReleaseSign]
) -> tuple[Evidence, ReleaseChoice | None]:
    """Return the evidence with the grammar, or the parser of its loader, of the release that runs.

    The releases of Vite's parser are those of Node too.
    """
    if release := choose_release(evidence.grammar, signs):
        return replace(evidence, grammar=release.grammar), release
    cascade = grammar(evidence.grammar).cascades.get(evidence.loader)
    release = choose_release(cascade.parser, signs) if cascade else None
    if cascade and release:
        of_release = replace(cascade, parser=release.grammar)
        named = grammar(evidence.grammar).cascades.items()
        loader = next(name for name, each in named if each == of_release)
        return replace(evidence, loader=loader), release
    return evidence, None


def _grammars_of_release(name: str, signs: Sequence[ReleaseSign]) -> tuple[str, ...]:
    release = choose_release(name, signs)
    return (release.grammar, *release.others) if release else (name,)


def _group_by_path(found: Iterable[tuple[str, Evidence]]) -> dict[str, list[Evidence]]:
    grouped: dict[str, list[Evidence]] = {}
    for path, item in found:
        grouped.setdefault(path, []).append(item)
    return grouped


OURS = frozenset({"infisical-config", "@infisical/sdk"})
"""This project's loader and Infisical's client; their dependencies read no `.env` file."""

_LOCKED_ENTRY = re.compile(r"""["'/]*((?:@[\w.-]+/)?[\w.-]+)@.*:""")
_LOCKED_DEPENDENCY = re.compile(r"""["']?((?:@[\w.-]+/)?[\w.-]+)["']?(?::|\s|$)""")


def is_brought_by_us_only(package: str, text: str) -> bool:
    """Return whether all packages that need this one are ours, or are needed by ours only.

    Returns False if the lock file does not name the packages that need it.
    """
    needing: dict[str, set[str]] = {}
    for by, name in _locked_dependencies(text):
        needing.setdefault(name, set()).add(by)
    waiting, known = [package], {package}
    while waiting:
        found = needing.get(waiting.pop(), set())
        if not found:
            return False  # it is needed by the project itself, or by an unknown package
        new = found - OURS - known
        known |= new
        waiting += new
    return True


def _locked_dependencies(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names of each package and of each package that it needs."""
    try:
        packages = json.loads(text)["packages"].items()
        for path, package in packages:
            for kind in ("dependencies", "optionalDependencies"):
                for name in package.get(kind) or ():
                    yield path.rpartition("node_modules/")[2], name
    except (ValueError, RecursionError):
        yield from _in_lines_of_lock(text)
    except (AttributeError, KeyError, TypeError):
        return  # a form of npm that does not say it


def _in_lines_of_lock(text: str) -> Iterator[tuple[str, str]]:
    by = ""
    for line in text.splitlines():
        body = line.strip()
        indent = len(line) - len(line.lstrip())
        if indent <= 2 and (entry := _LOCKED_ENTRY.fullmatch(body)):
            by = entry[1]
        elif indent < 2:
            by = ""
        elif indent >= 4 and (needed := _LOCKED_DEPENDENCY.match(body)):
            yield by, needed[1]
