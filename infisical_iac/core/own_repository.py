"""Find the files of the user's own repository, which is the working directory.

It has an inventory, a `deploy.py`, and in `group_data/` the settings that differ from the defaults.
The defaults themselves are in the package.
"""

import ast
import os
from collections.abc import Mapping
from pathlib import Path

from infisical_iac.core.bundle import DEFAULTS, default_settings, version
from infisical_iac.core.errors import FileError, SettingsError

DEPLOY = Path("deploy.py")
INVENTORY = "inventory/hetzner.py"
SETTINGS = Path("group_data")
# The file that pins the version of this tool, for a team and its CI jobs.
PYPROJECT = Path("pyproject.toml")
# The accepted host keys of servers. It holds nothing secret, and is committed.
KNOWN_HOSTS = Path(".infisical-iac", "known_hosts")

# Settings of all groups. Repositories of earlier releases have a copy of the defaults there.
_FOR_ALL = SETTINGS / "all.py"


def require_inventory(inventory: str) -> None:
    """Raise SettingsError if there is no such inventory.

    Args:
        inventory: a file, or a host as pyinfra's connectors name it, such as `@local`.
    """
    if "@" not in inventory and not Path(inventory).is_file():
        raise SettingsError(
            f"there is no inventory {inventory} in {Path.cwd()}: change to your repository's "
            "directory, or write one with `infisical-iac init`",
            code="settings.inventory",
        )


def require_deploy() -> None:
    """Raise FileError if there is no `deploy.py` to plan and run."""
    if not DEPLOY.is_file():
        raise FileError(
            f"there is no deploy.py in {Path.cwd()}: change to your repository's directory, or "
            "write the file with `infisical-iac init`",
            code="file.deploy",
        )


def settings_file() -> Path:
    """Return the settings of the group that INFISICAL_IAC_INVENTORY names by its inventory.

    Without the variable, or without such a file, these are the settings of the group `hetzner`.
    This is for commands that read no inventory.
    """
    named = SETTINGS / Path(os.environ.get("INFISICAL_IAC_INVENTORY") or INVENTORY).name
    return named if named.is_file() else SETTINGS / Path(INVENTORY).name


def read_assignments(file: Path) -> dict[str, ast.expr]:
    """Return the assignments at the top level of a Python file; none if it can't be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    return {name: value for name, (_, value) in list_assignments(tree).items()}


def list_assignments(tree: ast.Module) -> dict[str, tuple[ast.stmt, ast.expr]]:
    """Return the last assignment to each name at the top level of a module, with its value."""
    found: dict[str, tuple[ast.stmt, ast.expr]] = {}
    for each in tree.body:
        if isinstance(each, ast.Assign):
            names = (to.id for to in each.targets if isinstance(to, ast.Name))
            found |= dict.fromkeys(names, (each, each.value))
        elif isinstance(each, ast.AnnAssign) and each.value and isinstance(each.target, ast.Name):
            found[each.target.id] = each, each.value
    return found


def has_copied_defaults() -> bool:
    """Return whether `group_data/all.py` is a copy of the defaults of this or another release.

    The file is a copy if it sets most of the settings. In a checkout of this project, it is the
    original.
    """
    return bool(_read_copy())


def list_stale_keys(known: Mapping[str, object]) -> list[str]:
    """Return the keys that only a copy of another release's defaults sets.

    Args:
        known: the keys that this release has.
    """
    copied = _read_copy()
    others = (read_assignments(each) for each in sorted(SETTINGS.glob("*.py")) if each != _FOR_ALL)
    own = {key for each in others for key in each}
    return sorted(key for key in copied if key not in known and key not in own)


def describe_copied_defaults() -> list[str]:
    """Return a sentence on a copy of the defaults in `group_data/all.py`, if there is one."""
    if not has_copied_defaults():
        return []
    stale = list_stale_keys(default_settings())
    ignored = f" ({', '.join(stale)}: ignored, as {version()} has no such settings)"
    return [
        f"{_FOR_ALL} is a copy of the defaults, which are in the package: its values count as your "
        f"own settings{ignored if stale else ''}; move what you have changed there to your "
        "group's file, and delete it"
    ]


def _read_copy() -> dict[str, ast.expr]:
    if not _FOR_ALL.is_file() or _FOR_ALL.samefile(DEFAULTS):
        return {}
    found = read_assignments(_FOR_ALL)
    defaults = default_settings()
    return found if 2 * len(found.keys() & defaults.keys()) > len(defaults) else {}
