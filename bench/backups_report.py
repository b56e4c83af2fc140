"""Render measurements of backups as bench/BACKUPS.md."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.measuring import Timings
from bench.report import table
from bench.watching import Disk

BACKUP, DRILL, RESTORE = "backup now", "restore --drill", "restore --yes"
QUIET = "nothing"

_TEXT = """\
# Results of `python -m bench.backups`

A database with {secrets} secrets in folders of a thousand, on {server}, on a staging host of this
machine; its dump has {dump:.0f} MB. The snapshots go to a directory on the host itself.

## How long it takes, and how much disk

Seconds are those of whole commands, from the start of the program to its end. Disk is what the
volumes of the databases, the files of the command and the repository took together, measured
twice a second in a round that was not timed: before the command, and at most while it ran.

{commands}

## How long a service waits meanwhile

The host reads the thousand secrets of one folder, ten times a second. In the first row the host is
idle otherwise; the other rows are of all rounds together.

{waits}

During drills the slowest hundredth waited {times:.1f} times as long as on the quiet host.

## The machine

{machine}
"""


@dataclass
class Measured:
    """The measurements of backups, restores and drills.

    Attributes:
        secrets: the number of secrets in the database.
        machine: the properties of the machine, by name.
        on_standin: whether the server was the stand-in.
        dump: the size of the dump in MB.
        timings: seconds in the order of the rounds, by command.
        disks: the use of the disk, by command.
        latencies: the seconds of each request, by the command that ran meanwhile.
    """

    secrets: int
    machine: dict[str, str]
    on_standin: bool = True
    dump: float = 0.0
    timings: Timings = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    latencies: Timings = field(default_factory=dict)


def render(measured: Measured) -> str:
    """Return the text of bench/BACKUPS.md."""
    quiet, drills = (percentile(measured.latencies[name], 99) for name in (QUIET, DRILL))
    return _TEXT.format(
        secrets=f"{measured.secrets:,}",
        server="the stand-in" if measured.on_standin else "a real Infisical server",
        dump=measured.dump,
        commands=table(
            ("command", "median", "range", "disk before", "at most"), _commands(measured)
        ),
        waits=table(("meanwhile", "requests", "median", "p99", "longest"), _waits(measured)),
        times=drills / quiet,
        machine=table(("", ""), measured.machine.items()),
    )


def percentile(seconds: Sequence[float], part: int) -> float:
    """Return the time within which `part` of a hundred requests were answered (nearest rank)."""
    ordered = sorted(seconds)
    return ordered[max(-(-len(ordered) * part // 100) - 1, 0)]


def _commands(measured: Measured) -> Iterator[tuple[str, ...]]:
    for name, timings in measured.timings.items():
        disk = measured.disks[name]
        yield (
            f"`infisical-iac {name}`",
            f"{median(timings):.1f} s",
            f"{min(timings):.1f} to {max(timings):.1f} s",
            f"{disk.before:.0f} MB",
            f"{disk.peak:.0f} MB",
        )


def _waits(measured: Measured) -> Iterator[tuple[str, ...]]:
    for name, seconds in measured.latencies.items():
        times = (median(seconds), percentile(seconds, 99), max(seconds))
        yield name, str(len(seconds)), *(f"{each * 1000:.0f} ms" for each in times)
