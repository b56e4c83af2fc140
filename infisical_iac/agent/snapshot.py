"""Fetch and load a snapshot next to the live instance, in a directory of its own.

The directory has the Compose file of the project that the snapshot is loaded into, and while it is
used the snapshot's files in `fetched`. The actions hold the directory's lock, as a step that was
started over a lost connection may still run.
"""

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from infisical_iac.agent import restic
from infisical_iac.agent.data import NEXT_TRANSACTION
from infisical_iac.agent.database import psql_command
from infisical_iac.agent.docker import DockerContainer, list_containers, read_log
from infisical_iac.agent.files import hold, lines_without_keys, require_space
from infisical_iac.agent.keys import key_fingerprint
from infisical_iac.agent.runner import Failure, Runner, action
from infisical_iac.agent.stack import close_port, run_compose

_LOCK_SECONDS = 600
_LOAD_SECONDS = 6 * 3600
COUNT_ROWS = r"""
ANALYZE;
SELECT format('SELECT ''%1$s '' || count(*) FROM %1$I HAVING count(*) > 0', relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
"""


@dataclass(frozen=True)
class FetchedSnapshot:
    """A fetched snapshot: its manifest's text, and the fingerprint of this host's key."""

    key: str
    manifest: str


@dataclass(frozen=True)
class LoadedSnapshot:
    """A loaded snapshot: the number of rows of each table, and the first transaction after it."""

    rows: dict[str, int]
    transaction: str


@dataclass(frozen=True)
class SnapshotPlace:
    """Where a snapshot is fetched to, loaded and started.

    Attributes:
        directory: the directory of its files.
        project: the Compose project, which has the data in its volume.
        seconds: how long the containers may take to become healthy.
        variables: the file with Compose's variables; empty for those of the live instance.
    """

    directory: str
    project: str
    seconds: int = 0
    variables: str = ""


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


def _hold(runner: Runner, directory: str) -> Any:
    busy = f"another run is using {directory} on this host: wait for its end"
    return hold(runner.path(f"{directory}/lock"), _LOCK_SECONDS, busy)


def remove_fetched(runner: Runner, directory: str) -> Path:
    """Remove the fetched files, and return their path."""
    fetched = runner.path(f"{directory}/fetched")
    # A change of version links it to a release.
    if fetched.is_symlink():
        fetched.unlink()
    elif fetched.exists():
        shutil.rmtree(fetched)
    return fetched


@action
def fetch_snapshot(
    runner: Runner, *, directory: str, target: str, snapshot: str
) -> FetchedSnapshot:
    """Fetch a snapshot as `fetch` does."""
    with _hold(runner, directory):
        return fetch(runner, directory=directory, target=target, snapshot=snapshot)


def fetch(runner: Runner, *, directory: str, target: str, snapshot: str) -> FetchedSnapshot:
    """Fetch the files of a snapshot into `fetched`, and compare them with its manifest.

    Raises RuntimeError with a Failure.
    """
    fetched = remove_fetched(runner, directory)
    fetched.mkdir(parents=True, mode=0o700)
    restic.fetch(runner, target, snapshot, str(fetched))
    manifest, dump = fetched / "manifest.json", fetched / "database.dump"
    if not all(each.is_file() and each.stat().st_size for each in (manifest, dump)):
        raise _refuse(
            "the snapshot has no manifest.json or database.dump: it was not made by this project"
        )
    text = manifest.read_text(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    refuse_altered(fetched, found)
    return FetchedSnapshot(key_fingerprint(runner), text)


def refuse_altered(fetched: Path, manifest: Mapping[str, Any]) -> None:
    """Raise RuntimeError with a Failure if a dump differs from its manifest."""
    described = manifest.get("dump", {})
    dump = fetched / "database.dump"
    size, expected = dump.stat().st_size, described.get("bytes", "")
    if size != expected:
        raise _refuse(
            f"the dump is truncated: it has {size} of the {expected} bytes in its manifest"
        )
    with dump.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if digest != described.get("sha256"):
        raise _refuse("the dump was altered: its SHA-256 differs from the one in its manifest")


@action
def load_snapshot(runner: Runner, *, directory: str, project: str, seconds: int) -> LoadedSnapshot:
    """Load the fetched dump as `load` does."""
    with _hold(runner, directory):
        return load(runner, SnapshotPlace(directory, project, seconds))


def load(runner: Runner, place: SnapshotPlace) -> LoadedSnapshot:
    """Load the fetched dump into a new database of a Compose project, and stop that.

    Its data are in the project's volume. Raises RuntimeError with a Failure.
    """
    dump = runner.path(f"{place.directory}/fetched/database.dump")
    _require_space(runner, dump)
    _remove_project(runner, place.project)
    copy = _SnapshotProject(runner, place)
    container = copy.start("postgres")["postgres"]
    call = ["docker", "exec", "--interactive", container.id]
    restore = ["pg_restore", "--username", "infisical", "--dbname", "infisical"]
    options = ["--exit-on-error", "--single-transaction"]
    done = runner.load([*call, *restore, *options], dump, seconds=_LOAD_SECONDS)
    if done.status != 0:
        raise _refuse(f"the dump can't be loaded: {last_line(f'{done.text}{done.errors}')}")
    sql = [*call, *psql_command()]
    counted = runner.must_run(sql, stdin=COUNT_ROWS, seconds=_LOAD_SECONDS)
    rows = parse_rows(counted.splitlines())
    transaction = runner.must_run(sql, stdin=NEXT_TRANSACTION).strip()
    runner.must_run(["docker", "stop", "--time", "60", container.id])
    runner.must_run(["docker", "rm", container.id])
    return LoadedSnapshot(rows, transaction)


def _require_space(runner: Runner, dump: Path) -> None:
    # Docker's volumes may be on a data volume.
    asked = ["docker", "info", "--format", "{{json .DockerRootDir}}"]
    volumes = runner.path(f"{json.loads(runner.must_run(asked))}/volumes")
    place = "next to the data, and Docker's disk"
    require_space(volumes, estimate_loaded(dump), "the snapshot", place)


def estimate_loaded(dump: Path) -> int:
    """Return the KiB that a dump may take once it is loaded."""
    return dump.stat().st_size // 1024 * 3 + 262144


def parse_rows(lines: Iterable[str]) -> dict[str, int]:
    """Return the number of rows of each table from the answers to `COUNT_ROWS`."""
    pairs = (line.rsplit(" ", 1) for line in lines if line)
    return {table: int(number) for table, number in pairs}


def last_line(text: str) -> str:
    """Return the last line of a program's output that is not blank, for a message."""
    return next(filter(str.strip, reversed(text.splitlines())), "it ended without a reason")


@dataclass(frozen=True)
class _SnapshotProject:
    """The Compose project of a snapshot."""

    runner: Runner
    place: SnapshotPlace

    def start(self, *services: str) -> dict[str, DockerContainer]:
        """Start services, and wait until all are healthy. Raises RuntimeError with a Failure."""
        place = self.place
        end = time.monotonic() + place.seconds
        file = str(self.runner.path(f"{place.directory}/compose.yaml"))
        variables = str(self.runner.path(place.variables)) if place.variables else ""
        words = ["up", "--detach", "--no-deps", *services]
        done = run_compose(
            self.runner, file, *words, project=place.project, variables=variables, seconds=3600
        )
        if done.status != 0:
            raise _refuse(last_line(f"{done.text}{done.errors}"))
        return {each: self._await(each, end) for each in services}

    def _await(self, service: str, end: float) -> DockerContainer:
        while True:
            found = list_containers(
                self.runner,
                f"label=com.docker.compose.project={self.place.project}",
                f"label=com.docker.compose.service={service}",
            )
            if found and found[0].health == "healthy":
                return found[0]
            if found and found[0].status == "exited":
                raise _refuse(f"{service} does not start on the snapshot: {self._why(found[0])}")
            if time.monotonic() >= end:
                why = self._why(found[0]) if found else "it has no container"
                raise _refuse(
                    f"{service} does not get healthy on the snapshot within "
                    f"{self.place.seconds} s: {why}"
                )
            time.sleep(0.5)

    def _why(self, container: DockerContainer) -> str:
        """Return why a container is unhealthy, from its last log lines, without any key."""
        logged = read_log(self.runner, container.id, "--tail", "50")
        said = "\n".join(lines_without_keys(self.runner, logged))
        if "unable to authenticate data" in said or "Invalid key length" in said:
            return (
                "the encryption key of the host is not the one that its secrets are encrypted with"
            )
        return last_line(said)


def serve(runner: Runner, place: SnapshotPlace) -> str:
    """Start Redis and Infisical on the loaded data, and return the address of Infisical.

    Raises RuntimeError with a Failure.
    """
    copy = _SnapshotProject(runner, place)
    copy.start("postgres", "redis")
    container = copy.start("infisical")["infisical"]
    return next(filter(None, container.networks.values()), "")


@action
def clean_snapshot(runner: Runner, *, directory: str, project: str) -> None:
    """Clean up as `clean` does."""
    with _hold(runner, directory):
        clean(runner, SnapshotPlace(directory, project))


def clean(runner: Runner, place: SnapshotPlace) -> None:
    """Remove all of the project, and the fetched files. Raises RuntimeError with a Failure."""
    remove_fetched(runner, place.directory)
    _remove_project(runner, place.project)


def _remove_project(runner: Runner, project: str) -> None:
    close_port(runner, project)
    chosen = ["--quiet", "--filter", f"label=com.docker.compose.project={project}"]
    listed = runner.run(["docker", "ps", "--all", *chosen])
    if listed.status == 127:
        return  # without Docker there is nothing to remove
    if listed.status != 0:
        raise _refuse("Docker does not answer", "see `journalctl -u docker`")
    if listed.text.split():
        runner.must_run(["docker", "rm", "--force", "--volumes", *listed.text.split()])
    for kind in ("network", "volume"):
        if found := runner.must_run(["docker", kind, "ls", *chosen]).split():
            runner.must_run(["docker", kind, "rm", *found])


def describe_difference(expected: Mapping[str, int], rows: Mapping[str, int]) -> str:
    """Return the first tables with another number of rows than expected; empty without any."""
    wrong = [
        f"{table} {rows.get(table, 0)} instead of {expected.get(table, 0)}"
        for table in sorted(expected.keys() | rows.keys())
        if rows.get(table, 0) != expected.get(table, 0)
    ]
    more = [f"{len(wrong) - 3} more"] if len(wrong) > 3 else []
    return ", ".join([*wrong[:3], *more])


def refuse_difference(expected: Mapping[str, int], rows: Mapping[str, int]) -> None:
    """Raise RuntimeError with a Failure if a table has another number of rows than expected."""
    if wrong := describe_difference(expected, rows):
        raise _refuse(
            f"the restored database has other numbers of rows than the snapshot's manifest: {wrong}"
        )
