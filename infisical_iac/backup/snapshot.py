"""Fetch a snapshot on the current host, and load it next to the live data."""

from collections.abc import Sequence

from infisical_iac.backup import manifest
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.target import BackupTarget
from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


def fetch(directory: str, targets: Sequence[BackupTarget], snapshot: str) -> tuple[str, Manifest]:
    """Fetch a snapshot from the first target that has it whole.

    Returns the fingerprint of the host's encryption key, and the manifest, which was compared with
    the dump. Raises UserError with the reason of each target.
    """
    reasons = []
    for target in targets:
        command = script("snapshot", "fetch", directory, target.name, snapshot)
        try:
            first, _, text = run(command, doing="fetch the snapshot").partition("\n")
        except CommandFailed as error:
            # The script's own reason is its last line.
            reasons.append(f"{target.name}: {str(error).rpartition(' / ')[2]}")
        else:
            return first.removeprefix("key "), manifest.parse(text)
    raise UserError(f"no snapshot can be fetched: {'; '.join(reasons)}")


def load(directory: str, project: str, timeout: int) -> dict[str, int]:
    """Load the fetched dump into a new database, in a Compose project of its own.

    The database may take `timeout` seconds to start, and is stopped afterwards; its data are in the
    project's volume. Returns the number of rows of each table. Raises CommandFailed.
    """
    command = script("snapshot", "load", directory, project, str(timeout))
    return rows(run(command, doing="load the snapshot").splitlines())


def serve(directory: str, project: str, timeout: int) -> int:
    """Start Infisical on the loaded data; return the port of the loopback that leads to it.

    Each container may take `timeout` seconds to start. Raises CommandFailed.
    """
    command = script("snapshot", "serve", directory, project, str(timeout))
    run(command, doing="start Infisical on the snapshot")
    return int(run(script("snapshot", "forward", directory, project), doing="forward a port to it"))


def rows(lines: Sequence[str]) -> dict[str, int]:
    """Return the number of rows of each table from lines "<table> <rows>"."""
    pairs = (line.split(" ") for line in lines if line)
    return {table: int(number) for table, number in pairs}


def clean(directory: str, project: str) -> None:
    """Remove the fetched files and the project with the loaded data. Raises CommandFailed."""
    run(script("snapshot", "clean", directory, project), doing="clean up after the snapshot")
