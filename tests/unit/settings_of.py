"""Provide the settings of `group_data/all.py` with changes."""

import runpy
from typing import Any

from infisical_iac.core.settings import Settings, load

NAME = "secrets.example.com"


def defaults(**changes: Any) -> dict[str, Any]:
    """Return the defaults, with the one value that a user must give, and with changes."""
    module = runpy.run_path("group_data/all.py")
    values = {key: value for key, value in module.items() if not key.startswith("__")}
    return values | {"admin_email": "admin@example.com"} | changes


def settings_of(**changes: Any) -> Settings:
    """Return checked settings of a host behind Caddy."""
    return load(defaults(**{"site_url": f"https://{NAME}", **changes}))
