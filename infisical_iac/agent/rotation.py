"""Replace a key of the host by a new one, or put the old one in place again.

/etc/infisical/keys has <key>.next before the switch and <key>.old after it. <key> itself is whole
at every moment.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from infisical_iac.agent import proof, stack
from infisical_iac.agent.database import KEYS, Database, find_accepting, find_database
from infisical_iac.agent.files import hold, remove, remove_leftovers, rename, write
from infisical_iac.agent.journal import (
    StepContext,
    Transaction,
    TransactionJournal,
    TransactionStep,
    Way,
)
from infisical_iac.agent.keys import derive
from infisical_iac.agent.restic import read_variables
from infisical_iac.agent.runner import Failure, Runner, action, explain, failure_of, observation
from infisical_iac.agent.transaction import BACKUP_AT_WORK, INTERRUPTED

DIRECTORY = "/var/lib/infisical-rotation"
_STATE = f"{DIRECTORY}/state"
_BACKUPS = "/var/lib/infisical-backup"
_CONFIGURATION = "/etc/infisical/backup"
_DATABASE_KEY = "postgres_password"
_TEMPORARY = (".new", ".next", ".old")
_NEW_BYTES = 32
_PATIENCE = 600
_START_SECONDS = 120
# The password is the first line of standard input, so that no argument has it.
_LOG_IN = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql "$@"'


@observation
def key_times(runner: Runner) -> dict[str, float]:
    """Return when each key was made, in seconds since the epoch, by its file."""
    folder = runner.path(KEYS)
    return {
        each.name: each.stat().st_mtime
        for each in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if not each.name.startswith(".") and each.suffix not in _TEMPORARY
    }


@dataclass(frozen=True)
class BackupPlaces:
    """Where the host keeps backups that the same password opens.

    Attributes:
        targets: the names of the backup targets.
        others: the files that remember repositories which are no target any more.
    """

    targets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@observation
def backup_places(runner: Runner) -> BackupPlaces:
    """Return where the host keeps backups; nothing if they are not set up."""
    text = runner.text(f"{_CONFIGURATION}/backup.conf")
    if text is None:
        return BackupPlaces()
    targets = read_variables(text, "TARGETS").get("TARGETS", "").split()
    known = set()
    for each in targets:
        found = read_variables(runner.text(f"{_CONFIGURATION}/{each}.conf") or "", "REPOSITORY")
        known.add(sha256(f"{found.get('REPOSITORY', '')}\n".encode()).hexdigest()[:16])
    folder = runner.path(f"{_BACKUPS}/repositories")
    others = sorted(folder.iterdir()) if folder.is_dir() else []
    return BackupPlaces(
        tuple(targets),
        tuple(f"{_BACKUPS}/repositories/{each.name}" for each in others if each.name not in known),
    )


_REPLACES = """
SELECT DISTINCT 'yes' FROM information_schema.columns
WHERE table_name = 'kms_root_config' AND column_name IN ('kekLabel', 'supersededAt')
"""


@observation
def can_replace_encryption_key(runner: Runner) -> bool:
    """Return whether Infisical's database can have a second encryption key."""
    return find_database(runner).sql(_REPLACES) == ["yes"]


def _path(runner: Runner, key: str, which: str = "") -> Path:
    return runner.path(f"{KEYS}/{key}{which}")


@contextmanager
def _hold(runner: Runner) -> Iterator[None]:
    busy = f"another run is using {DIRECTORY} on this host: wait for its end"
    with hold(runner.path(f"{DIRECTORY}/lock"), _PATIENCE, busy):
        yield


def _enter(runner: Runner, key: str, phase: str) -> None:
    write(runner.path(_STATE), f"{key} {phase}\n".encode())


def _current(runner: Runner) -> tuple[str, str]:
    """Return key and phase of the rotation. Raises RuntimeError with a Failure if there is none."""
    words = (runner.text(_STATE) or "").split()
    if len(words) != 2:
        raise RuntimeError(Failure("command", "no rotation is under way"))
    return words[0], words[1]


@action
def prepare(runner: Runner, *, key: str, value: str = "") -> None:
    """Begin a rotation: make the next key, next to the one in use; phase prepared.

    Args:
        value: the next key, for a secret that the user gives; else it is made here.
    """
    with _hold(runner):
        if runner.path(_STATE).exists():
            raise RuntimeError(Failure("command", "another rotation has not ended"))
        if runner.path(_BACKUPS).is_dir():
            # A running backup would lose its database, or lock its repository.
            with hold(runner.path(f"{_BACKUPS}/lock"), _PATIENCE, BACKUP_AT_WORK):
                pass
        _enter(runner, key, "prepared")
        text = f"{value}\n" if value else secrets.token_hex(_NEW_BYTES)
        write(_path(runner, key, ".next"), text.encode())


@action
def switch(runner: Runner) -> None:
    """Put the next key in place, and keep the old one next to it; phase switched."""
    with _hold(runner):
        key, _ = _current(runner)
        _enter(runner, key, "switching")
        _exchange(runner, key, ".next", ".old")
        _enter(runner, key, "switched")


@action
def back(runner: Runner) -> None:
    """Put the old key in place again, and keep the new one next to it; phase back.

    A cluster's database has the new password until it gets the old one again.
    """
    with _hold(runner):
        key, _ = _current(runner)
        _enter(runner, key, "backing")
        _exchange(runner, key, ".old", ".next")
        _enter(runner, key, "back")


def _exchange(runner: Runner, key: str, from_: str, to: str) -> None:
    """Put the key `from_` in place, if there is one, and keep the one in place as `to`."""
    if _path(runner, key, from_).exists():
        write(_path(runner, key, to), _path(runner, key).read_bytes())
        rename(_path(runner, key, from_), _path(runner, key))


@action
def end(runner: Runner) -> None:
    """End the rotation, and remove the key that is not in place."""
    with _hold(runner):
        key, phase = _current(runner)
        if phase == "switched":
            _enter(runner, key, "proven")
        elif phase not in ("prepared", "back", "proven"):
            raise RuntimeError(
                Failure("command", f"the rotation is in phase {phase}, and can't end yet")
            )
        _retire(runner, key)
        remove(runner.path(_STATE))


def _retire(runner: Runner, key: str) -> None:
    for which in (".next", ".old"):
        remove(_path(runner, key, which))
    remove_leftovers(runner.path(KEYS))


@action
def alter(runner: Runner) -> None:
    """Give PostgreSQL the password that is in place, and prove that it works."""
    with _hold(runner):
        if _is_cluster(runner):
            database, server = find_accepting(find_database(runner)), "haproxy"
        else:
            database, server = _start_database(runner), "postgres"
        give_password(runner, database, server)


def _is_cluster(runner: Runner) -> bool:
    return runner.run(["docker", "service", "inspect", "infisical_infisical"]).status == 0


def _start_database(runner: Runner) -> Database:
    """Start PostgreSQL on a single host, if it does not run, and return it once it answers."""
    try:
        database = find_database(runner, "single")
    except RuntimeError:
        others = [each for each in stack.list_services(runner) if each != "postgres"]
        stack.up(runner, without=others)
        database = find_database(runner, "single")
    end_at = time.monotonic() + _START_SECONDS
    ready = ["pg_isready", "--quiet", "--username", "infisical", "--host", "127.0.0.1"]
    while database.run(ready).status != 0 and time.monotonic() < end_at:
        time.sleep(0.5)
    return database


def give_password(runner: Runner, database: Database, server: str) -> None:
    """Set the password of Infisical at PostgreSQL to the one in place; log in with it.

    Args:
        server: the name by which the containers reach PostgreSQL.

    Raises RuntimeError with a Failure.
    """
    password = (runner.text(f"{KEYS}/{_DATABASE_KEY}") or "").strip()
    try:
        database.set_password("infisical", password)
    except RuntimeError as error:
        raise RuntimeError(
            Failure("command", f"PostgreSQL does not accept the new password: {explain(error)}")
        ) from None
    query = ["--no-psqlrc", "--username", "infisical", "--dbname", "infisical", "--host", server]
    words = ["docker", "exec", "--interactive", database.container.id, "sh", "-c", _LOG_IN, "sh"]
    done = runner.run([*words, *query, "--command", "SELECT 1"], stdin=f"{password}\n")
    if done.status != 0:
        reason = failure_of(done.errors).args[0].message
        raise RuntimeError(
            Failure("command", f"PostgreSQL does not know its new password: {reason}")
        )


# The single host's rotation. The operator's side does these steps for the license.
READ = "read every secret"
CHECK = "check that Infisical works as before"


def _make_next(work: StepContext) -> None:
    """Make the next key; that of a secret that the user gives was handed in before."""
    runner, key = work.runner, work.plan["key"]
    if not work.plan["given"]:
        write(_path(runner, key, ".next"), secrets.token_hex(_NEW_BYTES).encode())
    elif not _path(runner, key, ".next").exists():
        raise RuntimeError(Failure("command", f"there is no {KEYS}/{key}.next"))


def _put_next_in_place(work: StepContext) -> None:
    _exchange(work.runner, work.plan["key"], ".next", ".old")


def _put_old_in_place(work: StepContext) -> None:
    _exchange(work.runner, work.plan["key"], ".old", ".next")
    _use(work)


def _use(work: StepContext) -> None:
    """Give the key that is in place to everything that uses it."""
    derive(work.runner)
    if work.plan["key"] == _DATABASE_KEY:
        give_password(work.runner, _start_database(work.runner), "postgres")
    stack.start(work.runner, seconds=work.plan["timeout"])


def _check(work: StepContext) -> None:
    before = proof.recall(work)
    sentences = proof.check_as_before(
        work.runner, proof.plan_of(work), before, port=work.plan["port"], same_data=True
    )
    work.tell(*sentences)


def _retire_other(work: StepContext) -> None:
    _retire(work.runner, work.plan["key"])


@action
def hand_in(runner: Runner, *, key: str, value: str) -> None:
    """Store the next value of a secret that the user gives, before its rotation begins."""
    write(_path(runner, key, ".next"), f"{value}\n".encode())


@action
def take_back(runner: Runner, *, key: str) -> None:
    """Remove a value that was handed in, unless its rotation has begun."""
    with _hold(runner):
        if not runner.path(_STATE).exists():
            remove(_path(runner, key, ".next"))


def _read_older(_: Runner, text: str) -> TransactionJournal:
    """Return the journal for `<key> <phase>`, as the version before has written it."""
    key, phase = text.split()
    steps: dict[str, tuple[Way, str]] = {
        "prepared": ("back", _NEXT),
        "switching": ("forward", _SWITCH),
        "switched": ("forward", _SWITCH),
        "backing": ("back", _SWITCH),
        "back": ("back", _SWITCH),
        "proven": ("forward", _RETIRE),
    }
    way, step = steps[phase]
    failure = INTERRUPTED if way == "back" else None
    return TransactionJournal("rotation", "", step, way, failure, named=[key])


_NEXT, _SWITCH, _USE = "make the next key", "put the next key in place", "have it used everywhere"
_RETIRE = "retire the old key"

TRANSACTION = Transaction(
    "rotation",
    DIRECTORY,
    "a rotation of a key",
    (
        TransactionStep(READ, proof.record),
        TransactionStep(_NEXT, _make_next, _retire_other),
        TransactionStep(_SWITCH, _put_next_in_place, _put_old_in_place),
        TransactionStep(_USE, _use),
        TransactionStep(CHECK, _check),
        TransactionStep(_RETIRE, _retire_other),
    ),
    goes_on_from=_SWITCH,
    proven_from=_RETIRE,
    read_older=_read_older,
)
