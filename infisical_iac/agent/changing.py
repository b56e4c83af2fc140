"""Share the steps of transactions that replace the data of a single host."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent import data
from infisical_iac.agent.data import WriteNote
from infisical_iac.agent.files import remove, write
from infisical_iac.agent.journal import StepContext
from infisical_iac.agent.runner import Runner

# Caddy answers with 503 while this file exists.
EDGE = "/etc/infisical/ingress/closed"


def close_edge(work: StepContext) -> None:
    """Have Caddy answer every request with 503; without a Caddy of this project, do nothing."""
    if work.plan["edge"]:
        write(work.runner.path(EDGE), b"")


def open_edge(work: StepContext) -> None:
    """Have Caddy lead to Infisical again."""
    remove(work.runner.path(EDGE))


def note_writes(work: StepContext, swap: str, *, log: str) -> WriteNote:
    """Count the writes to new data before they are given up, and stop Infisical.

    The note is kept, so that a repeated call returns the same.

    Args:
        swap: the name of the step that has put the data in place.
        log: the file that gets the last log lines of all containers.
    """
    runner, kept = work.runner, work.journal.kept
    if "writes" not in kept:
        with suppress(RuntimeError, OSError):  # the logs only help to explain the failure
            data.keep_logs(runner, log)
        data.stop(runner, "infisical")
        began = (at for at, _, step in work.journal.log if step == swap)
        since = kept.get("swapped") or next(began)
        note = data.count_writes(
            runner, since, loaded=kept.get("loaded", ""), before=kept.get("started", "")
        )
        work.keep(writes=asdict(note))
    return WriteNote(**{**kept["writes"], "images": tuple(kept["writes"]["images"])})


def read_older_notes(
    runner: Runner, directory: str, names: Sequence[str] = ("loaded", "started")
) -> dict[str, Any]:
    """Return the notes on new data that the version before has left, as a journal keeps them.

    Its state was written when the data were put in place.

    Args:
        names: the notes of one word.
    """
    at = runner.path(f"{directory}/state").stat().st_mtime
    kept: dict[str, Any] = {"swapped": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"}
    for name in names:
        kept[name] = (runner.text(f"{directory}/{name}") or "").strip()
    if noted := (runner.text(f"{directory}/writes") or "").split():
        since, writes, *images = noted
        kept["writes"] = asdict(WriteNote(since, writes, tuple(images)))
    return kept


def forget_notes(work: StepContext) -> None:
    """Remove the Compose file of a load, and the notes that the version before has left."""
    for name in ("compose.yaml", "writes", "loaded", "started", "begun", "exchanged"):
        remove(work.path(name))
