"""Replace Infisical's database on a cluster, give databases up, and count the writes to them.

PostgreSQL replicates each change from its primary. Databases that somebody may have written to are
never dropped by a change that goes back: they are given up, as databases that are kept, with a note
as their comment.
"""

import time
from functools import partial
from pathlib import Path

from infisical_iac.agent.data import (
    NEXT_TRANSACTION,
    UNKNOWN,
    GivenUp,
    WriteNote,
    count_query,
    forget_unwritten,
    total,
)
from infisical_iac.agent.database import Database, find_database, list_databases_given_up
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.files import lines_without_keys, require_space, write
from infisical_iac.agent.runner import Failure, Output, Runner, to_failure
from infisical_iac.agent.snapshot import (
    COUNT_ROWS,
    LoadedSnapshot,
    estimate_loaded,
    last_line,
    parse_rows,
)

MAIN = "infisical"
# A loaded dump, before it takes the place of the data.
NEW = "infisical_restoring"
_SERVICE = "infisical_infisical"
_IMAGE = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
_REDIS_PASSWORD = "/etc/infisical/keys/redis_password"
# After a boot, the containers start only once the swarm has found its majority.
_FIND_SECONDS = 180
# A change waits until a standby confirms it, maybe forever.
_CHANGE_SECONDS = 600
_LOAD_SECONDS = 2 * 3600
_COUNT_SECONDS = 60
_STANDBY_ATTEMPTS, _STANDBY_PAUSE = 60, 2
_REDIS_SECONDS = 60
_LOG_SECONDS, _LOG_LINES = 30, 200
# An identifier that SQL needs not quote.
_UNQUOTED = "abcdefghijklmnopqrstuvwxyz0123456789_"
_EMPTY = """IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH
for number in 1 2 3; do
    master=$(redis-cli $CLI -h "sentinel-$number" -p 26379 --raw \\
        sentinel get-master-addr-by-name infisical 2>/dev/null | head -n 1)
    test -z "$master" || test OK != "$(redis-cli $CLI -h "$master" flushall)" || exit 0
done
exit 1"""


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


def find(runner: Runner) -> Database:
    """Return the cluster's database, once its primary answers. Raises RuntimeError with a Failure.

    It waits a while: after a boot of the host, the containers start late.
    """
    end = time.monotonic() + _FIND_SECONDS
    while True:
        try:
            database = find_database(runner, "swarm")
            _ask(database, "SELECT 1")
            return database
        except RuntimeError:
            if time.monotonic() >= end:
                raise
        time.sleep(2)


def _ask(database: Database, sql: str) -> list[str]:
    return database.sql(sql, database="postgres", seconds=_CHANGE_SECONDS)


def is_there(database: Database, name: str) -> bool:
    """Return whether a database exists. Raises RuntimeError with a Failure if that is unknown."""
    return bool(_ask(database, f"SELECT 1 FROM pg_database WHERE datname = '{_checked(name)}'"))


def _checked(name: str) -> str:
    assert set(name) <= set(_UNQUOTED), name
    return name


def name_aside(stamp: str) -> str:
    """Return the name of the data that the change `stamp` replaces, in lower case."""
    return f"{MAIN}_before_{stamp}".lower()


def check_standby(database: Database) -> None:
    """Wait for a synchronous standby, without which PostgreSQL completes no change.

    Raises RuntimeError with a Failure if there is none, nor one that is about to catch up.
    """
    query = "SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
    for _ in range(_STANDBY_ATTEMPTS):
        if _ask(database, query):
            return
        time.sleep(_STANDBY_PAUSE)
    raise _refuse(
        "PostgreSQL has no synchronous standby, without which no change completes",
        "bring another data node back first",
    )


def load(database: Database, dump: Path) -> LoadedSnapshot:
    """Load a dump into a database of its own, `NEW`. Raises RuntimeError with a Failure."""
    runner = database.runner
    check_standby(database)
    docker = runner.must_run(["docker", "info", "--format", "{{.DockerRootDir}}"]).strip()
    where = "next to the data on each node, and Docker's disk"
    require_space(runner.path(docker), estimate_loaded(dump), "the snapshot", where)
    drop(database, NEW)
    make = f"CREATE DATABASE {NEW} TEMPLATE template0 OWNER infisical ENCODING 'UTF8'"
    _ask(database, make)
    words = ["pg_restore", "--username", "infisical", "--dbname", NEW]
    words += ["--exit-on-error", "--single-transaction"]
    done = database.load(words, dump, seconds=_LOAD_SECONDS)
    if done.status != 0:
        raise _refuse(f"the dump can't be loaded: {last_line(f'{done.text}{done.errors}')}")
    transaction = database.sql(NEXT_TRANSACTION, database=NEW)[0]
    rows = database.sql(COUNT_ROWS, database=NEW, seconds=_LOAD_SECONDS)
    return LoadedSnapshot(parse_rows(rows), transaction)


def drop(database: Database, name: str) -> None:
    """Drop a database, with the sessions in it, if it exists."""
    quiet = "SET client_min_messages = warning;"
    _ask(database, f"{quiet} DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE)")


def _close(database: Database) -> None:
    """End all sessions of the data. New ones are refused, as Infisical would reconnect at once."""
    _ask(
        database,
        f"""ALTER DATABASE {MAIN} ALLOW_CONNECTIONS false;
        SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE datname = '{MAIN}'""",
    )


def open_main(database: Database) -> None:
    """Accept connections to the data in place again."""
    _ask(database, f"ALTER DATABASE {MAIN} ALLOW_CONNECTIONS true")


_END_SESSIONS = r"""SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = '{name}' \g /dev/null
"""


def _change_places(database: Database, name: str, aside: str, note: str, failed: str) -> None:
    """Rename the data in place to `aside`, and `name` to their name: both or neither.

    Args:
        note: becomes the comment of the former; without it, a comment that is there stays.
        failed: the sentence if it fails; the data in place accept connections then.
    """
    giving_up = ""
    if is_there(database, MAIN):
        _close(database)
        giving_up = f"""ALTER DATABASE {MAIN} RENAME TO {_checked(aside)};
            ALTER DATABASE {aside} ALLOW_CONNECTIONS true;"""
        if note:
            assert "'" not in note
            giving_up += f"COMMENT ON DATABASE {aside} IS '{note}';"
    try:
        _ask(
            database,
            f"""{_END_SESSIONS.format(name=_checked(name))}BEGIN;
            {giving_up}
            ALTER DATABASE {name} RENAME TO {MAIN};
            COMMIT;""",
        )
    except RuntimeError as error:
        if giving_up:
            open_main(database)
        raise _refuse(f"{failed}: {to_failure(error).message}") from None


def exchange(database: Database, aside: str, note: str = "") -> None:
    """Rename the data in place to `aside`, and put the loaded ones in their place.

    A call that was done already does nothing. Raises RuntimeError with a Failure.

    Args:
        note: becomes the comment of the former data.
    """
    if not is_there(database, NEW):
        if is_there(database, aside):
            return
        raise _refuse("no dump has been loaded")
    _change_places(database, NEW, aside, note, "the databases could not be swapped")


def take_back(database: Database, aside: str, stamp: str, noted: WriteNote) -> None:
    """Move the data back from `aside`, if it exists, and drop the loaded ones.

    The data in place may have been written to: they are given up, as those of the change `stamp`. A
    repeated call does what is left. Raises RuntimeError with a Failure.
    """
    if is_there(database, aside):
        name = free_name(database, stamp)
        failed = "the old database could not be moved back"
        _change_places(database, aside, name, describe_note(noted), failed)
    open_main(database)
    drop(database, NEW)


def free_name(database: Database, stamp: str) -> str:
    """Return a free name for data that the change `stamp` gives up.

    A repeated rollback gives up a second database if somebody has written to the old data
    meanwhile.
    """
    name, number = f"{MAIN}_given_up_{stamp}".lower(), 1
    free = name
    while is_there(database, free):
        number += 1
        free = f"{name}_{number}"
    return free


def describe_note(noted: WriteNote) -> str:
    """Return the comment of data that are given up, as `list_databases_given_up` reads it."""
    return " ".join([noted.since, noted.writes, *noted.images])


def count_writes(database: Database, since: str, loaded: str) -> WriteNote:
    """Count the writes to the data in place.

    Args:
        since: the UTC time at which they were put in place.
        loaded: their first transaction since then; empty if unknown.
    """
    image = database.runner.run(
        ["docker", "service", "inspect", "--format", _IMAGE, _SERVICE]
    ).text.strip()
    images = (image,) if image else ()
    try:
        counted = database.sql(count_query(since, loaded), seconds=_COUNT_SECONDS)
    except RuntimeError:
        counted = []
    return WriteNote(since, str(total(counted)) if counted else UNKNOWN, images)


def forget_given_up(database: Database) -> tuple[list[str], list[GivenUp]]:
    """Drop data that were given up and that nobody has written to, after a proven change.

    Only a person can decide on the others. Returns the names of the dropped databases, and the kept
    data.
    """
    return forget_unwritten(list_databases_given_up(database), partial(drop, database))


def empty_redis(runner: Runner) -> None:
    """Remove the queues and caches of Redis, which are worthless for other data.

    Raises RuntimeError with a Failure if no master answers.
    """
    container = find_container(runner, "redis", "swarm")
    done = Output(1)
    if container:
        password = (runner.text(_REDIS_PASSWORD) or "").strip()
        call = ["docker", "exec", "--interactive", container.id, "sh", "-c", _EMPTY]
        done = runner.run(call, stdin=f"{password}\n", seconds=_REDIS_SECONDS)
    if done.status != 0:
        raise _refuse("Redis has no master that answers", "`infisical-iac apply` brings it back")


def keep_logs(runner: Runner, path: str) -> None:
    """Write the last log lines of Infisical to a file, without any secret of this host."""
    call = ["docker", "service", "logs", "--raw", "--tail", str(_LOG_LINES), _SERVICE]
    done = runner.run(call, seconds=_LOG_SECONDS)
    lines = [*done.text.splitlines(), *done.errors.splitlines()]
    text = "".join(f"{line}\n" for line in lines_without_keys(runner, lines))
    write(runner.path(path), text.encode())
