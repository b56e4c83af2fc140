"""Change the version of Infisical or PostgreSQL on a single host, or go back to a release.

The data are dumped, loaded into a new volume next to the old one, and the two are swapped. Until
the new version has passed its checks, the edge is closed and the old volume is kept unchanged.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infisical_iac.agent import changing, data, docker, dump, proof, releases, snapshot, stack
from infisical_iac.agent.data import MAIN, WriteNote
from infisical_iac.agent.files import remove, write
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    Way,
)
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Failure, Runner
from infisical_iac.agent.snapshot import SnapshotPlace
from infisical_iac.agent.transaction import INTERRUPTED

DIRECTORY = "/var/lib/infisical-upgrade"
PROJECT = "infisical-upgrade"
_ROOT = "/etc/infisical"
_COMPOSE, _MEMORY = f"{_ROOT}/compose.yaml", f"{_ROOT}/workspace.json"
# How the stack runs while a new version is checked.
_CLOSED = f"{DIRECTORY}/closed.yaml"
# The database of a closed Infisical in Redis; stack/model.py names it.
_FLUSH = "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -n 1 flushdb"


def _release(work: StepContext) -> str:
    return str(work.plan["release"])


def _stamp(work: StepContext) -> str:
    return _release(work).partition("-")[0]


def _aside(work: StepContext) -> str:
    return f"{MAIN}_before_{_stamp(work)}"


def _release_path(work: StepContext, name: str) -> Path:
    return work.runner.path(f"{RELEASES}/{_release(work)}/{name}")


def _make_release(work: StepContext) -> None:
    releases.make(work.runner, release=_release(work))


def _note_failure(work: StepContext) -> None:
    """Note when the change failed, and remove its dump: the data themselves are in use again."""
    _remove_dump(work)
    _forget_older(work)
    remove(work.path("compose.yaml"))
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with suppress(OSError):  # the disk may be full
        write(_release_path(work, "failed"), f"{at} {work.plan['image']}\n".encode())


def _pause(work: StepContext) -> None:
    data.stop(work.runner, "infisical")


def _serve_again(work: StepContext) -> None:
    """Start what ran before, and wait until it is healthy."""
    if not work.runner.path(_COMPOSE).exists():  # a host whose change an earlier version began
        _bring_back(work, _COMPOSE)
    stack.start(work.runner, seconds=work.plan["timeout"])


def _dump(work: StepContext) -> None:
    _remove_dump(work)
    dump.make_dump(work.runner, folder=f"{RELEASES}/{_release(work)}")


def _remove_dump(work: StepContext) -> None:
    shutil.rmtree(_release_path(work, "snapshot"), ignore_errors=True)
    _release_path(work, "database.dump").unlink(missing_ok=True)


def _load(work: StepContext) -> None:
    """Load the dump of the data next to them; with `data` in the plan, that of another release."""
    own = _take(work, _release(work))
    desired = _take(work, work.plan["data"]) if work.plan["data"] else own
    if desired["encryption_key"] != own["encryption_key"]:
        raise RuntimeError(
            Failure(
                "refused.other_key",
                f"the data of {work.plan['data'] or 'today'} need the encryption key with "
                f"fingerprint {desired['encryption_key']}, and the host has "
                f"{own['encryption_key']}",
                "choose a newer release, or restore a backup with the recovery kit of that time",
            )
        )
    write(work.path("compose.yaml"), work.plan["compose"].encode())
    place = SnapshotPlace(DIRECTORY, PROJECT, work.plan["timeout"])
    loaded = snapshot.load(work.runner, place)
    snapshot.refuse_difference(desired["rows"], loaded.rows)
    work.keep(loaded=loaded.transaction)


def _take(work: StepContext, release: str) -> Mapping[str, Any]:
    """Select the dump of a release for the next load, and return its manifest."""
    link, target = work.path("fetched"), work.runner.path(f"{RELEASES}/{release}/snapshot")
    _remove_fetched(work)
    link.symlink_to(target)
    found: dict[str, Any] = json.loads((target / "manifest.json").read_text())
    snapshot.refuse_altered(target, found)
    return found


def _remove_fetched(work: StepContext) -> None:
    fetched = work.path("fetched")
    if fetched.is_symlink():
        fetched.unlink()
    else:
        shutil.rmtree(fetched, ignore_errors=True)


def _clean(work: StepContext) -> None:
    snapshot.clean(work.runner, SnapshotPlace(DIRECTORY, PROJECT))


def _swap(work: StepContext) -> None:
    runner = work.runner
    data.stop(runner)
    if "started" not in work.journal.kept:
        work.keep(started=data.started(runner))
    data.put_in_place(runner, f"{PROJECT}_postgres", _aside(work))
    if work.plan["data"]:
        data.empty_redis(runner)
        memory = work.path("fetched") / "workspace.json"
        if memory.exists():
            write(runner.path(_MEMORY), memory.read_bytes())
    write(runner.path(_COMPOSE), work.plan["compose"].encode())
    work.keep(swapped=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _put_back(work: StepContext) -> None:
    """Bring back the data, the files and the names of the images; the containers are stopped then.

    Data that may have been written to since the swap are given up, and kept.
    """
    runner = work.runner
    note = changing.note_writes(work, _SWAP, log=f"{RELEASES}/{_release(work)}/failed.log")
    data.stop(runner)
    data.take_back(runner, _aside(work), _stamp(work), note)
    for path in (_COMPOSE, _MEMORY):
        _bring_back(work, path)
    releases.reset(runner, release=_release(work))
    work.keep(given_up=[asdict(each) for each in data.list_given_up(runner, _stamp(work))])


def _bring_back(work: StepContext, path: str) -> None:
    """Bring back a file of the release, if that has it."""
    file = _release_path(work, Path(path).name)
    if file.exists():
        write(work.runner.path(path), file.read_bytes())


def _check(work: StepContext) -> None:
    """Start the new version so that only the host reaches it, and check it there.

    It reaches nothing but its databases.
    """
    runner = work.runner
    write(runner.path(_CLOSED), work.plan["closed"].encode())
    stack.start(runner, seconds=work.plan["timeout"], file=_CLOSED)
    port = stack.forward_port(runner)
    sentences = proof.check_before_opening(
        runner,
        proof.plan_of(work),
        proof.recall(work),
        port=port,
        same_data=not work.plan["data"],
        is_closed=True,
        other_version=True,
    )
    work.tell(*sentences)


def _end_closed(work: StepContext) -> None:
    """End what the stack has only while it is checked."""
    stack.close_port(work.runner, docker.PROJECT)
    redis = data.of_service(work.runner, "redis")
    if redis:
        with suppress(RuntimeError):  # Redis may hang
            work.runner.run(["docker", "exec", redis.id, "sh", "-c", _FLUSH], seconds=20)
    remove(work.runner.path(_CLOSED))


def _connect(work: StepContext) -> None:
    """Start the new version as it stays, open the edge, and check the public address."""
    stack.start(work.runner, seconds=work.plan["timeout"])
    _end_closed(work)
    changing.open_edge(work)
    proof.check_opened(work.runner, proof.plan_of(work).address, proof.recall(work))


def _remove_old(work: StepContext) -> None:
    """Remove the old data, and earlier ones that were given up without a write."""
    data.remove_volume(work.runner, _aside(work))
    gone, kept = data.forget_given_up(work.runner)
    work.keep(removed=gone, given_up=[asdict(each) for each in kept])
    _clean(work)
    for name in ("listed", "tags"):
        _release_path(work, name).unlink(missing_ok=True)
    remove(work.path("compose.yaml"))
    _forget_older(work)


def _forget_older(work: StepContext) -> None:
    """Remove the notes that the version before has made."""
    for name in ("writes", "loaded", "started", "begun"):
        remove(work.path(name))


_KEEP, _READ = "keep what runs as a release", "read every secret"
_CLOSE, _PAUSE = "close the edge", "pause Infisical"
_DUMP, _LOAD = "dump the data", "load them for the new version"
_SWAP, _CHECK = "put the new data in place", "start and check the new version, closed"
_CONNECT, _REMOVE = "open it", "remove the old data"


def _read_older(runner: Runner, text: str) -> TransactionJournal:
    """Return the journal for `<release> <phase> <image>`, as the version before has written it."""
    release, phase, image = text.split()
    steps: dict[str, tuple[Way, str]] = {
        "begun": ("back", _LOAD),
        "paused": ("back", _LOAD),
        "swapping": ("back", _SWAP),
        "swapped": ("forward", _CHECK),
        "backing": ("back", _SWAP),
        "back": ("back", _SWAP),
        "proven": ("forward", _REMOVE),
    }
    way, step = steps[phase]
    failure = INTERRUPTED if way == "back" else None
    if phase == "swapped" and not runner.path(_COMPOSE).exists():
        # Without it the new version can be neither started nor checked.
        way, step = "back", _SWAP
        failure = Failure("run.no_compose", f"it was interrupted, and {_COMPOSE} is missing")
    began = release.partition("-")[0]
    at = runner.path(f"{DIRECTORY}/state").stat().st_mtime
    kept = {"swapped": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"}
    for name in ("loaded", "started"):
        kept[name] = (runner.text(f"{DIRECTORY}/{name}") or "").strip()
    named = [release, image]
    journal = TransactionJournal("upgrade", began, step, way, failure, named=named, kept=kept)
    if noted := (runner.text(f"{DIRECTORY}/writes") or "").split():
        since, writes, *images = noted
        journal.kept["writes"] = asdict(WriteNote(since, writes, tuple(images)))
    return journal


TRANSACTION = Transaction(
    "upgrade",
    DIRECTORY,
    "a change of version",
    (
        TransactionStep(_KEEP, _make_release, _note_failure),
        TransactionStep(_READ, proof.record),
        TransactionStep(_CLOSE, changing.close_edge, changing.open_edge),
        TransactionStep(_PAUSE, _pause, _serve_again),
        TransactionStep(_DUMP, _dump, _remove_dump),
        TransactionStep(_LOAD, _load, _clean),
        TransactionStep(_SWAP, _swap, _put_back),
        TransactionStep(_CHECK, _check, _end_closed),
        TransactionStep(_CONNECT, _connect, changing.close_edge),
        TransactionStep(_REMOVE, _remove_old),
    ),
    goes_on_from=_CHECK,
    proven_from=_REMOVE,
    read_older=_read_older,
)
