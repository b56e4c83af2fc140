"""Run a backup or a drill now, as the host's timer does, and wait for its end."""

from collections.abc import Sequence

from pyinfra.context import host

from infisical_iac.backup import record
from infisical_iac.backup.record import Drill, ListedSnapshots, Record
from infisical_iac.backup.target import BackupTarget, choose_targets
from infisical_iac.core import audit
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.remote import run, write

_TOO_LONG = 124
_SCRIPT = "/usr/local/lib/infisical-iac/backup.sh"
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
        return record.parse_record(run_unit("backup", timeout=timeout))
    except ValueError as error:
        raise RunFailed(
            f"{_path('backup')} on the host can't be read ({error}): run `infisical-iac apply`, "
            "which repairs the scripts, then `infisical-iac backup now`"
        ) from None


def drill(snapshot: str, target: str | None, targets: Sequence[BackupTarget]) -> Drill:
    """Run a drill on the current host: restore a snapshot next to the live data, and read it.

    The snapshot comes from the `target`, or from the first of the `targets` that has it whole.
    Raises UserError if the snapshot is not proven, or if there can be no drill now.
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
            found = record.parse_drill(run_unit("drill", timeout=_DRILL_SECONDS))
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
    printed = run(
        f"test ! -e {_SCRIPT} || sh {_SCRIPT} list; cat /etc/infisical/backup/ssh_key.pub "
        "2>/dev/null | sed 's/^/key /'",
        doing="list the backups",
    ).splitlines()
    found = record.parse_snapshots(printed)
    if not found:
        raise Refused("backups are not set up on the host: `infisical-iac apply` sets them up")
    keys = [line.removeprefix("key ") for line in printed if line.startswith("key ")]
    return found, "".join(keys[:1])
