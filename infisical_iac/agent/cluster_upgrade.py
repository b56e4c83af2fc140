"""Change the version of Infisical on a cluster, or go back to a release, by its leader.

Replica by replica gets the new version while Infisical serves, after a copy of the data has proven
it. If the data change too, Infisical pauses: a dump is loaded into a database of its own, and the
two are swapped. The way back keeps later writes if the old version can use the data. Otherwise the
dump from before the change replaces them, and they are given up.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent import (
    changing,
    databases,
    edges,
    kept_release,
    leadership,
    proof,
    rollout,
    services,
    snapshot,
    stack,
)
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.data import NEXT_TRANSACTION, WriteNote
from infisical_iac.agent.database import find_database, list_databases_given_up
from infisical_iac.agent.files import write
from infisical_iac.agent.journal import (
    Act,
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    Way,
)
from infisical_iac.agent.kept_release import DIRECTORY
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Failure, Runner, explain, to_failure
from infisical_iac.agent.shared_state import ROOT
from infisical_iac.agent.tasks import STACK
from infisical_iac.agent.transaction import INTERRUPTED

_MEMORY, _RECORD = f"{ROOT}/workspace.json", f"{ROOT}/stack.json"
_SERVICE = "infisical"


def _has_other_data(work: StepContext) -> bool:
    """Return whether other data replace those in place. The version before has left a mark then."""
    return bool(work.plan["data"] or work.journal.kept.get("exchanged"))


def _keep(work: StepContext) -> None:
    """Check that the database accepts changes, and keep what runs as a release."""
    runner = work.runner
    leadership.claim(runner)
    database = find_database(runner, "swarm")
    databases.check_standby(database)
    # If the old version can't use the data any more, the writes since this transaction count.
    work.keep(begun=database.sql(NEXT_TRANSACTION)[0])
    kept_release.make(work)


def _note_failure(work: StepContext) -> None:
    # The dump has secrets that the data lack if somebody has deleted them meanwhile.
    if not work.journal.kept.get("is_dump_kept"):
        kept_release.remove_dump(work)
    kept_release.clean(work)
    kept_release.note_failure(work)


def _close(work: StepContext) -> None:
    if _has_other_data(work) and work.plan["edge"]:
        edges.close(work.runner)


def _close_again(work: StepContext) -> None:
    # Writes from now on are kept, or given up and counted.
    with suppress(RuntimeError):
        _close(work)


def _open(work: StepContext) -> None:
    if _has_other_data(work) and work.plan["edge"]:
        for each in edges.open_all(work.runner):
            work.tell(f"The next run opens the edge of a node: {each}.")


def _pause(work: StepContext) -> None:
    if _has_other_data(work):
        work.keep(paused=True)
        rollout.stop_replicas(work.runner)


def has_paused(journal: TransactionJournal) -> bool:
    """Return whether a change of version got as far as to stop or to replace a replica."""
    return bool(journal.kept.get("paused")) or any(step == _ROLL for _, _, step in journal.log)


def _serve_again(work: StepContext) -> None:
    """Roll the old version out, and check that it can use data that the new one has used."""
    kept = work.journal.kept
    if not has_paused(work.journal):
        return
    if "unusable" not in kept:
        _roll_out_old(work)
        if _has_other_data(work):
            return
        try:
            sentences, has_deleted = proof.check_usable(
                work.runner, proof.plan_of(work), proof.recall(work), work.plan["port"]
            )
        except RuntimeError as error:
            is_judged = to_failure(error).code.partition(".")[0] == "checks"
            if not is_judged or not kept_release.path_of(work, "snapshot/manifest.json").exists():
                raise
            work.keep(unusable=explain(error))
        else:
            if has_deleted:
                release = kept_release.name_of(work)
                sentences = [
                    *sentences,
                    f"the data from before are kept as the release {release}",
                ]
            work.keep(usable=sentences, is_dump_kept=has_deleted)
            return
    _revert(work)


def _revert(work: StepContext) -> None:
    """Replace data that the old version can't use with the dump from before the change."""
    runner, kept = work.runner, work.journal.kept
    database, manifest = databases.find(runner), kept_release.take(work)
    if "aside" not in kept:
        work.keep(aside=databases.free_name(database, kept_release.stamp_of(work)))
    if not databases.is_there(database, kept["aside"]):
        loaded = databases.load(database, work.path("fetched") / "database.dump")
        snapshot.refuse_difference(manifest["rows"], loaded.rows)
        rollout.stop_replicas(runner)
        if "writes" not in kept:  # a killed call may have closed the data
            # Writes since the beginning of the change are only in these data.
            began = datetime.strptime(kept_release.stamp_of(work), "%Y%m%dT%H%M%SZ")
            since = f"{began:%Y-%m-%dT%H:%M:%SZ}"
            work.keep(writes=asdict(databases.count_writes(database, since, kept.get("begun", ""))))
        note = databases.describe_note(WriteNote(**kept["writes"]))
        databases.exchange(database, kept["aside"], note)
    databases.empty_redis(runner)
    _list_given_up(work)
    work.keep(reverted=manifest["at"])
    _roll_out_old(work)
    if not LoopbackClient(work.plan["port"]).answers():
        raise RuntimeError(Failure("checks", "the API does not answer"))


def _list_given_up(work: StepContext) -> None:
    found = list_databases_given_up(databases.find(work.runner), kept_release.stamp_of(work))
    work.keep(given_up=[asdict(each) for each in found])


def _load(work: StepContext) -> None:
    """Load other data next to those in place, or try the new version on a copy of these.

    The copy has no access to any network, and only the host itself can reach it: a version without
    a proof that it isolates services was never public.
    """
    runner = work.runner
    if _has_other_data(work):
        desired = kept_release.take_data(work)
        loaded = databases.load(databases.find(runner), work.path("fetched") / "database.dump")
        work.keep(loaded=loaded.transaction)
        snapshot.refuse_difference(desired["rows"], loaded.rows)
        return
    kept_release.load_copy(work, work.plan["compose"])
    with kept_release.serve_copy(work) as port:
        proof.prove_isolation(runner, proof.plan_of(work), port)
    kept_release.clean(work)


def _unload(work: StepContext) -> None:
    kept_release.clean(work)
    if _has_other_data(work):
        databases.drop(databases.find(work.runner), databases.NEW)


def _swap(work: StepContext) -> None:
    if not _has_other_data(work):
        return
    runner = work.runner
    # Somebody may have started it meanwhile.
    rollout.stop_replicas(runner)
    aside = databases.name_aside(kept_release.stamp_of(work))
    databases.exchange(databases.find(runner), aside)
    databases.empty_redis(runner)
    memory = work.path("fetched") / "workspace.json"
    if memory.exists():
        write(runner.path(_MEMORY), memory.read_bytes())
    work.keep(swapped=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _put_back(work: StepContext) -> None:
    """Bring back the data; those in their place are given up, as they may have been written to."""
    runner, kept = work.runner, work.journal.kept
    stamp, database = kept_release.stamp_of(work), databases.find(runner)
    if _has_other_data(work) and "writes" not in kept:
        with suppress(RuntimeError):  # the database refuses replicas that a node does not stop
            rollout.stop_replicas(runner)
        began = (at for at, _, step in work.journal.log if step == _SWAP)
        since = kept.get("swapped") or next(began)
        noted = databases.count_writes(database, since, kept.get("loaded", ""))
        work.keep(writes=asdict(noted))
    noted = WriteNote(**kept["writes"]) if "writes" in kept else WriteNote()
    databases.take_back(database, databases.name_aside(stamp), stamp, noted)
    memory = kept_release.path_of(work, "workspace.json")
    if memory.exists():
        write(runner.path(_MEMORY), memory.read_bytes())
    _list_given_up(work)


def _roll_out_new(work: StepContext) -> None:
    _roll_out(work.runner, work.plan["stack"], work.plan["part"], work.plan["roll_seconds"])


def _roll_out_old(work: StepContext) -> None:
    plan = work.plan
    _roll_out(work.runner, plan["old_stack"], plan["old_part"], plan["roll_seconds"])


def _roll_out(runner: Runner, text: str, part: str, seconds: float) -> None:
    """Roll out the replicas of a stack.yaml, and wait until all are healthy.

    Args:
        text: the text of stack.yaml.
        part: its text with only the replicas.

    Raises RuntimeError with a Failure, also if Swarm has rolled them back.
    """
    rollout.store(runner, text=text)
    rollout.retry(runner)
    asked = rollout.deploy_part(runner, text=part)
    name = f"{STACK}{_SERVICE}"
    if said := rollout.await_services(runner, seconds=seconds, services=[name]):
        raise RuntimeError(Failure("checks", stack.describe_unhealthy(said)))
    found = services.list_services(runner)[name]
    if found.update.startswith("rollback") and found.hash != asked.get(_SERVICE):
        said = services.explain(runner, service=name)
        raise RuntimeError(
            Failure(
                "checks",
                f"{_SERVICE} did not become healthy, so Swarm restored the previous "
                f"configuration, which serves:\n{said}",
            )
        )


def _keep_logs(work: StepContext) -> None:
    with suppress(RuntimeError, OSError):  # the logs only help to explain the failure
        databases.keep_logs(work.runner, kept_release.failed_log(work))


def _check(work: StepContext) -> None:
    sentences = proof.check_before_opening(
        work.runner,
        proof.plan_of(work),
        proof.recall(work),
        port=work.plan["port"],
        same_data=not _has_other_data(work),
        is_closed=_has_other_data(work),
        other_version=True,
    )
    work.tell(*sentences)


def _connect(work: StepContext) -> None:
    _open(work)
    proof.check_opened(work.runner, proof.plan_of(work).address, proof.recall(work))


def _remove_old(work: StepContext) -> None:
    """Remove the old data, and earlier ones that were given up without a write."""
    database = databases.find(work.runner)
    if "exchanged" in work.journal.kept:
        _open(work)  # the version before opened the edge at this step
    _record(work)
    databases.drop(database, databases.name_aside(kept_release.stamp_of(work)))
    gone, kept = databases.forget_given_up(database)
    work.keep(
        removed=[*work.journal.kept.get("removed", ()), *gone],
        given_up=[asdict(each) for each in kept],
    )
    databases.drop(database, databases.NEW)
    kept_release.clean(work)
    kept_release.forget_notes(work)


def _record(work: StepContext) -> None:
    """Note the replicas in stack.json as a roll-out does, so that they are not rolled out again."""
    runner = work.runner
    try:
        found: dict[str, Any] = json.loads(runner.text(_RECORD) or "")
        recorded = found["services"]
    except (ValueError, KeyError):
        return  # the next roll-out makes it
    now = services.list_services(runner).get(f"{STACK}{_SERVICE}")
    if now and _SERVICE in recorded:
        found["services"][_SERVICE] = {
            "hash": now.hash,
            "rendered": work.plan["rendered"],
            "desired": now.desired,
        }
        write(runner.path(_RECORD), f"{json.dumps(found, indent=2)}\n".encode())


def _as_leader(act: Act) -> Act:
    """Return the step for a host that may have been down: another one may lead since."""

    def acting(work: StepContext) -> None:
        leadership.refuse_former(work.runner)
        act(work)

    return acting


def _step(name: str, do: Act, undo: Act | None = None) -> TransactionStep:
    return TransactionStep(name, _as_leader(do), undo and _as_leader(undo))


_KEEP, _READ = "keep what runs as a release", "read every secret"
_CLOSE, _PAUSE = "close the edge if other data come", "pause Infisical if other data come"
_DUMP, _LOAD = "dump the data", "load them for the new version"
_SWAP, _ROLL = "put other data in place, if any", "roll out the new version"
_CHECK, _CONNECT, _REMOVE = "check the new version", "open it", "remove the old data"


def _read_older(runner: Runner, text: str) -> TransactionJournal | None:
    """Return the journal for `<release> <phase> <image>`, as the version before has written it.

    None on a single host, whose state has the same form.
    """
    if not runner.path(f"{ROOT}/stack.yaml").exists():
        return None
    release, phase, image = text.split()
    steps: dict[str, tuple[Way, str]] = {
        "begun": ("back", _LOAD),
        "paused": ("back", _LOAD),
        "swapping": ("back", _SWAP),
        "swapped": ("forward", _ROLL),
        "backing": ("back", _ROLL),
        "back": ("back", _ROLL),
        "proven": ("forward", _REMOVE),
    }
    way, step = steps[phase]
    # It paused only for other data, and closed the edges before it noted the swap.
    has_other_data = phase == "paused" or runner.path(f"{DIRECTORY}/exchanged").exists()
    kept = {
        **changing.read_older_notes(runner, DIRECTORY, ("loaded", "begun")),
        "exchanged": has_other_data,
        "paused": has_other_data,
        "is_dump_kept": runner.path(f"{RELEASES}/{release}/kept").exists(),
    }
    failure = INTERRUPTED if way == "back" else None
    began = release.partition("-")[0]
    named = [release, image]
    return TransactionJournal("cluster_upgrade", began, step, way, failure, named=named, kept=kept)


TRANSACTION = Transaction(
    "cluster_upgrade",
    DIRECTORY,
    "a change of version",
    (
        _step(_KEEP, _keep, _note_failure),
        _step(_READ, proof.record),
        _step(_CLOSE, _close, _open),
        _step(_PAUSE, _pause, _serve_again),
        _step(_DUMP, kept_release.make_dump),
        _step(_LOAD, _load, _unload),
        _step(_SWAP, _swap, _put_back),
        _step(_ROLL, _roll_out_new, _keep_logs),
        _step(_CHECK, _check),
        _step(_CONNECT, _connect, _close_again),
        _step(_REMOVE, _remove_old),
    ),
    goes_on_from=_ROLL,
    proven_from=_REMOVE,
    read_older=_read_older,
)
