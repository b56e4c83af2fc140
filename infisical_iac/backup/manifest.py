"""Parse the manifest of a snapshot, and check whether the host can use the snapshot."""

from collections.abc import Mapping

from infisical_iac.agent import manifest as on_host
from infisical_iac.agent.manifest import DesiredVersions
from infisical_iac.agent.manifest import Manifest as Manifest
from infisical_iac.core.errors import CheckFailed, agent_failures
from infisical_iac.core.settings import Settings


def parse(text: str) -> Manifest:
    """Return the manifest in a text. Raises FileError for another text or format."""
    with agent_failures():
        return on_host.parse(text)


def refuse(manifest: Manifest, *, key: str, settings: Settings) -> None:
    """Raise Refused if the snapshot can't be restored on this host, whose key is `key`."""
    with agent_failures():
        on_host.refuse(manifest, key=key, desired=versions_of(settings))


def versions_of(settings: Settings) -> DesiredVersions:
    """Return the versions of the settings."""
    stack = settings.stack
    return DesiredVersions(stack.infisical_version, stack.postgres_image, stack.postgres_major)


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
