"""All that was measured, and the bars that it is held to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST_OF_ANSIBLE = 0.08
MOST_COMMANDS = 15
MOST_OF_SCRIPT = 1.15
FEWEST_TIMES = 20
MOST_WRITES = 20
SLOWEST_SEARCH = 50
MOST_OF_BARE = 1.5

SERVERS = {True: "the stand-in", False: "a real Infisical server"}

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
        """Return whether it is so."""
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
                what = f"`{name}` on {SERVERS[self.on_standin]}"
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
    """Return how many times faster the first was than the second: the median of the rounds'
    ratios.
    """
    return ratio(others, some)
