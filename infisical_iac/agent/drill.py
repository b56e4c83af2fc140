"""Restore a snapshot next to the live data and read its secrets, for units of systemd.

--drill run <seconds>   each container has <seconds> to become healthy. The file `request` may name
                        a snapshot and a target; the default is the latest snapshot of the first
                        target that has it whole. On a cluster the drills of the nodes begin 20
                        minutes apart. Without a request, each node reads its own directories; only
                        the Swarm's leader also reads the shared targets
--drill ended           cleans up after a run that was killed, and records that it was killed
--drill failed          reports a failure to the journal and the webhook

The snapshot is loaded into a Compose project of its own; the live one is never touched.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from infisical_iac.agent import restic, snapshot
from infisical_iac.agent.backup import (
    LOCK,
    clear_folder,
    find_changes,
    find_own_targets,
    read_sharing,
)
from infisical_iac.agent.decryption import DecryptedContents, decrypt_contents
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.files import hold, require_space, write
from infisical_iac.agent.reporting import (
    Metric,
    RunRecords,
    attempt,
    describe_failure,
    plain,
    report_failure,
    utc,
)
from infisical_iac.agent.runner import Failure, Runner
from infisical_iac.agent.snapshot import SnapshotPlace

_STATE = "/var/lib/infisical-drill"
_WORK = f"{_STATE}/work"
_VARIABLES = f"{_WORK}/variables"
_PROJECT = "infisical-drill"
_LATEST = "latest"
_PATIENCE = 7200
_REQUEST_SECONDS = 300
# Drills never run on all nodes of a cluster at once, since a drill slows its node down.
_TURN_SECONDS = 1200
# A restore or a change of version takes precedence.
_CHANGES = ("restore", "upgrade")
_FORMAT = 1
# Keys of its own: no token of the drill is valid at the live instance, and a rotation of the host's
# passwords does not disturb the drill.
_OWN_KEYS = ("AUTH_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD")


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say, as the docstring of this module describes; return the status."""
    runner = Runner()
    try:
        match arguments:
            case ["run", seconds]:
                return run_drill(runner, int(seconds))
            case ["ended"]:
                return record_killed(runner, os.environ)
            case ["failed"]:
                return report_failure(runner, "The drill of Infisical's backups", _STATE)
    except (RuntimeError, OSError) as error:
        print(describe_failure(error), file=sys.stderr)
        return 1
    return 2


@dataclass
class _Drill:
    """A drill: its request, and what it has found so far.

    Attributes:
        seconds: how long each container may take to become healthy.
        requested: the beginning of the snapshot's id, or `latest`.
        target: the target of the snapshot, once one has it whole.
        failures: the reasons of the targets before that one.
    """

    runner: Runner
    seconds: int = 0
    targets: Sequence[str] = ()
    requested: str = _LATEST
    target: str = ""
    snapshot: str = ""
    failures: list[str] = field(default_factory=list)
    key: str = ""
    contents: DecryptedContents = field(default_factory=DecryptedContents)

    @property
    def manifest(self) -> Any:
        """The manifest of the fetched snapshot; empty without one that can be read."""
        try:
            found = json.loads(self.runner.text(f"{_STATE}/fetched/manifest.json") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def _place(self) -> SnapshotPlace:
        return SnapshotPlace(_STATE, _PROJECT, self.seconds, _VARIABLES)

    def prove(self) -> str:
        """Prove a snapshot; return the reasons of failures in one line, or an empty text."""
        steps = (self._fetch_first, self._check_manifest, self._load, self._serve)
        reason = next(filter(None, map(attempt, steps)), "")
        failures = "; ".join(self.failures)
        if not reason:
            return f"{failures}; but the snapshot of {self.target} is good" if failures else ""
        failed = f"{self.target}: {reason}" if self.target else reason
        return f"{failures}; {failed}" if failures else failed

    def _fetch_first(self) -> None:
        """Fetch the snapshot from the first target that has it whole."""
        busy = "a backup has been at work for 2 hours: wait for its end"
        # Without the lock of backups, a backup could remove the snapshot that is being read.
        with hold(self.runner.path(LOCK), _PATIENCE, busy):
            for target in self.targets:
                reason = attempt(partial(self._fetch, target))
                if not reason:
                    self.target = target
                    return
                self.failures.append(f"{target}: {reason}")
        reasons, self.failures = "; ".join(self.failures), []
        raise _refuse(reasons)

    def _fetch(self, target: str) -> None:
        self.snapshot = ""
        listed = restic.list_snapshots(self.runner, target)
        found = [each for each in listed if self._is_requested(each)]
        if not found:
            name = "" if self.requested == _LATEST else f" {self.requested}"
            raise _refuse(f"there is no snapshot{name}")
        self.snapshot = str(found[-1]["short_id"])
        tags = (tag.partition("=") for tag in found[-1].get("tags") or ())
        sizes = [int(value) for name, _, value in tags if name == "bytes"]
        # A drill must leave free space for the live instance.
        needed = sum(sizes[:1]) // 1024 + 262144
        place = self.runner.path(_STATE)
        require_space(place, needed, "the snapshot", f"in {_STATE}, which")
        fetched = snapshot.fetch(
            self.runner, directory=_STATE, target=target, snapshot=self.snapshot
        )
        self.key = fetched.key

    def _is_requested(self, found: Mapping[str, Any]) -> bool:
        return self.requested == _LATEST or str(found["id"]).startswith(self.requested)

    def _check_manifest(self) -> None:
        """Check whether this host can use the snapshot, and write its Compose variables."""
        manifest = self.manifest
        if manifest.get("format") != _FORMAT:
            raise _refuse(
                f"the snapshot has format {manifest.get('format', '')}, and this version of "
                f"infisical-iac reads {_FORMAT}"
            )
        if manifest.get("encryption_key") != self.key:
            raise _refuse(
                "the snapshot needs the encryption key with fingerprint "
                f"{manifest.get('encryption_key', '')}, and /etc/infisical/keys/encryption_key has "
                f"{self.key}"
            )
        self._write_variables(self._find_image(manifest.get("infisical") or {}))

    def _find_image(self, described: Mapping[str, str]) -> str:
        """Return the image of the snapshot's version on this host."""
        for each in (described.get("id", ""), described.get("digest", "")):
            if each and self.runner.run(["docker", "image", "inspect", each]).status == 0:
                return each
        version, live = described.get("version", ""), find_container(self.runner, "infisical")
        if live and live.image.partition("@")[0].endswith(f":{version}"):
            return live.image_id
        raise _refuse(
            f"the snapshot is of Infisical {version}, whose image {described.get('image', '')} is "
            "not on this host"
        )

    def _write_variables(self, image: str) -> None:
        """Write the variables of the Compose project: those of the live one, and its own keys."""
        own = {name: secrets.token_hex(32) for name in _OWN_KEYS} | {"INFISICAL_IMAGE": image}
        lines = (self.runner.text("/etc/infisical/.env") or "").splitlines()
        kept = [each for each in lines if each.partition("=")[0] not in own]
        text = "".join(f"{each}\n" for each in (*kept, *(f"{k}={v}" for k, v in own.items())))
        write(self.runner.path(_VARIABLES), text.encode())

    def _load(self) -> None:
        loaded = snapshot.load(self.runner, self._place)
        snapshot.refuse_difference(self.manifest.get("rows") or {}, loaded.rows)

    def _serve(self) -> None:
        address = snapshot.serve(self.runner, self._place)
        self.contents = decrypt_contents(self.runner, f"http://{address}:8080")


def _refuse(message: str) -> RuntimeError:
    return RuntimeError(Failure("command", message))


def _is_busy(runner: Runner) -> bool:
    return bool(find_changes(runner, _CHANGES))


def _clear(runner: Runner) -> str:
    """Remove all of a drill; return why the containers or their data can't be removed."""
    clear_folder(runner.path(_WORK))
    return attempt(partial(snapshot.clean, runner, SnapshotPlace(_STATE, _PROJECT)))


def _put_off(runner: Runner) -> int:
    _clear(runner)
    runner.path(f"{_STATE}/running").unlink(missing_ok=True)
    print("The drill is skipped, because a restore or a change of version is under way.")
    return 0


def run_drill(runner: Runner, seconds: int) -> int:
    """Run a drill, and record its result; return the exit status.

    Raises RuntimeError with a Failure if backups are not set up, and OSError.
    """
    drill = _prepare(runner, seconds)
    runner.path(f"{_STATE}/request").unlink(missing_ok=True)
    if drill is None:
        return 0
    _clear(runner)
    for _ in range(120):
        if not _is_busy(runner):
            break
        time.sleep(5)
    else:
        return _put_off(runner)
    _records(runner).begin()
    error = drill.prove()
    if error and _is_busy(runner):
        return _put_off(runner)
    # Its files are removed next.
    manifest = drill.manifest
    if reason := _clear(runner):
        removal = f"the drill can't be removed: {reason}"
        error = f"{error}; {removal}" if error else removal
    return _record(drill, manifest, error)


def _prepare(runner: Runner, seconds: int) -> _Drill | None:
    """Return the drill to run, after waiting for this node's turn; None for none."""
    sharing = read_sharing(runner)
    request = runner.path(f"{_STATE}/request")
    # An old request is ignored, because its command no longer waits for the drill.
    if request.exists() and time.time() - request.stat().st_mtime < _REQUEST_SECONDS:
        requested, *only = request.read_text().split()
        return _Drill(runner, seconds, only or sharing.targets, requested)
    targets = find_own_targets(runner, sharing)
    if not targets:
        return None
    time.sleep(((sharing.node or 1) - 1) * _TURN_SECONDS)
    return _Drill(runner, seconds, targets)


def record_killed(runner: Runner, environment: Mapping[str, str]) -> int:
    """Clean up after a drill that was killed, and record that; return the exit status.

    Args:
        environment: the variables in which systemd says how the run ended.
    """
    if not _records(runner).is_running:
        return 0
    ending = f"{environment.get('EXIT_CODE', '')} {environment.get('EXIT_STATUS', '')}"
    _clear(runner)
    _record(_Drill(runner), {}, f"the drill was ended before it was done ({ending})")
    return 0


def _records(runner: Runner) -> RunRecords:
    return RunRecords(runner, _STATE, "infisical_drill")


def _record(drill: _Drill, manifest: Mapping[str, Any], error: str) -> int:
    """Record the result of a drill; return 1 if anything failed."""
    records, now, contents = _records(drill.runner), int(time.time()), drill.contents
    began, failure = records.read_beginning(), plain(error)
    described = manifest.get("infisical") or {}
    record = {
        "began": utc(began),
        "ended": utc(now),
        "failure": failure,
        "success": records.last.get("success", "") if failure else utc(now),
        "target": drill.target,
        "snapshot": drill.snapshot,
        "at": manifest.get("at", ""),
        "version": described.get("version", ""),
        "login": contents.login,
        "canary": contents.canary,
        "folders": contents.folders,
        "secrets": contents.secrets,
    }
    records.conclude(record, [*_measure(record, now, now - began)])
    if failure:
        return 1
    plural = "" if contents.secrets == 1 else "s"
    print(
        f"The drill proved snapshot {drill.snapshot} of {drill.target}, made at {record['at']}: "
        f"{contents.secrets} secret{plural} in {contents.folders} folders read as "
        f"{contents.login}, canary {contents.canary}, in {now - began} s"
    )
    return 0


def _measure(record: Mapping[str, Any], now: int, seconds: int) -> Iterator[Metric]:
    at = "Time of the end of the last drill, in seconds since the epoch."
    yield Metric("run_timestamp_seconds", at, {"": now})
    well = "1 if the last drill proved its snapshot, else 0."
    yield Metric("run_success", well, {"": 0 if record["failure"] else 1})
    yield Metric("run_duration_seconds", "Duration of the last drill, in seconds.", {"": seconds})
    number = "Number of secrets that the last drill decrypted."
    yield Metric("secrets", number, {"": record["secrets"]})
    proven = "Time of the last drill that proved a snapshot, in seconds since the epoch."
    success = record["success"]
    values = {"": int(datetime.fromisoformat(success).timestamp())} if success else {}
    yield Metric("success_timestamp_seconds", proven, values)
