"""`python loaders/generate.py`: write the families of withheld names into loaders and docs.

Their only source is `withheld` in vectors.json, which `infisical-iac` reads itself. Services have
no such file, so both loaders have the families as code.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

LOADERS = Path(__file__).resolve().parent
_FLAGS = (("any_case", "anyCase"), ("closed", "closed"))
_KINDS = ("names", "prefixes", "suffixes", "except")

_PYTHON = '''\
"""Families of names that a store of secrets must not set; made by `loaders/generate.py`."""

from __future__ import annotations

import os
from functools import cache
from typing import Final, NamedTuple


class Family(NamedTuple):
    """Names of one purpose, exactly or by how they begin or end, each list in one text.

    Attributes:
        exceptions: names with such a beginning or end that belong to services only.
        any_case: whether programs read the names in any case.
        closed: whether names that end like a credential's are withheld too.
    """

    family: str
    names: str = ""
    prefixes: str = ""
    suffixes: str = ""
    exceptions: str = ""
    any_case: bool = False
    closed: bool = False


class _Lists(NamedTuple):
    names: frozenset[str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    exceptions: frozenset[str]
    fold: bool
    closed: bool

    def has(self, name: str) -> bool:
        shown = name.upper() if self.fold else name
        if shown in self.names:
            return True
        if not (shown.startswith(self.prefixes) or shown.endswith(self.suffixes)):
            return False
        is_own = shown in self.exceptions or shown.endswith(CREDENTIALS)
        return self.closed or not is_own


def is_withheld(name: str, *, windows: bool = os.name == "nt") -> bool:
    """Return whether a name changes how programs run, or where they connect to.

    Args:
        windows: whether names are the same in any case.
    """
    return any(each.has(name) for each in _lists(windows=windows))


@cache
def _lists(*, windows: bool) -> tuple[_Lists, ...]:
    return tuple(_split(each, fold=windows or each.any_case) for each in FAMILIES)


def _split(family: Family, *, fold: bool) -> _Lists:
    def words(text: str) -> list[str]:
        return (text.upper() if fold else text).split()

    return _Lists(
        frozenset(words(family.names)),
        tuple(words(family.prefixes)),
        tuple(words(family.suffixes)),
        frozenset(words(family.exceptions)),
        fold,
        family.closed,
    )


# The ends of names that belong to services, although a family has their beginning or end.
CREDENTIALS: Final = {credentials}

FAMILIES: Final = (
{families}
)
'''

_NODE = """\
// @ts-check
/** Families of names that a store of secrets must not set; made by `loaders/generate.py`. */

/** @param {string} text */
const words = (text) => text.split(/\\s+/).filter(Boolean);

/** The ends of names that belong to services, although a family has their beginning or end. */
export const CREDENTIALS = words(
  "{credentials}",
);

/**
 * Names of one purpose, exactly or by how they begin or end, except for exceptions. `anyCase`:
 * lower case is read too. `closed`: names that end like a credential's are withheld too.
 */
export const FAMILIES = [
{families}
];
"""

_PAGE = """\
# Names that the loaders withhold

A person who may write one secret must not gain control of the process that reads it. So names that
change how programs run, or where they connect to, are not passed from Infisical to a service. Both
loaders and `infisical-iac migrate` use this list. `generate.py` makes it from `vectors.json`.

- A name that belongs to a family by its beginning or end (`GIT_…`, `…_PROXY`) gets through if it
  ends like the name of a credential: {credentials}.
  So `GIT_TOKEN`, `DOCKER_PASSWORD` and `YARN_NPM_AUTH_TOKEN` pass.
- Families marked “all” have no such exception.
- On Windows, upper and lower case make no difference.

To let a name through, put it into `allow`; to let only allowed names through, use strict mode:
[loaders.md](../docs/develop/loaders.md#which-names-get-through).

| family | names that … | |
|---|---|---|
{families}
"""


def python(withheld: dict[str, Any]) -> str:
    """Return the module of the families for Python."""
    families = "\n".join(map(_python_family, withheld["families"]))
    credentials = "".join(f'    "{each}",\n' for each in withheld["credentials"].split())
    return _PYTHON.replace("{credentials}", f"(\n{credentials})").replace("{families}", families)


def node(withheld: dict[str, Any]) -> str:
    """Return the module of the families for Node."""
    families = "\n".join(map(_node_family, withheld["families"]))
    return _NODE.replace("{credentials}", withheld["credentials"]).replace("{families}", families)


def page(withheld: dict[str, Any]) -> str:
    """Return the page that documents the families."""
    rows = "\n".join(map(_row, withheld["families"]))
    credentials = ", ".join(f"`…{each}`" for each in withheld["credentials"].split())
    return _PAGE.replace("{credentials}", credentials).replace("{families}", rows)


def _python_family(family: dict[str, Any]) -> str:
    lines = ["    Family(", f"        {json.dumps(family['family'])},"]
    for kind in _KINDS:
        if family[kind]:
            name = "exceptions" if kind == "except" else kind
            words = _block(family[kind], '"', 3 * '"', 8)
            lines.append(f"        {name}={words},")
    lines += [f"        {name}=True," for name, of in _FLAGS if family[of]]
    return "\n".join([*lines, "    ),"])


def _node_family(family: dict[str, Any]) -> str:
    lines = ["  {", f"    family: {json.dumps(family['family'])},"]
    for kind in _KINDS:
        words = _block(family[kind], '"', "`", 4)
        lines.append(f"    {kind}: words({words}),")
    lines += [f"    {of}: {json.dumps(family[of])}," for _, of in _FLAGS]
    return "\n".join([*lines, "  },"])


def _block(words: str, one: str, many: str, indent: int) -> str:
    """Return words as one string, over several lines if they need them."""
    if len(words) < 70:
        return f"{one}{words}{one}"
    space = " " * (indent + (4 if indent == 8 else 2))
    lines = textwrap.fill(words, 96, initial_indent=space, subsequent_indent=space)
    return f"{many}\n{lines}\n{' ' * indent}{many}"


def _row(family: dict[str, Any]) -> str:
    shown = [
        *(f"`{each}`" for each in family["names"].split()),
        *(f"`{each}…`" for each in family["prefixes"].split()),
        *(f"`…{each}`" for each in family["suffixes"].split()),
    ]
    text = ", ".join(shown)
    if family["except"]:
        text += "; not " + ", ".join(f"`{each}`" for each in family["except"].split())
    marks = [mark for mark, of in (("in any case", "anyCase"), ("all", "closed")) if family[of]]
    name = f"{family['family']} ({', '.join(marks)})" if marks else family["family"]
    return f"| {name} | {family['reason']} | {text} |"


def files() -> dict[Path, str]:
    """Return the generated texts, by file."""
    withheld = json.loads((LOADERS / "vectors.json").read_text("utf-8"))["withheld"]
    return {
        LOADERS / "python" / "infisical_config" / "families.py": python(withheld),
        LOADERS / "node" / "src" / "families.js": node(withheld),
        LOADERS / "withheld.md": page(withheld),
    }


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text, "utf-8")
