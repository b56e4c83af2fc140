"""Loaders that come with a package which a service depends on."""

import json
import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from infisical_iac.dotenv import all_grammars
from infisical_iac.dotenv.grammar import Package
from infisical_iac.migrate import code
from infisical_iac.migrate.evidence import Evidence, Text


class _Reader(NamedTuple):
    """A package and the name of the grammar that it reads by."""

    grammar: str
    package: Package


# In each language the first that is there is the one that reads.
_NODE = sorted(
    (_Reader(each.name, package) for each in all_grammars() for package in each.node_packages),
    key=lambda each: each.package.rank,
)
_PYTHON = sorted(
    (_Reader(each.name, package) for each in all_grammars() for package in each.python_packages),
    key=lambda each: each.package.rank,
)

_NODE_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")
_PYTHON_LOCKS = ("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock")
# As npm, yarn and pnpm write it, and as all of Python's lock files do.
_LOCKED = r"""(?m)node_modules/NAME"|^[ "'/]*NAME@|"NAME"(?=[:\n])"""
_PYTHON_MANIFEST = re.compile(
    r"requirements[^/]*\.(txt|in)|pyproject\.toml|Pipfile|setup\.(cfg|py)"
)


def evidence_by_directory(paths: Iterable[str], text: Text) -> dict[str, list[Evidence]]:
    """Return the evidence of all manifests and lock files, by their directory.

    A lock file counts where the manifests beside it name no loader: then another package brings
    it. What the code says goes to the directory of the nearest manifest.
    """
    paths = list(paths)
    of_node = {path: _node(path, text(path)) for path in paths if _is(path, ("package.json",))}
    of_python = {path: _python(path, text(path)) for path in paths if is_python(path)}
    places = {posixpath.dirname(path) for path in (*of_node, *of_python)}
    code_evidence = code.evidence_in_code(paths, places, text)
    by_directory: dict[str, list[Evidence]] = {}
    for manifests, locks, readers in (
        (of_node, _NODE_LOCKS, _NODE),
        (of_python, _PYTHON_LOCKS, _PYTHON),
    ):
        found = _by_place(manifests)
        locked = {path: _locked(path, text(path), readers) for path in paths if _is(path, locks)}
        for place, weak in _by_place(locked).items():
            found.setdefault(place, weak)
        for place, each in found.items():
            by_directory.setdefault(place, []).extend(code_evidence.corrected(place, each))
    for place, each in code_evidence.loaders.items():
        by_directory.setdefault(place, []).extend(each)
    return by_directory


def _is(path: str, names: tuple[str, ...]) -> bool:
    return posixpath.basename(path) in names


def is_python(path: str) -> bool:
    """Return whether a file names the packages that a program in Python depends on."""
    return bool(_PYTHON_MANIFEST.fullmatch(posixpath.basename(path)))


def _by_place(by_path: dict[str, list[Evidence]]) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = {}
    for path, each in by_path.items():
        if each:
            found.setdefault(posixpath.dirname(path), []).extend(each)
    return found


def _node(path: str, text: str) -> list[Evidence]:
    wanted = _dependencies(text)
    brought = {
        name for each in _NODE if each.package.name in wanted for name in each.package.brings
    }
    for name in brought:
        wanted.pop(name, None)
    return [
        _sign(path, each.grammar, _released(each.package, wanted[each.package.name]))
        for each in _NODE
        if each.package.name in wanted
    ]


def _released(package: Package, wanted: str) -> Package:
    """Return a package as the release reads that is wanted, or today's if that isn't told."""
    release = re.search(r"\d{1,9}", wanted)
    if package.earlier and release and int(release[0]) <= package.earlier[0]:
        return replace(package, cascade=package.earlier[1], remark="")
    return package


def _dependencies(text: str) -> dict[str, str]:
    """Return the names of packages with the releases that are wanted."""
    try:
        data: Any = json.loads(text)
        kinds = ("dependencies", "devDependencies", "optionalDependencies")
        found = [each for kind in kinds for each in (data.get(kind) or {}).items()]
        return {name: str(wanted) for name, wanted in found}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}  # what npm can't read either names no loader


def _python(path: str, text: str) -> list[Evidence]:
    named = without_comments(text)
    return [_sign(path, grammar, package) for grammar, package in _PYTHON if _names(package, named)]


def without_comments(text: str) -> str:
    """Return a manifest of Python without what it says to people."""
    return re.sub(r"(?m)(^|\s)#.*", "", text)


def _names(package: Package, text: str) -> bool:
    name = re.escape(package.name).replace(r"\-", "[-_.]")
    return bool(re.search(rf"(?i)(?<![\w./-]){name}(?![\w/-]|\.\w)", text))


def _locked(path: str, text: str, readers: Iterable[_Reader]) -> list[Evidence]:
    return [
        Evidence(
            grammar,
            f"{path} has {package.name}, which another package brings",
            package.exact,
            loader=package.cascade,
        )
        for grammar, package in readers
        if re.search(_LOCKED.replace("NAME", re.escape(package.name)), text)
    ]


def _sign(path: str, grammar: str, package: Package) -> Evidence:
    remark = package.remark or ("" if package.exact else "which reads by rules of its own")
    why = f"{path} depends on {package.name}{', ' if remark else ''}{remark}"
    return Evidence(grammar, why, package.exact, loader=package.cascade)
