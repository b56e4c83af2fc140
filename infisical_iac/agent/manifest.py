"""Parse the manifest of a snapshot, and check whether the host can use the snapshot."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.runner import make_failure


@dataclass(frozen=True)
class Manifest:
    """The manifest of a snapshot; the docstring of infisical_iac/backup describes its fields.

    The versions, such as `v0.165.16` and `17.11`, may be empty.
    """

    at: str
    host: str
    infisical: str
    postgres: str
    key: str
    rows: Mapping[str, int]


@dataclass(frozen=True)
class DesiredVersions:
    """The versions that the settings want: of Infisical, and the image of PostgreSQL."""

    infisical: str
    postgres_image: str
    postgres_major: int


def parse(text: str) -> Manifest:
    """Return the manifest in a text. Raises RuntimeError with a Failure for another text."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found["format"] != 1:
            raise make_failure(
                "file",
                f"the snapshot has format {found['format']!r}, and this version of infisical-iac "
                "reads 1",
                "use a newer one",
            )
        return Manifest(
            at=str(found["at"]),
            host=str(found["host"]),
            infisical=str(found["infisical"]["version"]),
            postgres=str(found["postgresql"]["version"]),
            key=str(found["encryption_key"]),
            rows={str(table): int(number) for table, number in found["rows"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise make_failure(
            "file", "the snapshot's manifest.json can't be read", "use another snapshot"
        ) from None


def refuse(manifest: Manifest, *, key: str, desired: DesiredVersions) -> None:
    """Raise RuntimeError with a Failure if this host, whose key is `key`, can't use a snapshot."""
    if manifest.key != key:
        raise make_failure(
            "refused",
            f"the snapshot of {manifest.at} needs the encryption key with fingerprint "
            f"{manifest.key}, and /etc/infisical/keys/encryption_key has {key}",
            "give the recovery kit of that time with --kit, --identity and --replace-keys",
        )
    if _numbers(manifest.infisical) > _numbers(desired.infisical):
        raise make_failure(
            "refused",
            f"the snapshot is of Infisical {manifest.infisical}, which is newer than "
            f"{desired.infisical}",
            f"set infisical_version to {manifest.infisical}",
        )
    major = _numbers(manifest.postgres)[:1]
    if major > [desired.postgres_major]:
        raise make_failure(
            "refused",
            f"the snapshot is of PostgreSQL {manifest.postgres}, which "
            f"{desired.postgres_image} can't read",
            f"set postgres_image to one of version {major[0]}",
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("-")[0])]
