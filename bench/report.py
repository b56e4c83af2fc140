"""Render measurements as bench/RESULTS.md."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from bench.bars import SERVERS, Measured, Timings, pairs, ratio

_TEXT = """\
# Results of `make bench`

{bars}

Seconds are those of whole commands, from the start of the program to its end. Commands that are
compared ran in turn on one machine; a ratio is the median of the ratios of the rounds.

## The converged run

A second run on a host where everything is in place, over SSH to the staging host on this machine.

{converged}

The playbook (`bench/ansible/`) manages the same host: packages, files, kernel parameters, units,
keys, containers, and the objects in Infisical, read from the deploy's own project file. It is timed
only after it has found nothing to change. Ansible's own settings make it as fast as they can: one
SSH connection that outlives the run, pipelining, no facts gathered. Where the two differ, the
playbook does less: it checks neither undeclared privileges or client secrets, nor deleted, renamed
or reordered environments, nor swap, nor the form of keys, and it takes no lock and keeps no record.

## The fresh deploy

From a bare host to healthy containers, each time on a new host, with the images from one archive.
The script (`bench/shell/fresh.sh`) installs and starts the same; only the deploy also checks its
results, and makes the administrator, the project and the credentials.

{fresh}

## Remote commands

The commands that a run sends to the host's SSH server in all its phases, the lock included.
Requests to Infisical's API go through the same connection and are not counted.

{commands}

## The migration

1,000 secrets of 20 files into two environments, on {server} on this machine. The migration is the
whole command: it reads plan and files, compares, writes in {writes} requests, reads everything back
twice, and reports. The SDK is given the values and only writes them. The ratio depends on how long
the server takes for a single write, on the stand-in a fifth of what Infisical takes: the limit is
for Infisical.

{migration}

## The start of a service

From the first request to the values of 50 secrets, each in its own process, on the same kind of
server. The two bare requests log in and list the same secrets with the runtime's own HTTP client.
The import of the loader is not included: {imports}.

{starts}

`npm install` of the packed Node loader, into an empty project and without a network: {installs}.

## The search of a history

{search}

## The machine

{machine}
"""


def render(measured: Measured) -> str:
    """Return the text of bench/RESULTS.md."""
    return _TEXT.format(
        bars=table(("measured", "value", "limit", "kept"), _bars(measured)),
        converged=_timings(measured.converged),
        fresh=_timings(measured.fresh),
        commands=table(
            ("run", "commands"),
            ((f"`{name}`", str(count)) for name, count in measured.commands.items()),
        ),
        server=SERVERS[measured.on_standin],
        writes=measured.writes,
        migration=_timings(measured.migration),
        starts="\n\n".join(_timings(dict(each)) for each in pairs(measured.starts)),
        imports=", ".join(
            f"{median(each):.2f} s for `{name}`" for name, each in measured.imports.items()
        ),
        installs=f"{median(measured.installs):.2f} s (median of {len(measured.installs)})",
        search=measured.search[1],
        machine=table(("", ""), _pairs(measured.machine)),
    )


def render_short(converged: Timings, counts: Mapping[str, int]) -> str:
    """Return the figures of a converged run as text."""
    commands = ((f"`{name}`", str(count)) for name, count in counts.items())
    return f"{_timings(converged)}\n\n{table(('run', 'remote commands'), commands)}"


def _bars(measured: Measured) -> Iterator[tuple[str, ...]]:
    for bar in measured.bars():
        form = ".1f" if bar.is_least else "d" if isinstance(bar.limit, int) else ".3f"
        limit = f"at {'least' if bar.is_least else 'most'} {bar.limit}"
        is_kept = "yes" if bar.is_met else "**no**"
        yield bar.name, f"{bar.value:{form}}", limit, is_kept


def _timings(timings: Timings) -> str:
    last = list(timings)[-1]
    rows = (
        (
            f"`{name}`",
            f"{median(each):.2f} s",
            f"{min(each):.2f} to {max(each):.2f} s",
            f"{ratio(each, timings[last]):.3f}",
        )
        for name, each in timings.items()
    )
    title = f"median of {len(timings[last])}"
    return table(("command", title, "range", "ratio to the last"), rows)


def _pairs(values: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    return ((name, str(value)) for name, value in values.items())


def table(head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
