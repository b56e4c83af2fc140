"""Data that a change, a restore or a move was given up with, which nothing has removed. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

HELP = 'docs/operate/upgrade.md, "Data that were given up", says how to read them'
# What the volumes of single hosts begin with, as no database of a cluster does.
_VOLUMES = "infisical_postgres"


class GivenUp(NamedTuple):
    """Data that took the place of others, and gave way to them again.

    Attributes:
        name: the Docker volume that they are in, or the database of a cluster.
        since: when they took that place, as a UTC timestamp; empty where that is not known.
        writes: how much was written to them since then; None where it could not be counted.
        images: those of Infisical and PostgreSQL that ran on them, empty where not known.
    """

    name: str
    since: str = ""
    writes: int | None = None
    images: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return the kind of thing that `name` is of, for people."""
        return "Docker volume" if self.name.startswith(_VOLUMES) else "database"

    @property
    def is_needed(self) -> bool:
        """Return whether they may hold what is nowhere else."""
        return self.writes != 0

    @property
    def amount(self) -> str:
        """Return how much was written, for a sentence."""
        since = f" since {self.since}" if self.since else ""
        if self.writes is None:
            return f"what was written{since}, which could not be counted,"
        if self.writes == 0:
            return f"what was given up, to which nobody has written{since},"
        return f"{self.writes} write{'s' if self.writes > 1 else ''}{since}"

    def describe(self) -> str:
        """A clause on what is in them and where they are."""
        verb = "are" if self.writes and self.writes > 1 else "is"
        return f"{self.amount} {verb} in the {self.kind} {self.name}"


def parse_given_up(lines: Iterable[str]) -> list[GivenUp]:
    """The data that the lines `given-up <name> <since> <writes> <images>` of a script tell of."""
    found = []
    for line in lines:
        match line.split():
            case ["given-up", name]:
                found.append(GivenUp(name))
            case ["given-up", name, since, writes, *images]:
                number = int(writes) if writes.isdecimal() else None
                known = "" if since == "unknown" else since
                found.append(GivenUp(name, known, number, tuple(images)))
    return found


def describe_data(found: Iterable[GivenUp], then: str = "") -> str:
    """With which data what ran before serves again, for the end of a clause."""
    told = "; ".join(each.describe() for each in found)
    return f"with all data{then}" + (f"; {told} ({HELP})" if told else "")


def describe_kept(lines: Iterable[str]) -> list[str]:
    """Sentences on where what was given up is, for a way back that has been gone."""
    return [f"Kept: {each.describe()}; {HELP}." for each in parse_given_up(lines)]


def after_proof(lines: Iterable[str]) -> list[str]:
    """Sentences on what a proven change has left of what was given up before it."""
    listed = list(lines)
    gone = [line.split()[1] for line in listed if line.startswith("removed ")]
    return [
        *(f"Removed what was given up and nobody had written to: {name}." for name in gone),
        *(f"Kept: {each.describe()}, until you remove it." for each in parse_given_up(listed)),
    ]
