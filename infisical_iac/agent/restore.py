"""Replace the data and keys of a host by those of a snapshot, or undo an unfinished restore.

The snapshot is loaded next to the data and compared with its manifest. Infisical serves the old
data until the two are swapped. Then the edge is closed until the restored Infisical has passed its
checks. The old data and the replaced files are kept.
"""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from infisical_iac.agent import (
    aside,
    changing,
    data,
    keys,
    manifest,
    proof,
    restore_proof,
    snapshot,
    stack,
)
from infisical_iac.agent.aside import DIRECTORY, ReplacedFiles
from infisical_iac.agent.data import MAIN, WriteNote
from infisical_iac.agent.files import hold, remove, write
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    Way,
)
from infisical_iac.agent.manifest import DesiredVersions
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.reporting import attempt
from infisical_iac.agent.restore_proof import RestoreProof
from infisical_iac.agent.runner import Failure, Runner, action, make_failure
from infisical_iac.agent.snapshot import LoadedSnapshot, SnapshotPlace
from infisical_iac.agent.transaction import INTERRUPTED

PROJECT = "infisical-restore"
_COMPOSE, _MEMORY = "compose.yaml", "workspace.json"


class RestoreData(Protocol):
    """The steps of a restore that depend on where the data are, on a host or on a cluster.

    Each can be repeated after it was killed.
    """

    def load(self, work: StepContext) -> LoadedSnapshot:
        """Load the fetched snapshot next to the data."""
        ...

    def replace(self, work: StepContext) -> None:
        """Replace the data by the loaded ones; nothing writes to them before `start`."""
        ...

    def put_back(self, work: StepContext) -> None:
        """Bring the old data back, and give up the new ones, which may have been written to."""
        ...

    def start(self, work: StepContext) -> None:
        """Start Infisical on the new data, and wait until it is healthy."""
        ...

    def serve_again(self, work: StepContext) -> None:
        """Start what ran before, on the old data, if anything did."""
        ...

    def end(self, work: StepContext) -> None:
        """Remove earlier data that were given up without a write; keep the names of the others."""
        ...


class HostData:
    """The data of a single host, in a volume of Docker."""

    def load(self, work: StepContext) -> LoadedSnapshot:
        place = SnapshotPlace(DIRECTORY, PROJECT, work.plan["timeout"])
        return snapshot.load(work.runner, place)

    def replace(self, work: StepContext) -> None:
        runner, kept = work.runner, work.journal.kept
        if "volume" not in kept:
            is_there = data.holds(runner, MAIN)
            work.keep(volume=f"{MAIN}_before_{work.journal.began}" if is_there else "")
        data.stop(runner, *data.SERVICES)
        if "started" not in kept:
            work.keep(started=data.started(runner))
        data.put_in_place(runner, f"{PROJECT}_postgres", kept["volume"])
        data.empty_redis(runner)

    def put_back(self, work: StepContext) -> None:
        runner, volume, stamp = work.runner, work.journal.kept.get("volume"), work.journal.began
        if volume is None:
            return  # it was killed before the first change
        note: WriteNote = changing.note_writes(work, SWAP, log=f"{DIRECTORY}/failed-{stamp}.log")
        data.stop(runner, *data.SERVICES)
        if volume:
            data.take_back(runner, volume, stamp, note)
        else:
            data.remove_data(runner, stamp, note)
        work.keep(given_up=[asdict(each) for each in data.list_given_up(runner, stamp)])

    def start(self, work: StepContext) -> None:
        stack.start(work.runner, seconds=work.plan["timeout"])

    def serve_again(self, work: StepContext) -> None:
        """Start what ran before; it may be unhealthy, which may be why the restore was made."""
        is_deployed = work.runner.path(stack.COMPOSE_FILE).exists()
        work.keep(serves=is_deployed)
        if is_deployed:
            stack.up(work.runner)
            unhealthy = stack.await_health(work.runner, seconds=work.plan["timeout"])
            work.keep(unhealthy="\n".join(each.describe() for each in unhealthy))

    def end(self, work: StepContext) -> None:
        gone, left = data.forget_given_up(work.runner)
        work.keep(removed=gone, given_up=[asdict(each) for each in left])


def _files_of(work: StepContext) -> ReplacedFiles:
    return ReplacedFiles(work.runner, work.journal.began)


def _begin(work: StepContext) -> None:
    remove(work.path("undone"))
    changing.forget_notes(work)


def _end_undone(work: StepContext, of: RestoreData) -> None:
    """Have the old data serve again, if they were replaced, and forget the restore."""
    if work.journal.kept.get("is_swapped"):
        of.serve_again(work)
    changing.open_edge(work)
    _clean(work)
    aside.discard(work.runner)
    # On a host that had no data, the next deploy makes an empty instance, and reports this restore.
    write(work.path("undone"), f"{work.journal.began}\n".encode())
    _files_of(work).forget()
    changing.forget_notes(work)


def _put_keys(work: StepContext) -> None:
    """Put the kit's files in place, keep those that differ, and make the missing keys."""
    for path in work.plan["aside"]:
        _files_of(work).keep(path)
    if work.plan["put"]:
        aside.put(work.runner, work.plan["put"])
        keys.make(
            work.runner,
            admin_email=work.plan["admin_email"],
            admin_password="",
            more=work.plan["more"],
            given={},
        )
    aside.discard(work.runner)


def _put_files_back(work: StepContext) -> None:
    """Bring back all files that the restore has replaced. Keys that the host lacked stay there."""
    _files_of(work).bring_back()
    # The plan for a restore of the version before does not tell what was put.
    has_put = work.plan.get("put", True)
    if has_put and work.runner.path(f"{keys.ROOT}/keys/encryption_key").exists():
        keys.derive(work.runner)


def _fetch(work: StepContext) -> None:
    """Fetch the snapshot from the first target that has it whole, and check its manifest."""
    reasons = []
    for target in work.plan["targets"]:
        if reason := attempt(partial(_fetch_from, work, target)):
            reasons.append(f"{target}: {reason}")
        else:
            break
    else:
        raise make_failure("error", f"no snapshot can be fetched: {'; '.join(reasons)}")
    found = manifest.parse((work.path("fetched") / "manifest.json").read_text())
    desired = DesiredVersions(**work.plan["versions"])
    manifest.refuse(found, key=keys.key_fingerprint(work.runner), desired=desired)
    work.keep(at=found.at)


def _fetch_from(work: StepContext, target: str) -> None:
    snapshot.fetch(work.runner, directory=DIRECTORY, target=target, snapshot=work.plan["snapshot"])


def _load(work: StepContext, of: RestoreData) -> None:
    write(work.path("compose.yaml"), work.plan["compose"].encode())
    expected = manifest.parse((work.path("fetched") / "manifest.json").read_text()).rows
    loaded = of.load(work)
    snapshot.refuse_difference(expected, loaded.rows)
    work.keep(loaded=loaded.transaction)


def _clean(work: StepContext) -> None:
    snapshot.clean(work.runner, SnapshotPlace(DIRECTORY, PROJECT))


def _record(work: StepContext) -> None:
    before = restore_proof.record_before(
        work.runner,
        project=work.plan["proof"]["project"],
        port=work.plan["old_port"],
        address=work.plan["proof"]["address"],
    )
    work.keep(before=asdict(before))


def _swap(work: StepContext, of: RestoreData) -> None:
    for path in (_COMPOSE, _MEMORY):
        _files_of(work).keep(path)
    work.keep(is_swapped=True)
    of.replace(work)
    memory = work.path("fetched") / "workspace.json"
    if memory.exists():
        write(work.runner.path(f"{keys.ROOT}/{_MEMORY}"), memory.read_bytes())
    work.keep(swapped=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _swap_back(work: StepContext, of: RestoreData) -> None:
    """Bring the old data back; the files follow with the keys."""
    if work.journal.kept.get("is_swapped"):
        of.put_back(work)


def _start(work: StepContext, of: RestoreData) -> None:
    """Start Infisical on the new data, and check it while the edge is closed."""
    write(work.runner.path(f"{keys.ROOT}/{_COMPOSE}"), work.plan["compose"].encode())
    of.start(work)
    before = work.journal.kept["before"]
    asked = RestoreProof(
        work.plan["proof"]["project"],
        work.plan["services"],
        work.journal.kept["at"],
        before["access"],
    )
    sentences = restore_proof.prove(work.runner, asked, work.plan["port"])
    if before["public"]:
        address = proof.plan_of(work).address
        proof.check_closed(work.runner, address, _PUBLIC, is_closed=work.plan["edge"])
    work.tell(*sentences)


_PUBLIC = Before({}, public=True)


def _open(work: StepContext) -> None:
    changing.open_edge(work)
    if work.journal.kept["before"]["public"]:
        proof.check_opened(work.runner, proof.plan_of(work).address, _PUBLIC)


def _end(work: StepContext, of: RestoreData) -> None:
    """Keep the old data and files where people are told, and remove what nobody needs."""
    of.end(work)
    _clean(work)
    _files_of(work).forget_if_empty()
    changing.forget_notes(work)


@action
def hand_in(runner: Runner, *, files: dict[str, str]) -> None:
    """Store the files of a kit and further secrets, by path, before the restore begins.

    Raises RuntimeError with a Failure if another restore has not ended.
    """
    busy = f"another run is using {DIRECTORY} on this host: wait for its end"
    with hold(runner.path(f"{DIRECTORY}/lock"), 5, busy):
        if runner.path(f"{DIRECTORY}/state").exists():
            raise RuntimeError(Failure("command", "another restore has not ended"))
        aside.stage(runner, files)


@action
def take_back(runner: Runner) -> None:
    """Remove the files that were handed in, unless a restore has begun."""
    if not runner.path(f"{DIRECTORY}/state").exists():
        aside.discard(runner)


_NOTE, _PUT, PREPARE = "begin the restore", "put the keys in place", "prepare the host"
_FETCH, _LOAD = "fetch the snapshot", "load it next to the data"
_RECORD, _CLOSE = "record who has access", "close the edge"
SWAP, _START = "replace the data by the snapshot", "start and check Infisical, closed"
_OPEN, _KEEP = "open it", "keep the old data"


def _read_older(runner: Runner, text: str) -> TransactionJournal:
    """Return the journal for `<stamp> <phase>`, as the version before has written it."""
    stamp, phase = text.split()
    steps: dict[str, str] = {
        "begun": _PUT,
        "keys": _PUT,
        "data": SWAP,
        "backing": SWAP,
        "back": _PUT,
    }
    way: Way = "back"
    kept: dict[str, Any] = {
        **changing.read_older_notes(runner, DIRECTORY),
        "is_swapped": phase in ("data", "backing", "back"),
        "volume": (runner.text(f"{ReplacedFiles(runner, stamp).folder}/volume") or "").strip(),
    }
    if phase == "back":
        with suppress(RuntimeError):
            kept["given_up"] = [asdict(each) for each in data.list_given_up(runner, stamp)]
    return TransactionJournal(
        "restore", stamp, steps[phase], way, INTERRUPTED, named=[stamp], kept=kept
    )


def make_transaction(name: str, of: RestoreData) -> Transaction:
    """Return the restore of a host or a cluster, given its steps that change data."""

    def on(step: Any) -> Any:
        return partial(step, of=of)

    return Transaction(
        name,
        DIRECTORY,
        "a restore",
        (
            TransactionStep(_NOTE, _begin, on(_end_undone)),
            TransactionStep(_PUT, _put_keys, _put_files_back),
            # The operator's side sets up backups, images and the ingress with these keys.
            TransactionStep(PREPARE),
            TransactionStep(_FETCH, _fetch, _clean),
            TransactionStep(_LOAD, on(_load), _clean),
            TransactionStep(_RECORD, _record),
            # It opens once the old data serve.
            TransactionStep(_CLOSE, changing.close_edge),
            TransactionStep(SWAP, on(_swap), on(_swap_back)),
            TransactionStep(_START, on(_start)),
            TransactionStep(_OPEN, _open, changing.close_edge),
            TransactionStep(_KEEP, on(_end)),
        ),
        goes_on_from=_START,
        proven_from=_KEEP,
        read_older=_read_older,
        ended_by="`infisical-iac restore --undo`",
    )


TRANSACTION = make_transaction("restore", HostData())
