"""Find out which packages bring another one, from the lock files of npm, yarn and pnpm."""

import json
import re
from collections.abc import Iterator

OURS = frozenset({"infisical-config", "@infisical/sdk"})
"""The loader of this project and Infisical's client; what they bring reads no `.env` file."""

_ENTRY = re.compile(r"""["'/]*((?:@[\w.-]+/)?[\w.-]+)@.*:""")
_DEPENDENCY = re.compile(r"""["']?((?:@[\w.-]+/)?[\w.-]+)["']?(?::|\s|$)""")


def is_brought_by_us_only(package: str, text: str) -> bool:
    """Return whether all packages that need this one are ours, or are needed by ours only.

    A lock file that does not say which packages need it gives False.
    """
    needing: dict[str, set[str]] = {}
    for by, name in _dependencies(text):
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


def _dependencies(text: str) -> Iterator[tuple[str, str]]:
    """Yield each package, by its name, with the name of each one that it needs."""
    try:
        packages = json.loads(text)["packages"].items()
        for path, package in packages:
            for kind in ("dependencies", "optionalDependencies"):
                for name in package.get(kind) or ():
                    yield path.rpartition("node_modules/")[2], name
    except (ValueError, RecursionError):
        yield from _in_lines(text)
    except (AttributeError, KeyError, TypeError):
        return  # a form of npm that does not say it


def _in_lines(text: str) -> Iterator[tuple[str, str]]:
    by = ""
    for line in text.splitlines():
        body = line.strip()
        indent = len(line) - len(line.lstrip())
        if indent <= 2 and (entry := _ENTRY.fullmatch(body)):
            by = entry[1]
        elif indent < 2:
            by = ""
        elif indent >= 4 and (needed := _DEPENDENCY.match(body)):
            yield by, needed[1]
