"""The certificates of a cluster that have to be made, by the lead's files."""

from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase

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
