"""By which names a file of JavaScript has the loader's secrets, and helpers that read for it."""

import posixpath
import re
from bisect import bisect
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

PACKAGE = "infisical-config"
NAME = r"[A-Za-z_$][\w$]*"

_IMPORT = re.compile(
    r"\bimport\s*(?:type\s+)?\{(?P<names>[^{}]*)\}\s*from\s*[\"'](?P<module>[^\"'\s]+)[\"']"
    r"|\{(?P<required>[^{}]*)\}\s*=\s*(?:await\s+import|require)\(\s*"
    r"[\"'](?P<from>[^\"'\s]+)[\"']"
)
# `const env = process.env`, and `import { env } from "node:process"`.
_ALIAS = re.compile(
    rf"\b(?:const|let|var)\s+({NAME})\s*(?::[^=\n]+)?=\s*(?:process|import\.meta)\.env\s*(?=[;,\n]|$)"
)
_PROCESS = ("process", "node:process")
_LOADED = re.compile(rf"\b(?:const|let|var)\s+({NAME})\s*(?::[^=\n]+)?=\s*await\s+load\(")
_FUNCTION = re.compile(
    rf"\bfunction\s+(?P<name>{NAME})\s*\(\s*(?P<first>{NAME})\b"
    rf"|\b(?:const|let|var)\s+(?P<arrow>{NAME})\s*=\s*(?:async\s+)?\(?\s*(?P<only>{NAME})\b"
    rf"[^=\n;]{{0,200}}=>"
)
_NESTED = 5  # so many functions may begin in one before it reads


class Imported(NamedTuple):
    """A name that a file has from a module: as the module calls it, and as the file does."""

    module: str
    name: str
    local: str


class Function(NamedTuple):
    """Where a function begins, and its first parameter."""

    start: int
    name: str
    parameter: str


def imports(code: str) -> Iterator[Imported]:
    """What a file takes by name from other modules."""
    for found in _IMPORT.finditer(code):
        module = found["module"] or found["from"]
        for each in (found["names"] or found["required"] or "").split(","):
            words = re.findall(NAME, each)
            words = [word for word in words if word not in ("as", "type")]
            if words:
                yield Imported(module, words[0], words[-1])


def uses_loader(code: str) -> bool:
    """Whether a file takes something from the loader."""
    return bool(re.search(rf"[\"']{PACKAGE}(/[\w./-]+)?[\"']", code))


def secrets(path: str, code: str, loading: Collection[str]) -> set[str]:
    """The names by which a file has secrets, or the environment.

    Args:
        loading: the paths of files that use the loader, and may export what it gives.
    """
    names = {*_LOADED.findall(code), *_ALIAS.findall(code)}
    if uses_loader(code):
        names.add("config")
    for each in imports(code):
        is_environment = each.module in _PROCESS and each.name == "env"
        if is_environment or _resolved(path, each.module, loading):
            names.add(each.local)
    return names


def _resolved(path: str, module: str, loading: Collection[str]) -> bool:
    if not module.startswith("."):
        return False
    plain = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
    stem = re.sub(r"\.[mc]?[jt]s$", "", plain)
    endings = (".js", ".ts", ".mjs", ".mts", ".cjs", ".cts", "/index.js", "/index.ts")
    return plain in loading or any(f"{stem}{end}" in loading for end in endings)


def functions(code: str) -> Iterator[Function]:
    """The functions of a file that have a name, in the order in which they begin."""
    for found in _FUNCTION.finditer(code):
        name, parameter = found["name"] or found["arrow"], found["first"] or found["only"]
        yield Function(found.start(), name, parameter)


def around(functions: Sequence[Function], parameter: str, position: int) -> str:
    """The name of the function that a position is in, if this is its first parameter, or ""."""
    before = bisect(functions, position, key=lambda each: each.start)
    inside = functions[max(0, before - _NESTED) : before]
    return next((each.name for each in reversed(inside) if each.parameter == parameter), "")
