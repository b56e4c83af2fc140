"""Replace the data of PostgreSQL on a single host, give data up, and count the writes to them.

The data are the Docker volume MAIN. Data that a container may have written to are never removed by
a change that goes back: they are given up, as a volume that is kept, with notes in its labels.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from infisical_iac.agent.docker import (
    PROJECT,
    DockerContainer,
    DockerVolume,
    list_containers,
    list_volumes,
    read_log,
    remove_containers,
)
from infisical_iac.agent.files import lines_without_keys, rename, write
from infisical_iac.agent.runner import Failure, Output, Runner

MAIN = "infisical_postgres"
REDIS = "infisical_redis"
_PROJECT_LABEL = "com.docker.compose.project"
_OURS = f"label={_PROJECT_LABEL}={PROJECT}"
_OF_POSTGRES = "com.docker.compose.volume=postgres"
# The services that stop while data are replaced; Caddy goes on, and answers with 503.
SERVICES = ("infisical", "postgres", "redis")
_GIVEN_UP = f"{MAIN}_given_up_"
# The labels of given up data.
_SINCE, _WRITES, _IMAGES = (f"infisical-iac.{each}" for each in ("since", "writes", "images"))
UNKNOWN = "unknown"
# Longer than the longest time to stop in compose.yaml.
_STOP_SECONDS = 300
_COUNT_SECONDS = 60


@dataclass(frozen=True)
class GivenUp:
    """Data that were in use until a rollback brought earlier data back.

    Attributes:
        name: their Docker volume, or their database on a cluster.
        since: the time from which they were in use; empty if unknown.
        writes: the number of writes to them since then; None if unknown.
        images: the images of Infisical and PostgreSQL that used them; empty if unknown.
    """

    name: str
    since: str = ""
    writes: int | None = None
    images: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return `Docker volume` or `database`, for messages."""
        # No database of a cluster begins with the name of the volume.
        return "Docker volume" if self.name.startswith(MAIN) else "database"

    @property
    def is_needed(self) -> bool:
        """Return whether the data may hold writes that are nowhere else."""
        return self.writes != 0

    @property
    def _subject(self) -> str:
        """Return the subject of a sentence: the number of writes, in words."""
        since = f" since {self.since}" if self.since else ""
        if self.writes is None:
            return f"an unknown number of writes{since}"
        if self.writes == 0:
            return f"data that were given up, with no write{since},"
        return f"{self.writes} write{'s' if self.writes > 1 else ''}{since}"

    def describe(self) -> str:
        """Return a clause on the writes and their place."""
        verb = "is" if self.writes == 1 else "are"
        return f"{self._subject} {verb} in the {self.kind} {self.name}"


def given_up_of(name: str, since: str, writes: str, *images: str) -> GivenUp:
    """Return the data of a name by their note, each word of which may be `unknown` or empty."""
    known = "" if since == UNKNOWN else since
    return GivenUp(name, known, int(writes) if writes.isdecimal() else None, images)


def our_containers(runner: Runner) -> list[DockerContainer]:
    """Return the containers of the Compose project. Raises RuntimeError with a Failure."""
    return list_containers(runner, _OURS)


def of_service(runner: Runner, service: str) -> DockerContainer | None:
    """Return the container of a service, None without one. Raises RuntimeError with a Failure."""
    found = list_containers(runner, _OURS, f"label=com.docker.compose.service={service}")
    return found[0] if found else None


def stop(runner: Runner, *services: str) -> None:
    """Stop the containers of these services, or all; each gets the time that compose.yaml sets."""
    found = our_containers(runner)
    ids = [each.id for each in found if not services or each.service in services]
    if ids:
        runner.must_run(["docker", "stop", *ids], seconds=_STOP_SECONDS)


def remove_container(runner: Runner, service: str) -> None:
    """Remove the container of a service, if there is one. Raises RuntimeError with a Failure."""
    if found := of_service(runner, service):
        runner.must_run(["docker", "rm", "--force", found.id])


def find_volume(runner: Runner, name: str) -> DockerVolume | None:
    """Return a volume, None without it.

    Raises RuntimeError with a Failure if Docker does not answer: the volume may exist then.
    """
    return next((each for each in list_volumes(runner, name) if each.name == name), None)


def place_of(runner: Runner, volume: DockerVolume) -> Path:
    """Return the folder of a volume. Raises RuntimeError with a Failure if Docker names none."""
    if not volume.place:
        raise RuntimeError(
            Failure("command", f"Docker does not report where the volume {volume.name} is")
        )
    return runner.path(volume.place)


def holds(runner: Runner, name: str) -> bool:
    """Return whether a volume has content. Raises RuntimeError or OSError if that is unknown."""
    volume = find_volume(runner, name)
    if volume is None:
        return False
    place = place_of(runner, volume)
    return place.is_dir() and any(place.iterdir())


def put_in_place(runner: Runner, new: str, aside: str) -> None:
    """Move the data aside, into a new volume, and the data of the volume `new` into their place.

    The containers must be stopped. A repeated call does what is left.

    Args:
        aside: empty on a host without data, which gets a volume as Compose makes it.
    """
    if aside and holds(runner, MAIN) and not holds(runner, aside):
        _put_aside(runner, aside, {})
    if not find_volume(runner, MAIN):
        labels = ("--label", _OURS.removeprefix("label="), "--label", _OF_POSTGRES)
        runner.must_run(["docker", "volume", "create", *labels, MAIN])
    if holds(runner, new):
        _move(runner, new, MAIN)


def create_volume(
    runner: Runner, name: str, project: str = PROJECT, labels: Mapping[str, str] = {}
) -> None:
    """Create a volume of a Compose project, with labels, unless it exists."""
    all_labels = {_PROJECT_LABEL: project, **labels}
    words = [word for each in all_labels.items() for word in ("--label", "=".join(each))]
    runner.must_run(["docker", "volume", "create", *words, name])


def remove_data(runner: Runner, stamp: str, noted: "WriteNote") -> None:
    """Give up the data in place, and remove the containers and their volume: there were no data."""
    give_up(runner, stamp, noted)
    remove_containers(runner, _OURS)
    remove_volume(runner, MAIN)


def _put_aside(runner: Runner, name: str, labels: Mapping[str, str]) -> None:
    create_volume(runner, name, labels=labels)
    _move(runner, MAIN, name)


def _move(runner: Runner, name: str, to: str) -> None:
    """Move the data of a volume to another one in one step, so that they are in one of the two."""
    found = {each.name: each for each in list_volumes(runner, "")}
    missing = {name, to} - found.keys()
    if missing:
        raise RuntimeError(Failure("command", f"Docker has no volume {missing.pop()}"))
    rename(place_of(runner, found[name]), place_of(runner, found[to]))


def take_back(runner: Runner, aside: str, stamp: str, noted: "WriteNote") -> None:
    """Move the data back from the volume `aside`, if it has any, and remove that volume.

    The data in place may have received writes: they are given up, as those of the change `stamp`.
    """
    if holds(runner, aside):
        give_up(runner, stamp, noted)
        _move(runner, aside, MAIN)
    remove_volume(runner, aside)


def give_up(runner: Runner, stamp: str, noted: "WriteNote") -> None:
    """Move the data in place into a volume that is kept, named after the change `stamp`."""
    if not holds(runner, MAIN):
        return
    name, number = f"{_GIVEN_UP}{stamp}", 1
    # A container that starts between two runs of a rollback makes a second one.
    while holds(runner, name):
        number += 1
        name = f"{_GIVEN_UP}{stamp}_{number}"
    labels = {_SINCE: noted.since, _WRITES: noted.writes, _IMAGES: " ".join(noted.images)}
    _put_aside(runner, name, labels)


def remove_volume(runner: Runner, name: str) -> None:
    """Remove a volume if it exists. Raises RuntimeError with a Failure."""
    if find_volume(runner, name):
        runner.must_run(["docker", "volume", "rm", name])


def list_given_up(runner: Runner, stamp: str = "") -> list[GivenUp]:
    """Return the data that were given up, or those of the change `stamp`."""
    return [
        given_up_of(
            each.name,
            each.labels.get(_SINCE, ""),
            each.labels.get(_WRITES, ""),
            *each.labels.get(_IMAGES, "").split(),
        )
        for each in list_volumes(runner, f"{_GIVEN_UP}{stamp}")
    ]


def forget_given_up(runner: Runner) -> tuple[list[str], list[GivenUp]]:
    """Remove data that were given up and that nobody has written to, after a proven change.

    Only a person can decide on the others. Returns the names of the removed volumes, and the kept
    data.
    """
    return forget_unwritten(list_given_up(runner), partial(remove_volume, runner))


def forget_unwritten(
    found: Sequence[GivenUp], remove: Callable[[str], None]
) -> tuple[list[str], list[GivenUp]]:
    """Remove the data of `found` that nobody has written to; return their names, and the others."""
    gone = [each.name for each in found if each.writes == 0]
    for name in gone:
        remove(name)
    return gone, [each for each in found if each.name not in gone]


def empty_redis(runner: Runner) -> None:
    """Remove the queues and caches of Redis, which are worthless for other data."""
    volume = find_volume(runner, REDIS)
    place = place_of(runner, volume) if volume else None
    for each in place.iterdir() if place and place.is_dir() else ():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


@dataclass(frozen=True)
class WriteNote:
    """A note on the data in place before they are given up.

    Attributes:
        since: the UTC time at which they were put in place.
        writes: the number of writes since then, or `unknown`.
        images: the images of Infisical and PostgreSQL that used them.
    """

    since: str = UNKNOWN
    writes: str = UNKNOWN
    images: tuple[str, ...] = ()


def started(runner: Runner) -> str:
    """Return the id of PostgreSQL's container and its last start; empty if it never started."""
    found = of_service(runner, "postgres")
    return f"{found.id} {found.started_at}" if found else ""


def count_writes(runner: Runner, since: str, *, loaded: str, before: str) -> WriteNote:
    """Count the writes to the data in place; Infisical must be stopped.

    Args:
        since: when they were put in place.
        loaded: the first transaction after their load; empty if unknown.
        before: what `started` returned before they were put in place.
    """
    used = [of_service(runner, each) for each in ("infisical", "postgres")]
    images = tuple(each.image for each in used if each)
    database = used[1]
    if before and database and f"{database.id} {database.started_at}" == before:
        return WriteNote(since, "0", images)
    counted: Output | None = None
    if database:
        query = count_query(since, loaded)
        with suppress(RuntimeError):
            counted = runner.run(_psql(database), stdin=query, seconds=_COUNT_SECONDS)
    if counted is None or not counted.lines:
        return WriteNote(since, UNKNOWN, images)
    return WriteNote(since, str(total(counted.lines)), images)


def _psql(database: DockerContainer) -> list[str]:
    words = ["docker", "exec", "--interactive", database.id, "psql", "--no-psqlrc"]
    words += ["--username", "infisical", "--dbname", "infisical", "--quiet", "--tuples-only"]
    return [*words, "--no-align", "--set", "ON_ERROR_STOP=1"]


def next_transaction(runner: Runner) -> str:
    """Return the first transaction that may end from now on; empty if the database is stopped."""
    database = of_service(runner, "postgres")
    if database is None or not database.is_running:
        return ""
    return runner.must_run(_psql(database), stdin=NEXT_TRANSACTION).strip()


def follow_collations(runner: Runner) -> None:
    """Rebuild the indexes if PostgreSQL's image sorts text in another way than the one before.

    Such an index would miss rows (https://wiki.postgresql.org/wiki/Locale_data_changes).
    """
    database = of_service(runner, "postgres")
    if database and runner.must_run(_psql(database), stdin=_OTHER_COLLATION).strip():
        runner.must_run(_psql(database), stdin=_REBUILD, seconds=_REBUILD_SECONDS)


# PostgreSQL notes the version since its version 15.
_OTHER_COLLATION = """
SELECT current_setting('server_version_num')::int >= 150000 AS noted \\gset
\\if :noted
SELECT 'other' FROM pg_database WHERE datname = current_database()
    AND datcollversion <> pg_database_collation_actual_version(oid);
\\endif
"""
_REBUILD = "REINDEX DATABASE infisical; ALTER DATABASE infisical REFRESH COLLATION VERSION;"
_REBUILD_SECONDS = 3600
# It prints the first transaction that may end from now on.
NEXT_TRANSACTION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid"
# In these tables a login notes its time, so that only new and revoked rows count.
_OF_LOGINS = "^(users|memberships|(identity_)?org_memberships|identity_ua_client_secrets)$"
# Each query counts the rows of a table that are newer than the time SINCE:
#
# - Tables that are written to when somebody only reads are left out, such as logins and their log.
# - Tables whose writes are counted elsewhere are left out: each write of a secret or a folder makes
#   a version, but its removal makes none.
# - Deletions count in tables from which the server itself deletes nothing.
#
# A second number counts the rows that the transaction LOADED or a later one wrote, whatever the
# clocks said then.
_QUERIES = rf"""
SELECT format('SELECT count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s) FROM %I',
    string_agg(format('%I > ''SINCE''', column_name), ' OR '),
    CASE WHEN 'LOADED' = '' OR table_name ~ '{_OF_LOGINS}'
    THEN 'false' ELSE 'age(xmin) <= age(''LOADED''::xid)' END,
    table_name)
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_type = 'BASE TABLE' AND table_schema = 'public' AND data_type LIKE 'timestamp%'
    AND column_name IN ('createdAt', 'updatedAt', 'created_at', 'updated_at')
    AND table_name !~ '^(audit_log|auth_token|identity_access_tokens$|infisical_migrations)'
    AND table_name !~
        '^(secrets_v2$|secret_folders$|secret_snapshot|folder_commit|folder_.*checkpoint)'
    AND NOT (column_name IN ('updatedAt', 'updated_at') AND table_name ~ '{_OF_LOGINS}')
GROUP BY table_name
\gexec
SELECT format('SELECT count(*) FROM %I WHERE %I AND "updatedAt" > ''SINCE''',
    table_name, column_name)
FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'boolean' AND column_name ~ '^is.*Revoked$'
    AND table_name ~ '^(identity_access_tokens|identity_ua_client_secrets)$'
\gexec
SELECT n_tup_del FROM pg_stat_user_tables
WHERE relname ~ '^(secrets_v2|secret_(folders|imports)|projects|project_environments)$'
    OR relname ~ '^(users|groups|identities|memberships)$';
"""
_TRANSACTION = re.compile(r"\d+")


def count_query(since: str, loaded: str) -> str:
    """Return the queries for psql that count the writes; `total` adds up their answers."""
    datetime.fromisoformat(since)
    assert not loaded or _TRANSACTION.fullmatch(loaded)
    return _QUERIES.replace("SINCE", since).replace("LOADED", loaded)


def total(lines: Sequence[str]) -> int:
    """Return the number of writes in the answers.

    If the clock was set back, each write looks older than the data: then transactions are counted.
    """
    pairs = [(*map(int, line.split("|")), 0)[:2] for line in lines if line]
    return sum(each for each, _ in pairs) or sum(each for _, each in pairs)


def keep_logs(runner: Runner, path: str, project: str = PROJECT) -> None:
    """Write the last log lines of a Compose project to a file, without any secret of this host."""
    lines: list[str] = []
    for each in list_containers(runner, f"label={_PROJECT_LABEL}={project}"):
        lines.append(f"== {each.name} {each.image} {each.status}")
        lines += read_log(runner, each.id, "--tail", "200")
    text = "".join(f"{line}\n" for line in lines_without_keys(runner, lines))
    write(runner.path(path), text.encode())
