"""The certificates of a cluster that have to be made, by the lead's files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pyinfra.api.facts import FactBase
from pyinfra.context import host

from infisical_iac.core.item import Item, UpToDate
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

Why = Literal["missing", "stale", "ends"]


@dataclass(frozen=True)
class Lacking:
    """A file in /etc/infisical that is to be made, or made again.

    `why` is `missing`, `stale` for one that does not fit its key, its authority or its names, or
    `ends` for one that ends soon; `ends` is when, in seconds since the epoch, 0 if there is none.
    """

    file: str
    why: Why
    ends: int


class Certificates(FactBase[list[Lacking]]):
    """The certificates that certificates.sh would make."""

    def command(self) -> str:
        return script("certificates", "check")

    def process(self, output: list[str]) -> list[Lacking]:
        rows = [line.split() for line in output]
        return [Lacking(file, why, int(ends)) for why, file, ends in rows]  # type: ignore[arg-type]

    @staticmethod
    def default() -> list[Lacking]:
        return []


_ROOT = "/etc/infisical"


@telling_operation
def made() -> Commands:
    """Have the authority of the deployment and a certificate for each service, on the lead.

    What ends within 60 days is made again, and rolled out with the stack: its Docker secret has
    another name then. Raises CommandFailed where the authority's key is gone.
    """
    lacking = host.get_fact(Certificates)
    yield from decide(lacking)


def decide(lacking: Sequence[Lacking]) -> Commands:
    """Decide which certificates are to be made, by those that are `lacking`."""
    if not lacking:
        yield UpToDate("all certificates are there, and none ends soon")
        return
    for each in lacking:
        yield Item("+" if each.why == "missing" else "~", f"{_ROOT}/{each.file}", _detail(each))
    yield step(run, script("certificates", "make"), doing="make the certificates in /etc/infisical")


def _detail(lacking: Lacking) -> str:
    if lacking.why == "ends":
        return f"ends {datetime.fromtimestamp(lacking.ends, UTC):%Y-%m-%d} → made again"
    return "not of its key, its authority or its names" if lacking.why == "stale" else ""
