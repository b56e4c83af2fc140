"""`make bench`: how long the second run takes on the demo's host, and what makes it quick.

Whole commands are timed, from the start of Python to its end, in turn: the deploy as it is, the
deploy without TCP_NODELAY, and pyinfra connecting and doing nothing, which is the floor. Run it
on an idle machine after `make demo`.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

_ROUNDS = 7
_REPOSITORY = Path(__file__).resolve().parents[1]
_INVENTORY = "inventory/staging.py"
_WITHOUT_NODELAY = (
    "import infisical_iac.deploys.preflight as p; p.without_delay = lambda host: None; "
    "from pyinfra_cli.cli import cli; cli()"
)
_COMMANDS = {
    "the deploy, settled": ["-m", "pyinfra", "-y", _INVENTORY, "deploy.py"],
    "the same without TCP_NODELAY": ["-c", _WITHOUT_NODELAY, "-y", _INVENTORY, "deploy.py"],
    "pyinfra doing nothing": ["-m", "pyinfra", "-y", _INVENTORY, "exec", "--", "true"],
}


def _seconds(arguments: list[str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=_REPOSITORY, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        sys.exit(
            f"the benchmark needs a deployed demo; run `make demo` first:\n{done.stderr[-600:]}"
        )
    return time.perf_counter() - begin


def main() -> None:
    """Print the median of each command and its ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for arguments in _COMMANDS.values():
        _seconds(arguments)
    for _ in range(_ROUNDS):
        for name, arguments in _COMMANDS.items():
            seconds[name].append(_seconds(arguments))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    base = next(iter(medians.values()))
    print(f"median of {_ROUNDS} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, median in medians.items():
        print(f"  {name:30} {median:5.2f} s  {median / base:4.2f}x")


if __name__ == "__main__":
    main()
