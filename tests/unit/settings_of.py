"""The settings of `group_data/all.py` with some changed."""

import runpy
from typing import Any

from infisical_iac.core.settings import Settings, load

NAME = "secrets.example.com"


def settings_of(**changes: Any) -> Settings:
    """Checked settings of a host that Caddy stands before."""
    module = runpy.run_path("group_data/all.py")
    values = {key: value for key, value in module.items() if not key.startswith("__")}
    chosen = {"admin_email": "admin@example.com", "site_url": f"https://{NAME}"}
    return load(values | chosen | changes)
