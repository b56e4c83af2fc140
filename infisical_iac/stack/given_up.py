"""Report data of an undone change, restore or migration that are still there. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

HELP = 'docs/operate/upgrade.md, "Data that were given up", says how to read them'
# The prefix of single hosts' volumes; no database of a cluster begins with it.
_VOLUMES = "infisical_postgres"


class GivenUp(NamedTuple):
    """Data that replaced other data, until a rollback brought the other data back.

    Attributes:
        name: the Docker volume that they are in, or the database of a cluster.
        since: when they replaced the other data, as a UTC timestamp; empty if unknown.
        writes: the number of writes to them since then; None if it could not be counted.
        images: the images of Infisical and PostgreSQL that used them; empty if unknown.
    """

    name: str
    since: str = ""
    writes: int | None = None
    images: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return what `name` is the name of, for people."""
        return "Docker volume" if self.name.startswith(_VOLUMES) else "database"

    @property
    def is_needed(self) -> bool:
        """Return whether the data may hold writes that are nowhere else."""
        return self.writes != 0

    @property
    def _subject(self) -> str:
        """Return the subject of a sentence: how much was written."""
        since = f" since {self.since}" if self.since else ""
        if self.writes is None:
            return f"what was written{since}, which could not be counted,"
        if self.writes == 0:
            return f"what was given up, without any write{since},"
        return f"{self.writes} write{'s' if self.writes > 1 else ''}{since}"

    def describe(self) -> str:
        """Return a clause on what was written and where it is."""
        verb = "are" if self.writes and self.writes > 1 else "is"
        return f"{self._subject} {verb} in the {self.kind} {self.name}"


def parse_given_up(lines: Iterable[str]) -> list[GivenUp]:
    """Parse a script's lines `given-up <name> <since> <writes> <images>`."""
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
    """Return the end of a clause: with which data the earlier version serves again."""
    described = "; ".join(each.describe() for each in found)
    return f"with all data{then}" + (f"; {described} ({HELP})" if described else "")


def describe_kept(lines: Iterable[str]) -> list[str]:
    """Return sentences on where the given up data are, after a rollback."""
    return [f"Kept: {each.describe()}; {HELP}." for each in parse_given_up(lines)]


def after_proof(lines: Iterable[str]) -> list[str]:
    """Return sentences on what a proven change removed and kept of data given up before."""
    listed = list(lines)
    gone = [line.split()[1] for line in listed if line.startswith("removed ")]
    return [
        *(f"Removed data that were given up, without any write: {name}." for name in gone),
        *(f"Kept: {each.describe()}, until you remove it." for each in parse_given_up(listed)),
    ]
