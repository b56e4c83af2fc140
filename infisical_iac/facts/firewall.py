"""Read what the host's firewall is, read in one command."""

import shlex
from dataclasses import dataclass, field
from itertools import pairwise

from pyinfra.api.facts import FactBase

from infisical_iac.facts.files import Paths, PathState, reading
from infisical_iac.facts.units import Units, UnitState

# Without what counts and what comes and goes: limits' states, and the sources that are remembered.
_LIST = "nft --stateless --terse list table inet infisical"
_ACTUAL, _WANTED, _FILES, _UNITS = "actual:", "wanted:", "files:", "units:"


@dataclass(frozen=True)
class FirewallState:
    """The table that is loaded, what it should look like, and what loads it at boot.

    Attributes:
        actual: the table as the host's nft lists it, empty without one.
        wanted: how it lists the ruleset that was asked for; empty if it can't be loaded.
        on_trial: whether a change has not been proven yet.
        installed: whether nft is there at all.
        files: by path; `units`: by name.
    """

    actual: str = ""
    wanted: str = ""
    on_trial: bool = False
    installed: bool = False
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)


class Firewall(FactBase[FirewallState]):
    """The FirewallState.

    Args:
        ruleset: the text for `nft -f` that should be loaded. It is loaded where nothing feels it,
            in a network namespace of its own, and listed there: two listings of one program of
            the same version can be compared.
        paths: of the files that are asked for.
        unit: that loads the ruleset.
        mark: the file that is there while a change is on trial.
    """

    def command(self, ruleset: str, paths: list[str], unit: str, mark: str) -> str:
        apart = shlex.quote(f"nft -f - && {_LIST}")
        wanted = f"printf %s {shlex.quote(ruleset)} | unshare --net sh -c {apart} 2>&1"
        return (
            "command -v nft >/dev/null && echo installed; "
            f"test ! -e {shlex.quote(mark)} || echo trial; "
            f"echo {_ACTUAL}; {_LIST} 2>/dev/null; echo {_WANTED}; {wanted}; "
            f"echo {_FILES}; {reading(shlex.join(paths))}; "
            f"echo {_UNITS}; {Units().command([unit], {})}"
        )

    def process(self, output: list[str]) -> FirewallState:
        at = [output.index(each) for each in (_ACTUAL, _WANTED, _FILES, _UNITS)]
        actual, wanted, files = (output[one + 1 : two] for one, two in pairwise(at))
        return FirewallState(
            "\n".join(actual),
            "\n".join(wanted),
            "trial" in output[: at[0]],
            "installed" in output[: at[0]],
            Paths().process(files),
            Units().process(output[at[-1] + 1 :]),
        )

    @staticmethod
    def default() -> FirewallState:
        return FirewallState()
