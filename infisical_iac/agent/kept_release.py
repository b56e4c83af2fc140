"""The steps of a change of version that a host and a cluster have in common.

They keep the running version as a release, with a dump of its data, and try the new version on a
copy of them.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infisical_iac.agent import changing, data, dump, releases, snapshot, stack
from infisical_iac.agent.files import write
from infisical_iac.agent.journal import StepContext
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Failure
from infisical_iac.agent.snapshot import LoadedSnapshot, SnapshotPlace

DIRECTORY = "/var/lib/infisical-upgrade"
# The Compose project of the copy.
PROJECT = "infisical-upgrade"


def name_of(work: StepContext) -> str:
    """Return the name of the release that the change keeps."""
    return str(work.plan["release"])


def stamp_of(work: StepContext) -> str:
    """Return the time of the change, which names the data that it replaces."""
    return name_of(work).partition("-")[0]


def path_of(work: StepContext, name: str) -> Path:
    """Return the path of a file of the release."""
    return work.runner.path(f"{RELEASES}/{name_of(work)}/{name}")


def failed_log(work: StepContext) -> str:
    """Return the path of the log that explains a failure."""
    return f"{RELEASES}/{name_of(work)}/failed.log"


def make(work: StepContext) -> None:
    """Make the release, without its dump."""
    releases.make(work.runner, release=name_of(work))


def make_dump(work: StepContext) -> None:
    """Dump the data into the release."""
    remove_dump(work)
    dump.make_dump(work.runner, folder=f"{RELEASES}/{name_of(work)}")


def remove_dump(work: StepContext) -> None:
    """Remove the dump of the release, or what a killed run has made of it."""
    shutil.rmtree(path_of(work, "snapshot"), ignore_errors=True)
    path_of(work, "database.dump").unlink(missing_ok=True)


def note_failure(work: StepContext) -> None:
    """Note when the change failed."""
    forget_notes(work)
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with suppress(OSError):  # the disk may be full
        write(path_of(work, "failed"), f"{at} {work.plan['image']}\n".encode())


def forget_notes(work: StepContext) -> None:
    """Remove the Compose file of the copy, and the notes that the version before has made."""
    changing.forget_notes(work)
    for name in ("listed", "tags"):
        path_of(work, name).unlink(missing_ok=True)


def take(work: StepContext, release: str = "") -> Mapping[str, Any]:
    """Select the dump of a release for the next load, and return its manifest.

    By default it is the release of the change itself. Raises RuntimeError with a Failure.
    """
    target = work.runner.path(f"{RELEASES}/{release or name_of(work)}/snapshot")
    snapshot.remove_fetched(work.runner, work.directory).symlink_to(target)
    found: dict[str, Any] = json.loads((target / "manifest.json").read_text())
    snapshot.refuse_altered(target, found)
    return found


def take_data(work: StepContext) -> Mapping[str, Any]:
    """Select the dump with the data that the change loads, and return its manifest.

    With `data` in the plan it is that of this release, else that of the live data. Raises
    RuntimeError with a Failure, also if it needs another encryption key than the host's.
    """
    own, other = take(work), work.plan["data"]
    desired = take(work, other) if other else own
    if desired["encryption_key"] != own["encryption_key"]:
        raise RuntimeError(
            Failure(
                "refused.other_key",
                f"the data of {other or 'today'} need the encryption key with fingerprint "
                f"{desired['encryption_key']}, and the host has {own['encryption_key']}",
                "choose a newer release, or restore a backup with the recovery kit of that time",
            )
        )
    return desired


def _place(work: StepContext) -> SnapshotPlace:
    return SnapshotPlace(DIRECTORY, PROJECT, work.plan["timeout"])


def load_copy(work: StepContext, compose: str) -> LoadedSnapshot:
    """Load the dump that `take_data` selects next to the data, into a project of its own.

    Args:
        compose: the text of its Compose file.

    Raises RuntimeError with a Failure, also if the rows are not those of the dump.
    """
    desired = take_data(work)
    write(work.path("compose.yaml"), compose.encode())
    loaded = snapshot.load(work.runner, _place(work))
    snapshot.refuse_difference(desired["rows"], loaded.rows)
    return loaded


@contextmanager
def serve_copy(work: StepContext) -> Iterator[int]:
    """Start Infisical on the loaded copy, and yield the port of the loopback that leads to it.

    Only the host reaches it, and it reaches no network. If the body fails, the logs are kept.
    """
    try:
        snapshot.serve(work.runner, _place(work))
        yield stack.forward_port(work.runner, project=PROJECT)
    except RuntimeError:
        with suppress(RuntimeError, OSError):  # the logs only help to explain the failure
            data.keep_logs(work.runner, failed_log(work), PROJECT)
        raise


def clean(work: StepContext) -> None:
    """Remove the copy, as far as there is one."""
    snapshot.clean(work.runner, _place(work))
