"""Set what differs from `all.py` on the staging host: images from an archive made for it."""

import json
import os
from pathlib import Path

from infisical_iac.stack.ingress_kinds import KINDS

__all__ = [
    "access_log_max_mb",
    "acme_ca",
    "admin_email",
    "caddy_image",
    "fail2ban",
    "firewall",
    "image_archives",
    "infisical_image",
    "infisical_version",
    "ingress",
    "minimum_free_disk_gb",
    "postgres_image",
    "redis_image",
    "site_url",
    "swap",
]

_root = Path(__file__).resolve().parents[1]
_choice = _root / ".staging" / "images.json"
# pyinfra reads this file for every inventory, so it must do without a staging host too.
_host = _root / ".staging" / os.environ.get("STAGING_HOST", "demo") / "ingress.json"
_ingress = json.loads(_host.read_text()) if _host.exists() else {}
_images = json.loads(_choice.read_text()) if _choice.exists() else {}

admin_email = "admin@example.com"
infisical_image = _images.get("infisical", "staging/infisical")
infisical_version = _images.get("infisical_version", "v0.165.16")
if _images.get("standin", True):
    # It needs less than a release.
    infisical_memory_needed = "64m"
    __all__ += ["infisical_memory_needed"]
postgres_image = _images.get("postgres", "staging/postgres:17")
redis_image = _images.get("redis", "staging/redis:8")
caddy_image = _images.get("caddy", "staging/caddy:2")
# As `python -m tests.staging up --ingress` chose; else it is reached through SSH.
ingress = _ingress.get("ingress", "none")
site_url = _ingress.get("site_url", "http://127.0.0.1:8080")
acme_ca = "internal"
# Of the disk of the machine that the hosts share.
access_log_max_mb = 100
image_archives = (str(_root / ".staging" / "images.tar"),)
# No firewall next to a Swarm such as Dokploy's.
firewall = "off" if KINDS[ingress].engine_owner else "on"
# It takes half a minute to install, and sees only what Caddy logs: without Caddy it is off.
fail2ban = "on" if KINDS[ingress].runs_caddy else "off"
# The swap of the machine beneath is not the staging host's to turn off.
swap = "keep"
minimum_free_disk_gb = 3.0
