"""Run backups and drills now, assess their results, and list the snapshots in the targets."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pyinfra.context import host

from infisical_iac.agent import backup
from infisical_iac.agent.backup import TargetSnapshots
from infisical_iac.agent.files import texts
from infisical_iac.backup.target import DIRECTORY, BackupTarget, choose_targets
from infisical_iac.core import audit
from infisical_iac.core.agent import ask, question, together
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.remote import run, write

_T = TypeVar("_T")

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
# A day, with a margin for the random delay and for the run itself.
_LONGEST = timedelta(hours=26)


@dataclass(frozen=True)
class Saved:
    """The last success of one target.

    Attributes:
        success: when the last snapshot was saved; None if none ever was.
        added: the bytes that it added to the repository.
        snapshots: how many snapshots the target had afterwards.
        error: why the last run failed there; empty if it did not.
    """

    name: str
    success: datetime | None
    snapshot: str
    added: int
    snapshots: int
    error: str


@dataclass(frozen=True)
class Record:
    """The last run of a backup.

    Attributes:
        failure: all reasons why it failed; empty if it did not.
        bytes: the size of the dump; 0 if there is none.
    """

    began: datetime
    ended: datetime
    failure: str
    bytes: int
    targets: tuple[Saved, ...]

    @property
    def saved_targets(self) -> list[Saved]:
        """Return the targets in which the run saved a snapshot."""
        return [each for each in self.targets if each.success and each.success >= self.began]


def parse_record(text: str) -> Record:
    """Return the record in the text of last.json. Raises ValueError for any other text."""
    try:
        found = _with_moments(json.loads(text))
        targets = tuple(Saved(**_with_moments(each)) for each in found["targets"])
        return Record(**{**found, "targets": targets})
    except (KeyError, TypeError) as error:
        raise ValueError(f"a field of a backup's record is missing or wrong: {error}") from None


def _with_moments(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with times parsed; `success` is None if there was none yet."""
    texts = {name: found[name] for name in ("began", "ended", "success") if name in found}
    return {**found} | {
        name: _parse_time(text) if text or name != "success" else None
        for name, text in texts.items()
    }


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


HISTORIES = ("/var/lib/infisical-backup/history.jsonl", "/var/lib/infisical-drill/history.jsonl")
"""The files on a host with the records of its latest backups and drills, a line each."""


def parse_history(text: str, parse: Callable[[str], _T], last: str = "") -> list[_T]:
    """Return the runs in a history; lines that can't be read are left out.

    Args:
        parse: `parse_record` or `parse_drill`.
        last: the record of the last run, the only one that a host of an earlier release has.
    """
    found = []
    for line in text.splitlines() or [last]:
        with suppress(ValueError):
            found.append(parse(line))
    return found


def assess_record(
    record: Record | None, targets: Sequence[BackupTarget], *, since: datetime | None, now: datetime
) -> tuple[str, bool]:
    """Return a sentence on the backups, and whether they are healthy.

    Args:
        record: the last run; None before the first.
        targets: the targets of the settings; others do not count.
        since: when backups were set up; None if they are not.
        now: the current time.
    """
    if since is None:
        return "not set up: `infisical-iac apply` sets them up", False
    if record is None:
        waiting = now - since
        text = f"none yet, {waiting.total_seconds() / 3600:.0f} h after they were set up"
        run = "`infisical-iac backup now` makes one"
        return (f"{text}: {run}", False) if waiting > _LONGEST else (f"none yet: {run}", True)
    if record.failure:
        return f"failed at {_text(record.ended)}: {record.failure}{_last(record)}", False
    names = {each.name for each in targets}
    found = [each for each in record.targets if each.name in names]
    late = [each.name for each in found if is_late(each.success, now)]
    if late:
        return f"no success within 26 h for {', '.join(late)}{_last(record)}", False
    to = ", ".join(each.name for each in found)
    here = all(each.kind.on_host for each in targets)
    text = f"{_text(record.ended)}, {size(record.bytes)} to {to}"
    return f"{text} (on this host only)" if here else text, True


def size(bytes: int) -> str:
    """Return a size for people, such as `6.1 MB`."""
    return f"{bytes / 1e6:.1f} MB" if bytes >= 1e6 else f"{bytes / 1e3:.0f} kB"


def is_late(success: datetime | None, now: datetime) -> bool:
    """Return whether a target should have had another snapshot by now."""
    return success is None or now - success > _LONGEST


def _last(record: Record) -> str:
    moments = [each.success for each in record.targets if each.success]
    return _last_success(max(moments, default=None))


def _last_success(moment: datetime | None) -> str:
    return f"; last success {_text(moment)}" if moment else "; there is none yet"


def _text(moment: datetime) -> str:
    return moment.strftime(_FORMAT)


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, read from its tags.

    Attributes:
        version: of Infisical.
        bytes: the size of the dump.
        secrets, migrations: their numbers in the database.
        key: the fingerprint of the encryption key that it needs.
    """

    id: str
    at: datetime
    version: str
    bytes: int
    secrets: int
    migrations: int
    key: str


@dataclass(frozen=True)
class ListedSnapshots:
    """A target with its snapshots, the latest last, or with an error that prevents listing them."""

    name: str
    snapshots: list[Snapshot] = field(default_factory=list)
    error: str = ""


def read_snapshots(targets: Iterable[TargetSnapshots]) -> list[ListedSnapshots]:
    """Return the snapshots of each target as the agent lists them."""
    return [
        ListedSnapshots(
            each.name,
            sorted(map(_snapshot, each.snapshots), key=lambda found: found.at),
            each.error,
        )
        for each in targets
    ]


def _snapshot(found: dict[str, Any]) -> Snapshot:
    tags = dict(tag.split("=", 1) for tag in found["tags"] if "=" in tag)
    return Snapshot(
        id=found["short_id"],
        at=datetime.fromisoformat(found["time"]).astimezone(UTC),
        version=tags["version"],
        bytes=int(tags["bytes"]),
        secrets=int(tags["secrets"]),
        migrations=int(tags["migrations"]),
        key=tags["key"],
    )


# A month, with a margin for the random delay.
_LONGEST_BETWEEN_DRILLS = timedelta(days=35)


@dataclass(frozen=True)
class Drill:
    """The result of a drill; fields of steps that it did not reach are empty.

    Attributes:
        failure: why the snapshot is not proven, in one line; empty if it is.
        success: when a drill last proved a snapshot; None if none ever did.
        at: when the snapshot was made.
        version: the version of Infisical in it.
        login: who logged in: `deployer`, or `administrator` if the deployer could not.
        canary: `alive`, or `none` if the login sees no canary.
        folders, secrets: how many were read.
    """

    began: datetime
    ended: datetime
    failure: str
    success: datetime | None
    target: str
    snapshot: str
    at: str
    version: str
    login: str
    canary: str
    folders: int
    secrets: int

    @property
    def proof(self) -> str:
        """Return a clause on what was proven, for people."""
        canary = "the canary is intact" if self.canary == "alive" else "which sees no canary"
        secrets = f"{self.secrets} secret{'' if self.secrets == 1 else 's'}"
        return (
            f"snapshot {self.snapshot} of {self.target}, made at {self.at}: {secrets} in "
            f"{self.folders} folders read as {self.login}, {canary}"
        )


def parse_drill(text: str) -> Drill:
    """Return the drill in the text of last.json. Raises ValueError for any other text."""
    try:
        return Drill(**_with_moments(json.loads(text)))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a field of a drill's record is missing or wrong: {error}") from None


def assess_drill(drill: Drill | None, *, since: datetime | None, now: datetime) -> tuple[str, bool]:
    """Return a sentence on the drills, and whether they are healthy, as `assess_record` does."""
    if since is None:
        return "not set up: `infisical-iac apply` sets them up", False
    if drill is None:
        waiting = now - since
        if waiting > _LONGEST_BETWEEN_DRILLS:
            return f"none yet, {waiting.days} days after they were set up", False
        return "none yet: `infisical-iac restore --drill` makes one", True
    last = _last_success(drill.success)
    if drill.failure:
        return f"failed at {_text(drill.ended)}: {drill.failure}{last}", False
    if now - (drill.success or drill.ended) > _LONGEST_BETWEEN_DRILLS:
        return f"no success within {_LONGEST_BETWEEN_DRILLS.days} days{last}", False
    return f"{_text(drill.ended)}, {drill.proof}", True


_TOO_LONG = 124
_REQUEST, _DRILL_REQUEST = (f"/var/lib/infisical-{what}/request" for what in ("backup", "drill"))
# Fetching and loading a large snapshot takes a while.
_DRILL_SECONDS = 6 * 3600
# How to end each change that may be under way.
_ENDING = {
    "restore": "a restore has not ended on the host: `infisical-iac restore --undo` brings the old "
    "data back",
    "upgrade": "a change of version has not ended on the host: `infisical-iac apply` ends it",
    "scale": "a migration between single host and cluster has not ended: `infisical-iac scale-out "
    "--undo` or `infisical-iac scale-in --undo` brings back what served before",
}


def run_unit(what: str, *, timeout: int) -> str:
    """Start `infisical-<what>.service` on the current host, and return the record of its run.

    Raises RunFailed if there is no such unit; while a restore, a change of version or a migration
    between topologies is under way; if the run has not ended after `timeout` seconds; and if it
    recorded nothing.
    """
    unit = f"infisical-{what}.service"
    before = _record(what)
    ended = run(
        f"test -e /etc/systemd/system/{unit} || {{ echo absent; exit 0; }}; "
        "for work in restore upgrade scale; do test ! -e /var/lib/infisical-$work/state || "
        "{ echo $work; exit 0; }; done; "
        f"timeout {timeout} systemctl start {unit} >/dev/null 2>&1; echo $?",
        doing=f"make the {what}",
    ).strip()
    if ended == "absent":
        raise RunFailed(f"{what}s are not set up on the host: `infisical-iac apply` sets them up")
    if ended in _ENDING:
        raise RunFailed(f"no {what} was made, because {_ENDING[ended]}")
    if ended == str(_TOO_LONG):
        raise RunFailed(
            f"the {what} still runs after {timeout} s, and continues: `infisical-iac status` shows "
            "how it ends"
        )
    text = _record(what)
    if not text or text == before:
        raise RunFailed(
            f"the {what} ended without a record of its result: `journalctl --unit {unit}` on the "
            "host says why"
        )
    return text


def _path(what: str) -> str:
    return f"/var/lib/infisical-{what}/last.json"


def _record(what: str) -> str:
    path = _path(what)
    return run(f"cat {path} 2>/dev/null || true", doing=f"read {path}")


def back_up(timeout: int, *, on_cluster: bool) -> Record:
    """Back up the current host, and return the record of the run. Raises RunFailed."""
    if on_cluster:  # The timer leaves shared targets to one node, which may be another one.
        write(_REQUEST, "now\n")
    try:
        return parse_record(run_unit("backup", timeout=timeout))
    except ValueError as error:
        raise RunFailed(
            f"{_path('backup')} on the host can't be read ({error}): run `infisical-iac apply`, "
            "which repairs its programs, then `infisical-iac backup now`"
        ) from None


def drill(snapshot: str, target: str | None, targets: Sequence[BackupTarget]) -> Drill:
    """Run a drill on the current host: restore a snapshot next to the live data, and read it.

    The snapshot comes from the `target`, or from the first of the `targets` that has it whole.
    Raises UserError if the snapshot is not proven, or if no drill can run now.
    """
    choose_targets(targets, target)
    active = run(
        "systemctl is-active infisical-drill.service || true", doing="check for a running drill"
    )
    if active.strip() == "activating":
        raise Refused("a drill runs already: `infisical-iac status` shows how it ends")
    changes: list[str] = []
    with audit.record("drill", changes):
        write(_DRILL_REQUEST, f"{snapshot} {target or ''}\n")
        try:
            found = parse_drill(run_unit("drill", timeout=_DRILL_SECONDS))
        except ValueError as error:
            raise UserError(
                f"{_path('drill')} on the host can't be read ({error}): run `infisical-iac apply`, "
                "which repairs the scripts, then `infisical-iac restore --drill`"
            ) from None
        finally:
            run(f"rm -f {_DRILL_REQUEST}", doing="remove the request")
        if found.failure:
            raise RunFailed(
                f"the drill failed: {found.failure}; `journalctl --unit infisical-drill.service` "
                f"on {host.name} has the log"
            )
        changes.append(f"proven: {found.proof}")
    return found


def list_snapshots() -> tuple[list[ListedSnapshots], str]:
    """Return the snapshots in the current host's targets, and its public SSH key.

    Raises Refused if backups are not set up.
    """
    public = f"{DIRECTORY}/ssh_key.pub"
    listed, keys = ask(
        together(
            lambda listed, keys: (listed, keys),
            question(backup.list_targets),
            question(texts, paths=[public]),
        )
    )
    if not listed:
        raise Refused("backups are not set up on the host: `infisical-iac apply` sets them up")
    return read_snapshots(listed), "".join(keys.get(public, "").splitlines()[:1])
