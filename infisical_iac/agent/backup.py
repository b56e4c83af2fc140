"""Back up Infisical's database, for units of systemd, and list the snapshots.

--backup run      makes a snapshot of the database and saves it in every target, even if one of
                  them fails. Does nothing, and succeeds, while a restore or an upgrade is under
                  way. On a cluster each node saves in its own directories, and only the Swarm's
                  leader in the shared targets, unless the file `request` asks this node to do that
--backup ended    cleans up after a run that was killed, and records that it was killed
--backup failed   reports a failure to the journal and the webhook
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infisical_iac.agent import restic
from infisical_iac.agent.dump import CONFIGURATION, end_sessions, make_dump
from infisical_iac.agent.files import hold, write
from infisical_iac.agent.reporting import (
    Metric,
    RunRecords,
    attempt,
    describe_failure,
    report_failure,
    utc,
)
from infisical_iac.agent.restic import read_variables
from infisical_iac.agent.runner import Failure, Runner, observation

_STATE = "/var/lib/infisical-backup"
LOCK = f"{_STATE}/lock"
_WORK = f"{_STATE}/work"
_PATIENCE = 7200
_CHANGES = ("restore", "upgrade", "scale")


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say, as the docstring of this module describes; return the status."""
    runner = Runner()
    try:
        match arguments:
            case ["run"]:
                return run_backup(runner)
            case ["ended"]:
                return record_killed(runner, os.environ)
            case ["failed"]:
                return report_failure(runner, "The backup of Infisical", _STATE)
    except (RuntimeError, OSError) as error:
        print(describe_failure(error), file=sys.stderr)
        return 1
    return 2


@dataclass(frozen=True)
class TargetSharing:
    """The targets of a host.

    Attributes:
        targets: all of their names.
        node: on a cluster, the number of a data node, or 0 for a node without data; else None.
        shared: the targets that all nodes of a cluster share.
    """

    targets: Sequence[str]
    node: int | None = None
    shared: frozenset[str] = frozenset()


def read_sharing(runner: Runner) -> TargetSharing:
    """Return the targets of this host. Raises RuntimeError with a Failure if none are set up."""
    text = runner.text(CONFIGURATION)
    if text is None:
        raise RuntimeError(
            Failure("command", f"there is no {CONFIGURATION}", "`infisical-iac apply` writes it")
        )
    found = read_variables(text, "TARGETS", "NODE", "SHARED")
    node = found.get("NODE", "")
    return TargetSharing(
        found.get("TARGETS", "").split(),
        int(node) if node else None,
        frozenset(found.get("SHARED", "").split()),
    )


def find_own_targets(runner: Runner, sharing: TargetSharing) -> list[str]:
    """Return the targets that this node of a cluster uses by itself; all of a host of its own.

    It uses the shared ones if it leads the Swarm, or if the Swarm has no leader, because two
    snapshots are better than none. The others are reported to the journal.
    """
    if sharing.node is None:
        return [*sharing.targets]
    if sharing.node == 0:
        _tell("This node of the cluster has no data: the nodes with data run backups and drills.")
        return []
    if _leads(runner):
        return [*sharing.targets]
    for each in sharing.targets:
        if each in sharing.shared:
            _tell(f"{each} is left to the node that leads the Swarm.")
    return [each for each in sharing.targets if each not in sharing.shared]


def _leads(runner: Runner) -> bool:
    """Return whether this node leads the Swarm; True if there is no answer."""
    asked = ["docker", "node", "inspect", "--format", "{{json .ManagerStatus}}", "self"]
    try:
        return bool(json.loads(runner.run(asked, seconds=60).text).get("Leader"))
    except (RuntimeError, ValueError, AttributeError):
        return True


def _tell(sentence: str) -> None:
    print(sentence, flush=True)


def find_changes(runner: Runner, names: Sequence[str]) -> list[str]:
    """Return the named changes of this host that are under way, such as `restore`."""
    return [each for each in names if runner.path(f"/var/lib/infisical-{each}/state").exists()]


def clear_folder(folder: Path) -> None:
    """Make a folder, and remove what is in it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _records(runner: Runner) -> RunRecords:
    return RunRecords(runner, _STATE, "infisical_backup")


def run_backup(runner: Runner) -> int:
    """Make a backup, and record its result; return the exit status.

    Raises RuntimeError with a Failure if another program holds the lock, and OSError.
    """
    busy = "a drill has been reading a snapshot for 2 hours"
    with hold(runner.path(LOCK), _PATIENCE, busy):
        # A restore and an upgrade take this lock before they begin, and keep a file until they end.
        for other in find_changes(runner, _CHANGES):
            _tell(f"no backup is made, because the {other} that began on this host has not ended")
            return 0
        _clear(runner)
        records, sharing = _records(runner), read_sharing(runner)
        if records.is_running:
            end_sessions(runner)
        request = runner.path(f"{_STATE}/request")
        targets = [*sharing.targets] if request.exists() else find_own_targets(runner, sharing)
        request.unlink(missing_ok=True)
        if not targets:
            return 0
        records.begin()
        bytes = 0
        error = attempt(partial(make_dump, runner, folder=_WORK))
        if not error:
            bytes = runner.path(f"{_WORK}/snapshot/database.dump").stat().st_size
            for target in targets:
                _save(runner, target)
        _clear(runner)
        return _record(runner, targets, error, bytes)


def _clear(runner: Runner) -> None:
    clear_folder(runner.path(_WORK))


def record_killed(runner: Runner, environment: Mapping[str, str]) -> int:
    """Clean up after a run that was killed, and record that; return the exit status.

    Args:
        environment: the variables in which systemd says how the run ended.
    """
    if not _records(runner).is_running:
        return 0
    _clear(runner)
    end_sessions(runner)
    ending = f"{environment.get('EXIT_CODE', '')} {environment.get('EXIT_STATUS', '')}"
    error = f"the run was ended before it was done ({ending})"
    _record(runner, read_sharing(runner).targets, error, 0)
    return 0


def _save(runner: Runner, target: str) -> None:
    """Save the snapshot in a target, and store the record of that.

    The record has lines of a name and a value: `success`, `snapshot`, `added` and `snapshots` are
    of the last success, and `error` is of the last run.
    """
    saved: list[str] = []

    def save() -> None:
        for line in restic.save(runner, target, _WORK):
            saved.append(line)

    reason = attempt(save)
    if saved:
        lines = [f"success {int(time.time())}", *saved]
    else:
        known = (runner.text(_path(target)) or "").splitlines()
        lines = [each for each in known if not each.startswith("error ")]
    text = "".join(f"{each}\n" for each in (*lines, f"error {reason}"))
    write(runner.path(_path(target)), text.encode())


def _path(target: str) -> str:
    return f"{_STATE}/targets/{target}"


def _read_target(runner: Runner, target: str) -> dict[str, str]:
    """Return the record of a target, as `_save` describes it."""
    lines = (runner.text(_path(target)) or "").splitlines()
    return {name: value for name, _, value in (each.partition(" ") for each in lines)}


def _record(runner: Runner, targets: Sequence[str], error: str, bytes: int) -> int:
    """Record the result of a run; return 1 if anything failed.

    Args:
        error: why there is no dump; empty if there is one.
        bytes: the size of the dump.
    """
    records, now = _records(runner), int(time.time())
    began = records.read_beginning()
    known = {each: _read_target(runner, each) for each in targets}
    reasons = {} if error else {name: each.get("error", "") for name, each in known.items()}
    failure = error or "; ".join(f"{name}: {why}" for name, why in reasons.items() if why)
    record = {
        "began": utc(began),
        "ended": utc(now),
        "failure": failure,
        "bytes": bytes,
        "targets": [_describe(name, each, reasons.get(name, "")) for name, each in known.items()],
    }
    records.conclude(record, [*_measure(record, now, now - began), *_measure_targets(known)])
    return 1 if failure else 0


def _describe(name: str, known: Mapping[str, str], error: str) -> dict[str, Any]:
    success = known.get("success", "")
    return {
        "name": name,
        "success": utc(int(success)) if success else "",
        "snapshot": known.get("snapshot", ""),
        "added": int(known.get("added", 0)),
        "snapshots": int(known.get("snapshots", 0)),
        "error": error,
    }


def _measure(record: Mapping[str, Any], now: int, seconds: int) -> Iterator[Metric]:
    at = "Time of the end of the last run, in seconds since the epoch."
    yield Metric("run_timestamp_seconds", at, {"": now})
    well = "1 if the last run succeeded in every target, else 0."
    yield Metric("run_success", well, {"": 0 if record["failure"] else 1})
    yield Metric("run_duration_seconds", "Duration of the last run, in seconds.", {"": seconds})
    size = "Size of the last run's dump in bytes, 0 if it made none."
    yield Metric("dump_bytes", size, {"": record["bytes"]})


_OF_TARGETS = (
    (
        "success_timestamp_seconds",
        "success",
        "Time of the last snapshot, in seconds since the epoch.",
    ),
    ("added_bytes", "added", "Bytes that the last snapshot added to the repository."),
    ("snapshots", "snapshots", "Number of snapshots in the repository."),
)


def _measure_targets(known: Mapping[str, Mapping[str, str]]) -> Iterator[Metric]:
    for name, key, description in _OF_TARGETS:
        values = {
            f'{{target="{target}"}}': each[key] for target, each in known.items() if each.get(key)
        }
        yield Metric(name, description, values)


@dataclass(frozen=True)
class TargetSnapshots:
    """The snapshots of a target as restic describes them, or an error that hides them."""

    name: str
    snapshots: list[dict[str, Any]]
    error: str = ""


@observation
def list_targets(runner: Runner) -> list[TargetSnapshots]:
    """Return the snapshots in each target of this host; empty if backups are not set up."""
    if runner.text(CONFIGURATION) is None:
        return []
    return [_list(runner, each) for each in read_sharing(runner).targets]


def _list(runner: Runner, target: str) -> TargetSnapshots:
    found: list[dict[str, Any]] = []
    error = attempt(lambda: found.extend(restic.list_snapshots(runner, target)))
    return TargetSnapshots(target, found, error)
