"""Provide the settings of `group_data/all.py` with changes."""

from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from infisical_iac.core.settings import Settings, load
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import resolve_auto

NAME = "secrets.example.com"
# The settings of `group_data/all.py` for pyinfra's SSH connector. Hosts get them as data of their
# own, because pyinfra can't read group data from the package.
CONNECTOR = {
    "ssh_connect_retries": 1,
    "ssh_connect_retry_min_delay": 2.0,
    "ssh_connect_retry_max_delay": 4.0,
}


def defaults(**changes: Any) -> dict[str, Any]:
    """Return the defaults with changes, and with the one value that a user must give."""
    # Executed each time, because some values are lists, which a test may change.
    module: dict[str, Any] = {}
    exec(_compile_defaults(), module)
    values = {key: value for key, value in module.items() if not key.startswith("__")}
    return values | {"admin_email": "admin@example.com"} | changes


@cache
def _compile_defaults() -> CodeType:
    file = Path("group_data/all.py")
    return compile(file.read_text(), file, "exec")


def settings_of(**changes: Any) -> Settings:
    """Return checked settings of a host behind Caddy, which is Infisical's own."""
    return resolve_auto(written_settings(**changes), MachineState())


def written_settings(**changes: Any) -> Settings:
    """Return checked settings as they are written, with the values `auto`."""
    return load(defaults(**{"site_url": f"https://{NAME}", **changes}))
