"""Time backup, restore and drill of a large database: `python -m bench.backups`."""

import json
import sys
import time
from functools import partial

from bench.backups_report import BACKUP, DRILL, QUIET, RESTORE, Measured, render
from bench.converged_run import INVENTORY, PYINFRA, commands
from bench.filling import fill
from bench.machine import machine
from bench.measuring import HOST, Command, program, say, seconds
from bench.results import write_results
from bench.watching import measure_disk, measure_latency
from tests.e2e import inspection
from tests.e2e.backing import restic
from tests.staging import stack
from tests.staging.host import StagingHost

_SECRETS = 100_000
_ROUNDS = 3
_QUIET_SECONDS = 60


def main() -> int:
    """Run the benchmark; return 0 once BACKUPS.md is written, 1 on an error."""
    return write_results("BACKUPS.md", lambda: render(_measure(StagingHost(HOST))))


def _measure(host: StagingHost) -> Measured:
    measured = Measured(_SECRETS, machine())
    measured.on_standin = _fresh(host)
    say(f"Writing {_SECRETS} secrets")
    fill(partial(inspection.deployer, host), _SECRETS)
    say("Measuring the use of the disk")
    for name, command in _commands().items():
        with measure_disk(host) as measured.disks[name]:
            seconds(command)
        _forget_old_data(host)
    say(f"Measuring the latency of the idle host for {_QUIET_SECONDS} s")
    with measure_latency(host) as latency:
        time.sleep(_QUIET_SECONDS)
    measured.latencies[QUIET] = latency.seconds
    for number in range(_ROUNDS):
        say(f"Round {number + 1} of {_ROUNDS}")
        _round(host, measured)
    manifest = json.loads(restic(host, "dump latest manifest.json"))
    measured.dump = manifest["dump"]["bytes"] / 1e6
    return measured


def _fresh(host: StagingHost) -> bool:
    """Deploy to a bare host; return whether it runs the stand-in."""
    stack.ensure()
    host.down()
    host.up()
    seconds(commands()[PYINFRA])
    return stack.find_archive() is None


def _commands() -> dict[str, Command]:
    """Return the commands to be timed; the last one interrupts the service."""
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
        with measure_latency(host) as latency:
            measured.timings.setdefault(name, []).append(seconds(command))
        measured.latencies.setdefault(name, []).extend(latency.seconds)


def _forget_old_data(host: StagingHost) -> None:
    host.run(
        "docker volume ls --quiet --filter name=infisical_postgres_before | "
        "xargs --no-run-if-empty docker volume rm; rm -rf /var/lib/infisical-restore/aside"
    )


if __name__ == "__main__":
    sys.exit(main())
