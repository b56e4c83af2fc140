"""Make the files of a snapshot: the dump of Infisical's database and its manifest.

Dump and counts are of the same moment: pg_dump uses the snapshot of the transaction that counts.
`infisical_iac/backup/__init__.py` describes the content of the files.
"""

import json
import re
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from infisical_iac.agent.database import Database, find_database, psql_command
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.files import make_folder, require_space, sync, write
from infisical_iac.agent.keys import key_fingerprint
from infisical_iac.agent.reporting import utc
from infisical_iac.agent.restic import read_variables
from infisical_iac.agent.runner import Failure, Runner, action

_ROOT = "/etc/infisical"
CONFIGURATION = f"{_ROOT}/backup/backup.conf"
_SECONDS = 6 * 3600
_SERVICE = "infisical_infisical"
# Standard output is the dump. Counts and the marks of completion go to standard error, and are kept
# in memory, since the disk may be full.
_DUMP = r"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --username infisical --format custom --compress 0 --lock-wait-timeout 120000 --snapshot "$SNAPSHOT" infisical && echo dumped >&2
\o | cat >&2
SELECT format('SELECT ''rows %1$s '' || count(*) FROM %1$I HAVING count(*) > 0', relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
SELECT 'server ' || split_part(current_setting('server_version'), ' ', 1);
SELECT 'counted';
"""  # noqa: E501
_MARKS = ("dumped", "counted")
# The nodes of a cluster share the database, and each ends only its own sessions.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = left('{session}', 63)
"""


def _refuse(message: str) -> RuntimeError:
    return RuntimeError(Failure("command", message))


def _session() -> str:
    return f"infisical-backup-{socket.gethostname()}"


def end_sessions(runner: Runner) -> None:
    """End the database sessions of a killed run, which would hold their locks for ever."""
    with suppress(RuntimeError):
        database = replace(find_database(runner), session="infisical-end")
        database.sql(_END.format(session=_session()), seconds=30)


@action
def make_dump(runner: Runner, *, folder: str, topology: str = "") -> None:
    """Make the files of a snapshot in `<folder>/snapshot`, and its tags in `<folder>/tags`.

    On a cluster the dump is of the primary, wherever that is. Raises RuntimeError with a Failure.

    Args:
        topology: as for `DockerContainer.belongs_to`.
    """
    place = runner.path(folder)
    make_folder(place)
    database = replace(find_database(runner, topology), session=_session())
    at = utc(time.time())
    (size,) = database.sql("SELECT pg_database_size('infisical')")
    require_space(place, int(size) // 1024 + 65536, "the dump", f"and {folder}")
    dump = place / "database.dump"
    counts = _dump(database, dump)
    tables = _count_tables(database, dump)
    manifest = _describe(database, at, counts, dump, tables)
    _write_tags(place / "tags", manifest)
    sync(dump)
    write(place / "manifest.json", f"{json.dumps(manifest, indent=2)}\n".encode())
    _move_files(runner, place)


@dataclass(frozen=True)
class _Counts:
    """The number of rows of each table that has some, and the version of PostgreSQL."""

    rows: dict[str, int]
    server: str


def _dump(database: Database, dump: Path) -> _Counts:
    """Dump the database to a file. Raises RuntimeError with a Failure."""
    dump.touch(mode=0o600)
    done = database.run_into(dump, psql_command(), stdin=_DUMP, seconds=_SECONDS)
    lines = done.errors.splitlines()
    if sum(each in _MARKS for each in lines) != len(_MARKS):
        reasons = [each for each in lines if not each.startswith(("rows", "server", *_MARKS))]
        last = reasons[-1] if reasons else f"psql ended with status {done.status}"
        raise _refuse(f"the database could not be dumped: {last}")
    rows = filter(None, (re.fullmatch(r"rows (.+) (\d+)", each) for each in lines))
    (server,) = (each.removeprefix("server ") for each in lines if each.startswith("server "))
    return _Counts({each[1]: int(each[2]) for each in rows}, server)


def _count_tables(database: Database, dump: Path) -> int:
    """Return the number of tables with data in a dump, which was read to its end.

    Listing the dump shows its tables, and reading it to the end shows that it is complete. Raises
    RuntimeError with a Failure.
    """
    call = ["docker", "exec", "--interactive", database.container.id, "pg_restore"]
    found = 0
    for words in (["--list"], ["--file", "/dev/null"]):
        done = database.runner.load([*call, *words], dump, seconds=_SECONDS)
        if done.status != 0:
            raise _refuse("the dump of the database can't be read back")
        found += done.text.count(" TABLE DATA ")
    if not found:
        raise _refuse("the dump holds no table")
    return found


def _describe(
    database: Database, at: str, counts: _Counts, dump: Path, tables: int
) -> dict[str, Any]:
    """Return the manifest of a dump."""
    runner = database.runner
    with dump.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return {
        "format": 1,
        "at": at,
        "host": socket.gethostname(),
        "revision": _find_revision(runner),
        "infisical": _describe_image(database),
        "postgresql": {"version": counts.server, "image": database.container.image},
        "encryption_key": key_fingerprint(runner),
        "migrations": counts.rows.get("infisical_migrations", 0),
        "rows": counts.rows,
        "dump": {"sha256": digest, "bytes": dump.stat().st_size, "tables": tables},
    }


def _find_revision(runner: Runner) -> str:
    """Return the version and commit that changed the host last; empty if they are unknown."""
    configuration = runner.text(CONFIGURATION) or ""
    audit = read_variables(configuration, "AUDIT").get("AUDIT", "")
    found = re.findall(r'"revision": "([^"]*)"', runner.text(audit) or "") if audit else []
    return found[-1] if found else ""


def _describe_image(database: Database) -> dict[str, str]:
    """Return the fields of Infisical's image. A node of a cluster need not run it."""
    runner, reference, id = database.runner, "", ""
    if database.is_clustered:
        call = ["docker", "service", "inspect", "--format", "{{json .Spec}}", _SERVICE]
        with suppress(ValueError, KeyError):
            spec = json.loads(runner.run(call).text)
            reference = spec["TaskTemplate"]["ContainerSpec"]["Image"]
    elif container := find_container(runner, "infisical", "single"):
        reference, id = container.image, container.image_id
    # An image may have lost the name by which it was started.
    shown: dict[str, Any] = {}
    if reference:
        call = ["docker", "image", "inspect", "--format", "{{json .}}", id or reference]
        with suppress(ValueError):
            shown = json.loads(runner.run(call).text)
    digests = shown.get("RepoDigests") or [""]
    return {
        "version": reference.partition("@")[0].rpartition(":")[2],
        "image": reference,
        "id": id or shown.get("Id", ""),
        "digest": digests[0],
    }


def _write_tags(path: Path, manifest: dict[str, Any]) -> None:
    tags = {
        "version": manifest["infisical"]["version"],
        "bytes": manifest["dump"]["bytes"],
        "secrets": manifest["rows"].get("secrets_v2", 0),
        "migrations": manifest["migrations"],
        "key": manifest["encryption_key"],
    }
    line = ",".join(["infisical-iac", *(f"{name}={value}" for name, value in tags.items())])
    write(path, f"{line}\n".encode())


def _move_files(runner: Runner, place: Path) -> None:
    """Move the files into the snapshot's folder, and copy those that belong to it."""
    snapshot = place / "snapshot"
    # A call that was repeated after a lost connection makes it again.
    if snapshot.exists():
        shutil.rmtree(snapshot)
    snapshot.mkdir(mode=0o700)
    for name in ("database.dump", "manifest.json"):
        (place / name).rename(snapshot / name)
    sync(snapshot)
    sync(place)
    copied = {"workspace.json": f"{_ROOT}/workspace.json"}
    configuration = runner.text(CONFIGURATION) or ""
    if read_variables(configuration, "WITH_ENCRYPTION_KEY").get("WITH_ENCRYPTION_KEY") == "true":
        copied["encryption_key"] = f"{_ROOT}/keys/encryption_key"
    for name, path in copied.items():
        file = runner.path(path)
        if file.exists() or name == "encryption_key":
            write(snapshot / name, file.read_bytes())
