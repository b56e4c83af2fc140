"""The runs of the host's timers, made at once: started as the timer does, and waited for."""

from infisical_iac.core.errors import RunFailed
from infisical_iac.core.remote import run

_TOO_LONG = 124
# By what is under way, how it is ended.
_ENDING = {
    "restore": "a restore has not ended on the host: `infisical-iac restore --undo` brings the old "
    "data back",
    "upgrade": "a change of version has not ended on the host: `infisical-iac apply` ends it",
    "scale": "a move between single host and cluster has not ended: `infisical-iac scale-out` or "
    "`scale-in`, with --undo, lets what served before serve again",
}


def made(what: str, *, timeout: int) -> str:
    """Start `infisical-<what>.service` on the current host, wait for its end; return its record.

    Raises RunFailed where there is no such unit, while a restore, a change of version or a
    move is under way, for a run that is still at work after `timeout` seconds, and for one that
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
        raise RunFailed(f"{what}s are not set up on the host: `infisical-iac apply` does it")
    if ended in _ENDING:
        raise RunFailed(f"no {what} is made, for {_ENDING[ended]}")
    if ended == str(_TOO_LONG):
        raise RunFailed(
            f"the {what} is still at work after {timeout} s and goes on: `infisical-iac status` "
            "tells how it ends"
        )
    text = _record(what)
    if not text or text == before:
        raise RunFailed(
            f"the {what} came to no end that it could record: `journalctl --unit {unit}` on the "
            "host tells more"
        )
    return text


def _record(what: str) -> str:
    path = f"/var/lib/infisical-{what}/last.json"
    return run(f"cat {path} 2>/dev/null || true", doing=f"read {path}")
