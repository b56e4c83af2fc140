"""The commands of a run on a converged host."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.bars import MOST_COMMANDS
from bench.measuring import HOST, BenchError, Command, program, run

INVENTORY = "inventory/staging.py"
PYINFRA = "pyinfra -y inventory/staging.py deploy.py"
APPLY = "infisical-iac apply --yes"
WITHOUT_NODELAY = "pyinfra … deploy.py, without TCP_NODELAY"
NOTHING = "pyinfra … exec -- true, the floor"

_APPLY: Command = ("infisical-iac", "apply", "--yes", "--inventory", INVENTORY)
_PYINFRA: Command = ("pyinfra", "-y", INVENTORY, "deploy.py")
# Reading the attribute first fails if it has been renamed.
_LEAVE_DELAY = (
    "import infisical_iac.workspace.preflight as p; p.without_delay; "
    "p.without_delay = lambda host: None; from pyinfra_cli.cli import cli; cli()"
)


def commands() -> dict[str, Command]:
    """Return the commands to be timed, by their names in the results."""
    return {
        APPLY: (program("infisical-iac"), *_APPLY[1:]),
        PYINFRA: (program("pyinfra"), *_PYINFRA[1:]),
        WITHOUT_NODELAY: (sys.executable, "-c", _LEAVE_DELAY, *_PYINFRA[1:]),
        NOTHING: (program("pyinfra"), "-y", INVENTORY, "exec", "--", "true"),
    }


def refuse_changes(host: str = HOST) -> None:
    """Run `infisical-iac plan` on a host. Raises BenchError unless there is nothing to change."""
    run((program("infisical-iac"), "plan", "--inventory", INVENTORY), host=host)


def refuse_many_commands(counts: Mapping[str, int]) -> None:
    """Raise BenchError if a run needs more remote commands than the limit."""
    for name, count in counts.items():
        if count > MOST_COMMANDS:
            raise BenchError(f"`{name}` sends {count} remote commands: at most {MOST_COMMANDS}")


def remote_commands(host: str = HOST) -> dict[str, int]:
    """Return the number of SSH commands of `apply` and of pyinfra."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "commands"
        counts = {}
        for name, command in ((APPLY, _APPLY), (PYINFRA, _PYINFRA)):
            run((sys.executable, "-m", "bench.counting", log, *command), host=host)
            counts[name] = len(log.read_text().splitlines())
    return counts
