"""Fetch a snapshot on the current host, and load it next to the live data."""

from collections.abc import Sequence

from infisical_iac.agent import snapshot
from infisical_iac.backup import manifest
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.target import BackupTarget
from infisical_iac.core.agent import perform, question
from infisical_iac.core.errors import CommandFailed, UserError

_FETCH = "fetch the snapshot"


def fetch(directory: str, targets: Sequence[BackupTarget], id: str) -> tuple[str, Manifest]:
    """Fetch a snapshot from the first target that has it whole.

    Returns the fingerprint of the host's encryption key, and the manifest, which was compared with
    the dump. Raises UserError with the reason of each target.
    """
    reasons = []
    for target in targets:
        asked = question(
            snapshot.fetch_snapshot, directory=directory, target=target.name, snapshot=id
        )
        try:
            found = perform(asked, doing=_FETCH)
        except CommandFailed as error:
            reasons.append(f"{target.name}: {str(error).removeprefix(f'could not {_FETCH}: ')}")
        else:
            return found.key, manifest.parse(found.manifest)
    raise UserError(f"no snapshot can be fetched: {'; '.join(reasons)}")


def load(directory: str, project: str, timeout: int) -> dict[str, int]:
    """Load the fetched dump into a new database, in a Compose project of its own.

    The database may take `timeout` seconds to start, and is stopped afterwards; its data are in the
    project's volume. Returns the number of rows of each table. Raises CommandFailed.
    """
    asked = question(snapshot.load_snapshot, directory=directory, project=project, seconds=timeout)
    return perform(asked, doing="load the snapshot").rows


def clean(directory: str, project: str) -> None:
    """Remove the fetched files and the project with the loaded data. Raises CommandFailed."""
    asked = question(snapshot.clean_snapshot, directory=directory, project=project)
    perform(asked, doing="clean up after the snapshot")
