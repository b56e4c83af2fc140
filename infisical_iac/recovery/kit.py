"""What is in a recovery kit, and the bytes that it is kept in."""

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infisical_iac.errors import UserError

FORMAT = 1
# Without these nothing can be restored.
ESSENTIAL = ("keys/encryption_key", "keys/restic_password", "admin.env")


class KitError(UserError):
    """A kit can't be made, opened or used."""


class Versions(BaseModel):
    """What ran on the host; what could not be read is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    infisical: str
    postgres: str
    redis: str
    infisical_id: str = ""
    migrations: int = 0
    revision: str = ""


class Kit(BaseModel):
    """A kit; see the package for what each of these is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kit: int = FORMAT
    at: str
    by: str
    host: str
    site_url: str
    versions: Versions
    backup_targets: tuple[Mapping[str, Any], ...]
    workspace: str
    recipients: tuple[str, ...]
    files: Mapping[str, str] = Field(repr=False)


def check(kit: Kit) -> None:
    """Raise KitError if a file is missing without which nothing can be restored."""
    missing = [path for path in ESSENTIAL if not kit.files.get(path, "").strip()]
    if missing:
        raise KitError(
            f"there is no /etc/infisical/{missing[0]} on the host, without which a kit is worth "
            "nothing: let `infisical-iac apply` end first"
        )


def pack(kit: Kit) -> bytes:
    """The kit as bytes."""
    text = json.dumps(kit.model_dump(mode="json"), indent=1, ensure_ascii=False)
    return gzip.compress(f"{text}\n".encode(), mtime=0)


def unpack(data: bytes) -> Kit:
    """The kit in bytes. Raises KitError, without a word of what is in it."""
    try:
        found = json.loads(gzip.decompress(data))
        version = found["kit"]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        raise KitError("what the file holds is no recovery kit") from None
    if version != FORMAT:
        raise KitError(
            f"the kit has format {version!r}, and this version of infisical-iac reads {FORMAT}: "
            f"use the one that made it, revision {_revision(found)}"
        )
    try:
        return Kit.model_validate(found)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise KitError(f"the kit is not complete: {place} is missing or of no use") from None


def _revision(found: Mapping[str, Any]) -> str:
    versions = found.get("versions")
    return str(versions.get("revision") or "unknown") if isinstance(versions, dict) else "unknown"
