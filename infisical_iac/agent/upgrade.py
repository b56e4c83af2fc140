"""Change the version of Infisical or PostgreSQL on a single host, or go back to a release.

While the old version serves, the data are dumped, and the new version has to pass its checks on
a copy of them. Only then Infisical pauses: the new data are put in place of the old ones, and the
new version starts on them. They are a copy of the files, most of which was made before the pause;
another major version of PostgreSQL and the data of a release need a dump that is loaded instead.
Until the new version has passed its checks once more, it is not connected, the edge is closed, and
the old volume is kept unchanged.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from infisical_iac.agent import (
    changing,
    data,
    docker,
    kept_release,
    proof,
    releases,
    secret_export,
    stack,
    volume_copy,
)
from infisical_iac.agent.data import MAIN
from infisical_iac.agent.files import remove, write
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    Way,
)
from infisical_iac.agent.kept_release import DIRECTORY, PROJECT
from infisical_iac.agent.runner import Failure, Runner, explain
from infisical_iac.agent.transaction import INTERRUPTED

_ROOT = "/etc/infisical"
_COMPOSE, _MEMORY = f"{_ROOT}/compose.yaml", f"{_ROOT}/workspace.json"
_NEW = f"{PROJECT}_postgres"
# Every secret, of a rollback that brings them over.
_EXPORT = "secrets.json"


def _name_aside(work: StepContext) -> str:
    return f"{MAIN}_before_{kept_release.stamp_of(work)}"


def _note_failure(work: StepContext) -> None:
    """Note when the change failed, and remove its dump: the data themselves are in use again."""
    kept_release.remove_dump(work)
    kept_release.note_failure(work)


def _rehearse(work: StepContext) -> None:
    """Check the new version on a copy of the data, which only this host reaches."""
    _load(work, work.plan["rehearsal"])
    with kept_release.serve_copy(work) as port:
        passed = proof.check_before_opening(
            work.runner,
            proof.plan_of(work),
            proof.recall(work),
            port=port,
            same_data=not work.plan["data"],
            is_closed=False,
            other_version=True,
        )
    work.tell(*passed)
    kept_release.clean(work)


def _prepare(work: StepContext) -> None:
    """Prepare the new data as far as that can be done while the old version serves."""
    if work.plan["copies"]:
        volume_copy.begin_copy(work.runner, _NEW, PROJECT)


def _pause(work: StepContext) -> None:
    if work.plan.get("bring_writes"):
        place = proof.open_place(work.runner, proof.plan_of(work), work.plan["port"])
        secret_export.export(place, work.path(_EXPORT))
    data.stop(work.runner, "infisical")


def _serve_again(work: StepContext) -> None:
    """Start what ran before, and wait until it is healthy."""
    remove(work.path(_EXPORT))
    if not work.runner.path(_COMPOSE).exists():  # a host whose change an earlier version began
        _bring_back(work, _COMPOSE)
    stack.start(work.runner, seconds=work.plan["timeout"])


def _complete(work: StepContext) -> None:
    """Complete the new data, now that nobody writes any more."""
    if work.plan["copies"]:
        work.keep(loaded=data.next_transaction(work.runner))
        data.stop(work.runner, "postgres")
        volume_copy.complete_copy(work.runner, _NEW)
    else:
        kept_release.make_dump(work)
        _load(work, work.plan["compose"])


def _load(work: StepContext, compose: str) -> None:
    """Load the dump of the data next to them; with `data` in the plan, that of another release."""
    work.keep(loaded=kept_release.load_copy(work, compose).transaction)


def _swap(work: StepContext) -> None:
    runner = work.runner
    # Redis has nothing to replace, unless the data are of another time.
    data.stop(runner, *(data.SERVICES if work.plan["data"] else ("infisical", "postgres")))
    if "started" not in work.journal.kept:
        work.keep(started=data.started(runner))
    data.put_in_place(runner, _NEW, _name_aside(work))
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
    runner, release, stamp = work.runner, kept_release.name_of(work), kept_release.stamp_of(work)
    note = changing.note_writes(work, _SWAP, log=kept_release.failed_log(work))
    data.stop(runner, *data.SERVICES)
    data.take_back(runner, _name_aside(work), stamp, note)
    for path in (_COMPOSE, _MEMORY):
        _bring_back(work, path)
    releases.reset(runner, release=release)
    # Compose would start one that is not connected as it is.
    data.remove_container(runner, "infisical")
    work.keep(given_up=[asdict(each) for each in data.list_given_up(runner, stamp)])


def _bring_back(work: StepContext, path: str) -> None:
    """Bring back a file of the release, if that has it."""
    file = kept_release.path_of(work, Path(path).name)
    if file.exists():
        write(work.runner.path(path), file.read_bytes())


def _check(work: StepContext) -> None:
    """Start the new version with its internal networks alone, and check it.

    So it reaches nothing but its databases, and only this host reaches it.
    """
    runner, seconds = work.runner, work.plan["timeout"]
    created = stack.create(runner)
    databases = [created.pop("postgres"), created.pop("redis")]
    stack.start_created(runner, *databases, seconds=seconds)
    if work.plan["other_postgres"]:
        data.follow_collations(runner)
    outside = stack.find_outside(runner, created["infisical"])
    # Noted before they are disconnected: a killed run leaves a container that lacks them.
    work.keep(networks={**work.journal.kept.get("networks", {}), **outside})
    stack.disconnect(runner, created["infisical"], outside)
    stack.start_created(runner, *created.values(), seconds=seconds)
    port = stack.forward_port(runner)
    sentences = proof.check_before_opening(
        runner,
        proof.plan_of(work),
        proof.recall(work),
        port=port,
        same_data=not work.plan["data"],
        is_closed=work.plan["edge"],
        other_version=False,
    )
    work.tell(*sentences)
    if work.path(_EXPORT).exists():
        work.tell(*_bring_writes(work, port))


def _bring_writes(work: StepContext, port: int) -> list[str]:
    try:
        place = proof.open_place(work.runner, proof.plan_of(work), port)
    except RuntimeError as error:  # older data may not know the deployer
        return [f"No secret was brought over: {explain(error)}"]
    return secret_export.bring(place, work.path(_EXPORT))


def _end_check(work: StepContext) -> None:
    stack.close_port(work.runner, docker.PROJECT)


def _connect(work: StepContext) -> None:
    """Connect the new version, open the edge, and check the public address."""
    stack.connect(work.runner, "infisical", work.journal.kept.get("networks", {}))
    _end_check(work)
    changing.open_edge(work)
    proof.check_opened(work.runner, proof.plan_of(work).address, proof.recall(work))


def _remove_old(work: StepContext) -> None:
    """Remove the old data, and earlier ones that were given up without a write."""
    remove(work.path(_EXPORT))
    data.remove_volume(work.runner, _name_aside(work))
    gone, kept = data.forget_given_up(work.runner)
    work.keep(removed=gone, given_up=[asdict(each) for each in kept])
    kept_release.clean(work)
    kept_release.forget_notes(work)


_KEEP, _READ = "keep what runs as a release", "read every secret"
_DUMP, _REHEARSE = "dump the data", "check the new version on a copy of the data"
_PREPARE, _CLOSE = "prepare the new data", "close the edge"
_PAUSE, _COMPLETE = "pause Infisical", "complete the new data"
_SWAP, _CHECK = "put the new data in place", "start and check the new version, closed"
_CONNECT, _REMOVE = "open it", "remove the old data"


def has_paused(journal: TransactionJournal) -> bool:
    """Return whether a change of version got as far as to stop Infisical."""
    return any(step == _PAUSE for _, _, step in journal.log)


def _read_older(runner: Runner, text: str) -> TransactionJournal | None:
    """Return the journal for `<release> <phase> <image>`, as the version before has written it.

    None on the leader of a cluster, whose state has the same form.
    """
    if runner.path(f"{_ROOT}/stack.yaml").exists():
        return None
    release, phase, image = text.split()
    steps: dict[str, tuple[Way, str]] = {
        "begun": ("back", _COMPLETE),
        "paused": ("back", _COMPLETE),
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
    named, kept = [release, image], changing.read_older_notes(runner, DIRECTORY)
    return TransactionJournal("upgrade", began, step, way, failure, named=named, kept=kept)


TRANSACTION = Transaction(
    "upgrade",
    DIRECTORY,
    "a change of version",
    (
        TransactionStep(_KEEP, kept_release.make, _note_failure),
        TransactionStep(_READ, proof.record),
        TransactionStep(_DUMP, kept_release.make_dump, kept_release.remove_dump),
        TransactionStep(_REHEARSE, _rehearse, kept_release.clean),
        TransactionStep(_PREPARE, _prepare, kept_release.clean),
        TransactionStep(_CLOSE, changing.close_edge, changing.open_edge),
        TransactionStep(_PAUSE, _pause, _serve_again),
        TransactionStep(_COMPLETE, _complete),
        TransactionStep(_SWAP, _swap, _put_back),
        TransactionStep(_CHECK, _check, _end_check),
        TransactionStep(_CONNECT, _connect, changing.close_edge),
        TransactionStep(_REMOVE, _remove_old),
    ),
    goes_on_from=_CHECK,
    proven_from=_REMOVE,
    read_older=_read_older,
)
