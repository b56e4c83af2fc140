"""From measured numbers to bench/RESULTS.md."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST_OF_ANSIBLE = 0.08
MOST_COMMANDS = 15
MOST_OF_SCRIPT = 1.15
FEWEST_TIMES = 20
MOST_WRITES = 20
SLOWEST_SEARCH = 50
MOST_OF_BARE = 1.5

_TEXT = """\
# Results of `make bench`

{bars}

Seconds are those of whole commands, from the start of the program to its end. What is compared
ran in turn on one machine; a ratio is the median of the rounds' own ratios.

## The settled run

A second run on a host where everything is in place, over SSH to the staging host on this machine.

{settled}

The playbook (`bench/ansible/`) manages the same host: packages, files, kernel parameters, units,
keys, containers, and what is inside Infisical, read from the deploy's own workspace file. It has
to find nothing to change before it is timed. It is as quick as Ansible's own settings make it: one
SSH connection that outlives the run, pipelining, no facts gathered. Where the two differ, the
playbook does less: it does not look for privileges or client secrets beyond the declared ones, for
deleted, renamed or reordered environments, for swap, nor at the form of keys, and it takes
no lock and keeps no record.

## The fresh deploy

From a bare host to healthy containers, each time on a host made for it, with the images from one
archive. The script (`bench/shell/fresh.sh`) installs and starts the same; only the deploy also
checks what it does, and makes the administrator, the workspace and the credentials.

{fresh}

## Remote commands

What the run asked of the host's SSH server in all its phases, the lock included; requests of
Infisical's API go through the same connection and are not among them.

{commands}

## The migration

1,000 secrets of 20 files into two environments, on {server}, which runs on this machine too. The
migration is the whole command: it reads plan and files, compares, writes in {writes} requests,
reads everything back twice, and reports. The SDK is given the values and only writes them. How many
times faster the migration is depends on how long the server takes for a single write, which with
the stand-in is a fifth of what it is with Infisical: the bar is for Infisical.

{migration}

## The start of a service

From the first request to the values of 50 secrets, each in a process of its own, on the same kind
of server. The two bare requests log in and list the same, by what the runtime itself brings along.
Importing the loader with the official SDK is apart from that: {imports}.

{starts}

## The search of a history

{search}

## The machine

{machine}
"""

_SERVERS = {True: "the stand-in", False: "a real Infisical server"}

Timings = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Bar:
    """A value that must not be above a limit, or must reach it if `is_least`."""

    what: str
    value: float
    limit: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is so."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        settled, fresh: seconds in the order of the rounds, by name; the last name of each is
            what the others are compared with.
        held_to: the names in `settled` that the bar on Ansible is for.
        commands: how many remote commands, by name.
        migration: seconds as in `settled`, compared with the last.
        writes: how many write requests the migration takes.
        on_standin: whether its server was the stand-in.
        starts: seconds as in `settled`, of each loader and then of what it is compared with.
        imports: seconds that each loader's import takes.
        search: the search of a history: MB/s, and what was searched in a sentence.
        machine: what the machine is, by what is said of it.
    """

    settled: Timings
    fresh: Timings
    held_to: Sequence[str]
    commands: Mapping[str, int]
    migration: Timings
    writes: int
    on_standin: bool
    starts: Timings
    imports: Timings
    search: tuple[float, str]
    machine: Mapping[str, str]

    def bars(self) -> list[Bar]:
        """Every bar with what was measured."""
        (script,) = list(self.fresh)[-1:]
        (ansible,) = list(self.settled)[-1:]
        return [
            *(
                Bar(
                    f"settled `{name}`, time against Ansible's",
                    ratio(self.settled[name], self.settled[ansible]),
                    MOST_OF_ANSIBLE,
                )
                for name in self.held_to
            ),
            *(
                Bar(f"settled `{name}`, remote commands", count, MOST_COMMANDS)
                for name, count in self.commands.items()
            ),
            *(
                Bar(
                    f"fresh `{name}`, time against the script's",
                    ratio(timings, self.fresh[script]),
                    MOST_OF_SCRIPT,
                )
                for name, timings in self.fresh.items()
                if name != script
            ),
            *self._of_migration(),
            *(
                Bar(f"start by `{loader}`, time against {bare}", ratio(some, others), MOST_OF_BARE)
                for (loader, some), (bare, others) in pairs(self.starts)
            ),
            Bar("search of a history, MB/s", self.search[0], SLOWEST_SEARCH, is_least=True),
        ]

    def _of_migration(self) -> Iterator[Bar]:
        sdk = list(self.migration)[-1]
        for name, timings in self.migration.items():
            if name != sdk:
                what = f"`{name}` on {_SERVERS[self.on_standin]}"
                faster = times(timings, self.migration[sdk])
                yield Bar(f"{what}, times faster than {sdk}", faster, FEWEST_TIMES, is_least=True)
                yield Bar(f"{what}, write requests", self.writes, MOST_WRITES)


def pairs(starts: Timings) -> Iterator[tuple[tuple[str, Sequence[float]], ...]]:
    """Each loader with what it is compared with, by name and seconds."""
    return zip(*[iter(starts.items())] * 2, strict=True)


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of what was timed in the same round."""
    return median(one / other for one, other in zip(some, others, strict=True))


def times(some: Sequence[float], others: Sequence[float]) -> float:
    """How many times faster the first was than the second: the median of the rounds' ratios."""
    return ratio(others, some)


def render(measured: Measured) -> str:
    """The text of bench/RESULTS.md."""
    return _TEXT.format(
        bars=table(("bar", "measured", "wanted", "met"), _bars(measured)),
        settled=_timings(measured.settled),
        fresh=_timings(measured.fresh),
        commands=table(
            ("run", "commands"),
            ((f"`{name}`", str(count)) for name, count in measured.commands.items()),
        ),
        server=_SERVERS[measured.on_standin],
        writes=measured.writes,
        migration=_timings(measured.migration),
        starts="\n\n".join(_timings(dict(each)) for each in pairs(measured.starts)),
        imports=", ".join(
            f"{median(each):.2f} s for `{name}`" for name, each in measured.imports.items()
        ),
        search=measured.search[1],
        machine=table(("", ""), _pairs(measured.machine)),
    )


def _bars(measured: Measured) -> Iterator[tuple[str, ...]]:
    for bar in measured.bars():
        form = ".1f" if bar.is_least else "d" if isinstance(bar.limit, int) else ".3f"
        wanted = f"at {'least' if bar.is_least else 'most'} {bar.limit}"
        met = "yes" if bar.is_met else "**no**"
        yield bar.what, f"{bar.value:{form}}", wanted, met


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
    """A table of Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
