"""The measurements, and the limits that they are compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST_OF_ANSIBLE = 0.08
MOST_COMMANDS = 6
MOST_OF_SCRIPT = 1.15
FEWEST_TIMES = 20
MOST_WRITES = 20
SLOWEST_SEARCH = 50
MOST_OF_BARE = 1.5
SLOWEST_INSTALL = 2.0

SERVERS = {True: "the stand-in", False: "a real Infisical server"}

Timings = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Bar:
    """A value that must not be above a limit, or must reach it if `is_least`."""

    name: str
    value: float
    limit: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Return whether the value keeps its limit."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit


@dataclass(frozen=True)
class Measured:
    """The measurements of one run of the benchmark.

    Attributes:
        converged, fresh: seconds in the order of the rounds, by name; the others are compared with
            the last name of each.
        limited: the names in `converged` that are compared with Ansible.
        commands: the number of remote commands, by name.
        migration: seconds as in `converged`, compared with the last.
        writes: the number of write requests of a migration.
        on_standin: whether the server of the migrations was the stand-in.
        starts: seconds as in `converged`, of each loader and then of its comparison.
        imports: seconds of the import of each loader.
        installs: seconds of each installation of the Node loader by npm.
        search: the search of a history: MB/s, and a sentence on what was searched.
        machine: the properties of the machine, by name.
    """

    converged: Timings
    fresh: Timings
    limited: Sequence[str]
    commands: Mapping[str, int]
    migration: Timings
    writes: int
    on_standin: bool
    starts: Timings
    imports: Timings
    installs: Sequence[float]
    search: tuple[float, str]
    machine: Mapping[str, str]

    def bars(self) -> list[Bar]:
        """Return all limits with their measured values."""
        (script,) = list(self.fresh)[-1:]
        (ansible,) = list(self.converged)[-1:]
        return [
            *(
                Bar(
                    f"converged `{name}`, time against Ansible's",
                    ratio(self.converged[name], self.converged[ansible]),
                    MOST_OF_ANSIBLE,
                )
                for name in self.limited
            ),
            *(
                Bar(f"converged `{name}`, remote commands", count, MOST_COMMANDS)
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
            Bar("`npm install` of the Node loader, s", median(self.installs), SLOWEST_INSTALL),
            Bar("search of a history, MB/s", self.search[0], SLOWEST_SEARCH, is_least=True),
        ]

    def _of_migration(self) -> Iterator[Bar]:
        sdk = list(self.migration)[-1]
        for name, timings in self.migration.items():
            if name != sdk:
                title = f"`{name}` on {SERVERS[self.on_standin]}"
                faster = times(timings, self.migration[sdk])
                yield Bar(f"{title}, times faster than {sdk}", faster, FEWEST_TIMES, is_least=True)
                yield Bar(f"{title}, write requests", self.writes, MOST_WRITES)


def pairs(starts: Timings) -> Iterator[tuple[tuple[str, Sequence[float]], ...]]:
    """Yield each loader and its comparison, by name and seconds."""
    return zip(*[iter(starts.items())] * 2, strict=True)


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of the times of each round."""
    return median(one / other for one, other in zip(some, others, strict=True))


def times(some: Sequence[float], others: Sequence[float]) -> float:
    """Return how many times faster the first was than the second, as the median over the rounds."""
    return ratio(others, some)
