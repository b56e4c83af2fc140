"""Read lock files as graphs: the packages that one needs to run, with hashes and dependencies."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>\S+)(?: ; (?P<marker>.*?))? \\$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_DEPENDENT = re.compile(r"^    #   (?:via )?(\S+)|^    # via (\S+)")
_MODULES = "node_modules/"


@dataclass(frozen=True)
class Locked:
    """A package of a lock file.

    Attributes:
        key: its place in the lock file.
        hashes: the hashes of its files, by the names of their algorithms in CycloneDX.
        needs: the keys of the packages that it needs.
        license: an expression of SPDX; empty if the lock file has none.
        marker: the systems that it is for; empty for all.
    """

    key: str
    name: str
    version: str
    hashes: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    license: str = ""
    marker: str = ""


def read_requirements(text: str) -> dict[str, Locked]:
    """Return the packages of a lock file that `uv pip compile` wrote, by name."""
    found: dict[str, Locked] = {}
    dependents: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if pin := _PIN.match(line):
            name = pin["name"]
            found[name] = Locked(name, name, pin["version"], marker=pin["marker"] or "")
        elif sha256 := _HASH.search(line):
            hashes = (*found[name].hashes, ("SHA-256", sha256[1]))
            found[name] = replace(found[name], hashes=hashes)
        elif dependent := _DEPENDENT.match(line):
            dependents.setdefault(name, []).append(dependent[1] or dependent[2])
    needs: dict[str, list[str]] = {}
    for needed, others in dependents.items():
        for other in others:
            needs.setdefault(other, []).append(needed)
    return {key: replace(each, needs=tuple(needs.get(key, ()))) for key, each in found.items()}


def read_package_lock(text: str) -> dict[str, Locked]:
    """Return the packages of npm's `package-lock.json` that are needed to run, by their paths."""
    packages: Mapping[str, Any] = json.loads(text)["packages"]
    return {
        path: Locked(
            path,
            path.rpartition(_MODULES)[2],
            each["version"],
            tuple(_decode(each["integrity"])) if "integrity" in each else (),
            tuple(_find_needed(path, each, packages)),
            each.get("license", ""),
        )
        for path, each in packages.items()
        if path and not each.get("dev") and not each.get("devOptional")
    }


def _decode(integrity: str) -> Iterable[tuple[str, str]]:
    for each in integrity.split():
        algorithm, _, encoded = each.partition("-")
        name = f"{algorithm[:3].upper()}-{algorithm[3:]}"
        yield name, base64.b64decode(encoded).hex()


def _find_needed(
    path: str, package: Mapping[str, Any], packages: Mapping[str, Any]
) -> Iterable[str]:
    """Yield the paths that Node finds a package's dependencies at: the innermost of each name."""
    for name in {**package.get("dependencies", {}), **package.get("optionalDependencies", {})}:
        place = path
        while True:
            candidate = f"{place}/{_MODULES}{name}".lstrip("/")
            if candidate in packages:
                yield candidate
                break
            if not place:
                break  # An optional package that npm has left out.
            place = place.rpartition(_MODULES)[0].rstrip("/")


def list_needed(packages: Mapping[str, Locked], roots: Iterable[str]) -> dict[str, Locked]:
    """Return the packages that `roots` need, including themselves, by key and in its order.

    Raises KeyError for a package that is not locked.
    """
    found: dict[str, Locked] = {}
    waiting = [*roots]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = packages[key]
            waiting += packages[key].needs
    return dict(sorted(found.items()))
