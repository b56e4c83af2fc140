"""What differs from `all.py` on the staging host: images from an archive made for it."""

import json
from pathlib import Path

__all__ = [
    "admin_email",
    "image_archives",
    "infisical_image",
    "infisical_version",
    "minimum_free_disk_gb",
    "postgres_image",
    "redis_image",
    "swap",
]

_root = Path(__file__).resolve().parents[1]
_choice = _root / ".staging" / "images.json"
# pyinfra reads this file for every inventory, so it must do without a staging host too.
_images = json.loads(_choice.read_text()) if _choice.exists() else {}

admin_email = "admin@example.com"
infisical_image = "staging/infisical"
infisical_version = _images.get("infisical_version", "v0.165.16")
postgres_image = _images.get("postgres", "staging/postgres:17")
redis_image = _images.get("redis", "staging/redis:8")
image_archives = (str(_root / ".staging" / "images.tar"),)
# The swap of the machine beneath is not the staging host's to turn off.
swap = "keep"
minimum_free_disk_gb = 3.0
