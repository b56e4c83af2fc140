"""Parse the manifest of a snapshot, and check whether the host can use the snapshot."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infisical_iac.core.errors import CheckFailed, FileError, Refused
from infisical_iac.core.settings import Settings


@dataclass(frozen=True)
class Manifest:
    """The manifest of a snapshot; the package's docstring describes its fields.

    The versions, such as `v0.165.16` and `17.11`, may be empty.
    """

    at: str
    host: str
    infisical: str
    postgres: str
    key: str
    rows: Mapping[str, int]


def parse(text: str) -> Manifest:
    """Return the manifest in a text. Raises FileError for another text or format."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found["format"] != 1:
            raise FileError(
                f"the snapshot has format {found['format']!r}, and this version of infisical-iac "
                "reads 1: use a newer one"
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
        raise FileError(
            "the snapshot's manifest.json can't be read: use another snapshot"
        ) from None


def refuse(manifest: Manifest, *, key: str, settings: Settings) -> None:
    """Raise Refused if the snapshot can't be restored on this host, whose key is `key`."""
    if manifest.key != key:
        raise Refused(
            f"the snapshot of {manifest.at} needs the encryption key with fingerprint "
            f"{manifest.key}, and /etc/infisical/keys/encryption_key has {key}: give the recovery "
            "kit of that time with --kit, --identity and --replace-keys"
        )
    if _numbers(manifest.infisical) > _numbers(settings.stack.infisical_version):
        raise Refused(
            f"the snapshot is of Infisical {manifest.infisical}, which is newer than "
            f"{settings.stack.infisical_version}: set infisical_version to {manifest.infisical}"
        )
    major = _numbers(manifest.postgres)[:1]
    if major > [settings.stack.postgres_major]:
        raise Refused(
            f"the snapshot is of PostgreSQL {manifest.postgres}, which "
            f"{settings.stack.postgres_image} can't read: set postgres_image to one of version "
            f"{major[0]}"
        )


def refuse_difference(manifest: Manifest, rows: Mapping[str, int]) -> None:
    """Raise CheckFailed if a restored table does not have as many rows as the manifest says."""
    tables = sorted(manifest.rows.keys() | rows.keys())
    wrong = [
        f"{table} {rows.get(table, 0)} instead of {manifest.rows.get(table, 0)}"
        for table in tables
        if rows.get(table, 0) != manifest.rows.get(table, 0)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckFailed(
            "the restored database has other numbers of rows than the snapshot's manifest "
            f"({', '.join(wrong[:3])}{more}): use another snapshot"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("-")[0])]
