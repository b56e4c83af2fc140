"""Locate the files that ship with the package: templates, defaults, host checks, documentation.

In a checkout they are at the top of the repository. The build copies them into the wheel, under
`infisical_iac/bundle/`, with the same paths (`pyproject.toml`, `tool.hatch.build.targets.wheel`).
So an editable install and an installed wheel run the same code.
"""

import runpy
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path
from types import MappingProxyType
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "bundle"

# The directory that holds the files below, with the paths that they have in the repository.
ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent

# Whether the tool was installed from a wheel, and not from a checkout.
IS_INSTALLED = _IN_WHEEL == ROOT

SCRIPTS = _PACKAGE / "scripts"
TEMPLATES = ROOT / "templates"
DEFAULTS = ROOT / "group_data" / "all.py"
HOST_CHECKS = ROOT / "tests" / "host"
LOADER_CASES = ROOT / "loaders" / "vectors.json"
CHANGELOG = ROOT / "CHANGELOG.md"
DOCS = ROOT / "docs"

# The name of the tool's package, and of its command.
NAME = "infisical-iac"


@cache
def default_settings() -> MappingProxyType[str, Any]:
    """Return each setting with its default, those of pyinfra's SSH connector included."""
    found = runpy.run_path(str(DEFAULTS))
    return MappingProxyType({key: found[key] for key in found if not key.startswith("_")})


def version() -> str:
    """Return the version of the installed tool."""
    return version_of(NAME)
