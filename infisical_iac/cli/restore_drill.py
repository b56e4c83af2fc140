"""`infisical-iac restore --drill`: the drill that the timer makes, at once."""

import re

from infisical_iac.backup import record
from infisical_iac.backup.record import Drill
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.terminal import echo

_REQUEST = "/var/lib/infisical-drill/request"
# Fetching and loading a large one takes a while.
_SECONDS = 6 * 3600


def run(inventory: str, snapshot: str, target: str | None) -> None:
    """Have the host restore a snapshot beside what it runs, and tell what that has proven.

    The host's lock is left alone, for a drill changes nothing that another run could need.

    Args:
        snapshot: its id, or `latest`.
        target: where to take it from; None for the first target that has it whole.

    Raises UserError with what is wrong with the snapshot, or if there can be no drill now.
    """
    if not re.fullmatch(r"latest|[0-9a-f]{4,64}", snapshot):
        raise UserError(f"{snapshot!r} is no snapshot: `infisical-iac backup list` tells them")
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load

    with connected(inventory) as host:
        names = [each.name for each in load(host.data.dict()).backup.backup_targets]  # type: ignore[no-untyped-call]
        if target not in (None, *names):
            raise UserError(
                f"there is no backup target {target!r}: the settings have {', '.join(names)}"
            )
        _refuse()
        changes: list[str] = []
        with audit.recorded("drill", changes):
            found = _made(f"{snapshot} {target or ''}\n")
            if found.failure:
                raise RunFailed(f"the drill failed: {found.failure}")
            changes.append(f"proven: {found.proof}")
    seconds = (found.ended - found.began).total_seconds()
    echo(f"Proven in {seconds:.0f} s: {found.proof}.")


def _refuse() -> None:
    from infisical_iac.core.remote import run

    active = run("systemctl is-active infisical-drill.service || true", doing="look at drills")
    if active.strip() == "activating":
        raise Refused("a drill is at work already: `infisical-iac status` tells how it ends")


def _made(request: str) -> Drill:
    from infisical_iac.backup import timed
    from infisical_iac.core.remote import run, write

    write(_REQUEST, request)
    try:
        return record.parse_drill(timed.made("drill", timeout=_SECONDS))
    except ValueError as error:
        raise UserError(f"the drill's record on the host can't be read: {error}") from None
    finally:
        run(f"rm -f {_REQUEST}", doing="take the request away")
