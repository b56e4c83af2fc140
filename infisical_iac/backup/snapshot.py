"""A snapshot fetched by the current host and loaded beside what runs, in a directory of its own."""

from collections.abc import Sequence

from infisical_iac.backup import manifest
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.target import BackupTarget
from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


def fetch(directory: str, targets: Sequence[BackupTarget], snapshot: str) -> tuple[str, Manifest]:
    """Fetch a snapshot from the first target that gives it whole.

    Returns the fingerprint of the host's encryption key, and the manifest, to which the dump fits.
    Raises UserError with the reason of each target.
    """
    reasons = []
    for target in targets:
        command = script("snapshot", "fetch", directory, target.name, snapshot)
        try:
            first, _, text = run(command, doing="fetch the snapshot").partition("\n")
        except CommandFailed as error:
            # What the script itself says of it is the last of its lines.
            reasons.append(f"{target.name}: {str(error).rpartition(' / ')[2]}")
        else:
            return first.removeprefix("key "), manifest.parse(text)
    raise UserError(f"no snapshot can be had: {'; '.join(reasons)}")


def load(directory: str, project: str, timeout: int) -> dict[str, int]:
    """Load the dump that was fetched into a new database, of a Compose project of its own.

    Returns how many rows each table has. The database, which may take `timeout` seconds to start,
    is stopped then; its data are in the project's volume. Raises CommandFailed.
    """
    command = script("snapshot", "load", directory, project, str(timeout))
    return rows(run(command, doing="load the snapshot").splitlines())


def rows(lines: Sequence[str]) -> dict[str, int]:
    """Return how many rows each table has, of lines "<table> <rows>"."""
    pairs = (line.split(" ") for line in lines if line)
    return {table: int(number) for table, number in pairs}


def clean(directory: str, project: str) -> None:
    """Take away what was fetched and loaded. Raises CommandFailed."""
    run(script("snapshot", "clean", directory, project), doing="clean up after the snapshot")
