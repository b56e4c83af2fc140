"""Backup, restore and drill of a large database: `python -m bench.backups` writes BACKUPS.md."""

import json
import sys
import time
from functools import partial

from bench.backups_report import BACKUP, DRILL, QUIET, RESTORE, Measured, render
from bench.filling import fill
from bench.machine import machine
from bench.measuring import HOST, Command, program, say, seconds
from bench.results import written
from bench.settled_run import INVENTORY, PYINFRA, commands
from bench.watching import asked, filling_disk
from tests.e2e import inspection
from tests.e2e.backing import restic
from tests.staging import stack
from tests.staging.host import StagingHost

_SECRETS = 100_000
_ROUNDS = 3
_QUIET_SECONDS = 60


def main() -> int:
    """Run the benchmark; 0 when the results are written, whatever they are, 1 on an error."""
    return written("BACKUPS.md", lambda: render(_measured(StagingHost(HOST))))


def _measured(host: StagingHost) -> Measured:
    measured = Measured(_SECRETS, machine())
    measured.on_standin = _fresh(host)
    say(f"Writing {_SECRETS} secrets")
    fill(partial(inspection.deployer, host), _SECRETS)
    say("Looking at the disk meanwhile")
    for name, command in _commands().items():
        with filling_disk(host) as measured.disks[name]:
            seconds(command)
        _forget_old_data(host)
    say(f"Asking the quiet host for {_QUIET_SECONDS} s")
    with asked(host) as latency:
        time.sleep(_QUIET_SECONDS)
    measured.asked[QUIET] = latency.seconds
    for number in range(_ROUNDS):
        say(f"Round {number + 1} of {_ROUNDS}")
        _round(host, measured)
    manifest = json.loads(restic(host, "dump latest manifest.json"))
    measured.dump = manifest["dump"]["bytes"] / 1e6
    return measured


def _fresh(host: StagingHost) -> bool:
    """Deploy to a bare host; whether what runs there is the stand-in."""
    stack.ensure()
    host.down()
    host.up()
    seconds(commands()[PYINFRA])
    return stack.given() is None


def _commands() -> dict[str, Command]:
    """The commands to be timed; the last one stops what serves, for a moment."""
    on_host = ("--inventory", INVENTORY)
    tool = program("infisical-iac")
    return {
        BACKUP: (tool, "backup", "now", *on_host),
        DRILL: (tool, "restore", "--drill", *on_host),
        RESTORE: (tool, "restore", "--yes", *on_host),
    }


def _round(host: StagingHost, measured: Measured) -> None:
    for name, command in _commands().items():
        if name == RESTORE:
            measured.timings.setdefault(name, []).append(seconds(command))
            _forget_old_data(host)
            continue
        with asked(host) as latency:
            measured.timings.setdefault(name, []).append(seconds(command))
        measured.asked.setdefault(name, []).extend(latency.seconds)


def _forget_old_data(host: StagingHost) -> None:
    host.run(
        "docker volume ls --quiet --filter name=infisical_postgres_before | "
        "xargs --no-run-if-empty docker volume rm; rm -rf /var/lib/infisical-restore/aside"
    )


if __name__ == "__main__":
    sys.exit(main())
