"""Loaders that come with a package which a service depends on."""

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from infisical_iac.migrate import code
from infisical_iac.migrate.signs import Sign, Text


class _Package(NamedTuple):
    name: str
    grammar: str
    exact: bool = True
    loader: str = ""


# What reads `.env` files through Vite's own loadEnv, each with its last release, if that tells,
# before Vite 8: since then Vite reads with Node's own parser, and npm dotenv before.
_ON_VITE = {"vite": 7, "astro": 6, "@sveltejs/kit": None}
# In each language the first that is there is the one that reads; frameworks before libraries.
_NODE = (
    _Package("next", "next", loader="next"),
    _Package("dotenv-expand", "dotenv-expand"),
    _Package("dotenv-cli", "dotenv-expand"),
    _Package("nuxt", "dotenv-expand", exact=False),  # has Vite, but reads .env alone by itself
    *(_Package(name, "dotenv-expand", loader="vite-8") for name in _ON_VITE),
    # It has releases of dotenv (10) and dotenv-expand (5) that read otherwise than today's.
    _Package("react-scripts", "dotenv-expand", exact=False, loader="react-scripts"),
    _Package("@nestjs/config", "dotenv"),
    _Package("dotenv-flow", "dotenv", loader="dotenv-flow"),
    _Package("dotenv-safe", "dotenv"),
    _Package("dotenv", "dotenv"),
    _Package("env-cmd", "dotenv", exact=False),
    _Package("@dotenvx/dotenvx", "dotenv-expand", exact=False),
)
_PYTHON = (
    _Package("python-dotenv", "python-dotenv"),
    _Package("pydantic-settings", "python-dotenv"),
    _Package("environs", "python-dotenv"),
    _Package("dynaconf", "python-dotenv"),
    _Package("django-environ", "python-dotenv-raw", exact=False),
    _Package("python-decouple", "python-dotenv-raw", exact=False),
)
# These call dotenv themselves: that it is there as well says nothing more.
_WITH_DOTENV = frozenset({"dotenv-expand", "@nestjs/config", "dotenv-flow", "dotenv-safe"})

_NODE_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")
_PYTHON_LOCKS = ("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock")
# As npm, yarn and pnpm write it, and as all of Python's lock files do.
_LOCKED = r"""(?m)node_modules/NAME"|^[ "'/]*NAME@|"NAME"(?=[:\n])"""
_PYTHON_MANIFEST = re.compile(
    r"requirements[^/]*\.(txt|in)|pyproject\.toml|Pipfile|setup\.(cfg|py)"
)


def by_directory(paths: Iterable[str], text: Text) -> dict[str, list[Sign]]:
    """The signs of all manifests and lock files, by their directory.

    A lock file counts where the manifests beside it name no loader: then another package brings
    it. What the code says goes to the directory of the nearest manifest.
    """
    paths = list(paths)
    of_node = {path: _node(path, text(path)) for path in paths if _is(path, ("package.json",))}
    of_python = {path: _python(path, text(path)) for path in paths if is_python(path)}
    places = {posixpath.dirname(path) for path in (*of_node, *of_python)}
    said = code.by_directory(paths, places, text)
    signs: dict[str, list[Sign]] = {}
    for manifests, locks, packages in (
        (of_node, _NODE_LOCKS, _NODE),
        (of_python, _PYTHON_LOCKS, _PYTHON),
    ):
        found = _by_place(manifests)
        locked = {path: _locked(path, text(path), packages) for path in paths if _is(path, locks)}
        for place, weak in _by_place(locked).items():
            found.setdefault(place, weak)
        for place, each in found.items():
            signs.setdefault(place, []).extend(said.corrected(place, each))
    for place, each in said.loaders.items():
        signs.setdefault(place, []).extend(each)
    return signs


def _is(path: str, names: tuple[str, ...]) -> bool:
    return posixpath.basename(path) in names


def is_python(path: str) -> bool:
    """Return whether a file names the packages that a program in Python depends on."""
    return bool(_PYTHON_MANIFEST.fullmatch(posixpath.basename(path)))


def _by_place(signs: dict[str, list[Sign]]) -> dict[str, list[Sign]]:
    found: dict[str, list[Sign]] = {}
    for path, each in signs.items():
        if each:
            found.setdefault(posixpath.dirname(path), []).extend(each)
    return found


def _node(path: str, text: str) -> list[Sign]:
    wanted = _dependencies(text)
    if wanted.keys() & _WITH_DOTENV:
        wanted.pop("dotenv", None)
    return [_sign(path, _released(each, wanted)) for each in _NODE if each.name in wanted]


def _released(package: _Package, wanted: Mapping[str, str]) -> _Package:
    """A package as the release reads that is wanted, or today's if that isn't told."""
    if package.loader != "vite-8":
        return package
    last = _ON_VITE[package.name]
    release = re.search(r"\d{1,9}", wanted[package.name])
    is_old = last is not None and release is not None and int(release[0]) <= last
    return package._replace(loader="vite") if is_old else package


def _dependencies(text: str) -> dict[str, str]:
    """The names of packages with the releases that are wanted."""
    try:
        data: Any = json.loads(text)
        kinds = ("dependencies", "devDependencies", "optionalDependencies")
        found = [each for kind in kinds for each in (data.get(kind) or {}).items()]
        return {name: str(wanted) for name, wanted in found}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}  # what npm can't read either names no loader


def _python(path: str, text: str) -> list[Sign]:
    named = without_comments(text)
    return [_sign(path, each) for each in _PYTHON if _names(each, named)]


def without_comments(text: str) -> str:
    """A manifest of Python without what it says to people."""
    return re.sub(r"(?m)(^|\s)#.*", "", text)


def _names(package: _Package, text: str) -> bool:
    name = re.escape(package.name).replace(r"\-", "[-_.]")
    return bool(re.search(rf"(?i)(?<![\w./-]){name}(?![\w/-]|\.\w)", text))


def _locked(path: str, text: str, packages: Iterable[_Package]) -> list[Sign]:
    return [
        Sign(
            each.grammar,
            f"{path} has {each.name}, which another package brings",
            each.exact,
            loader=each.loader,
        )
        for each in packages
        if re.search(_LOCKED.replace("NAME", re.escape(each.name)), text)
    ]


def _sign(path: str, package: _Package) -> Sign:
    own = "" if package.exact else ", which reads by rules of its own"
    if package.loader == "vite-8":
        own = ", which has Node's own parser read before it replaces references"
    why = f"{path} depends on {package.name}{own}"
    return Sign(package.grammar, why, package.exact, loader=package.loader)
