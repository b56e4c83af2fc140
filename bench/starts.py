"""Time a service's start with each loader against two bare requests: `python -m bench.starts`.

The bare requests log in and list the same secrets with the HTTP client of the runtime: `fetch` and
`http.client`. Each start is a separate process, in turn with the others, timed from the first
request to the values; the import of the loader is reported separately. So is the installation of
the packed Node loader by npm, into an empty project and without a network.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.bars import MOST_OF_BARE, SLOWEST_INSTALL, pairs, ratio
from bench.measuring import REPOSITORY, BenchError, Timings, run, say, seconds
from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile
from tests.contract.world import World
from tests.staging import engine, server

_SECRETS = 50
_NODE = ("node", str(REPOSITORY / "loaders" / "node" / "bench" / "start.js"))
_PYTHON = (sys.executable, str(REPOSITORY / "loaders" / "python" / "bench" / "start.py"))
LOADERS = ("loaders/node", "loaders/python")
_COMMANDS = {
    "loaders/node": (*_NODE, "loader"),
    "two requests by fetch": (*_NODE, "bare"),
    "loaders/python": (*_PYTHON, "loader"),
    "two requests by http.client": (*_PYTHON, "bare"),
}


class Starts(NamedTuple):
    """Seconds of the starts and of the imports, in the order of the rounds, by name.

    Each loader is followed by its comparison.
    """

    timings: Timings
    imports: Timings


def main() -> int:
    """Measure and print; return 0 if both loaders keep their limits, 1 if not."""
    engine.ensure()
    starts = measure(rounds=9)
    ratios = []
    for (name, some), (bare, others) in pairs(starts.timings):
        ratios.append(ratio(some, others))
        took, imported = median(some), median(starts.imports[name])
        print(f"{name}: {took * 1000:.0f} ms, {ratios[-1]:.2f} of {bare}; import {imported:.2f} s")
    installed = median(measure_installs(rounds=9))
    print(f"npm install of loaders/node: {installed:.2f} s, at most {SLOWEST_INSTALL:g} s")
    return 0 if max(ratios) <= MOST_OF_BARE and installed <= SLOWEST_INSTALL else 1


def measure_installs(rounds: int) -> list[float]:
    """Return the seconds of each installation of the packed Node loader by npm.

    Raises BenchError if npm fails.
    """
    timings = []
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        run(("npm", "pack", "--silent", "--pack-destination", top, REPOSITORY / "loaders/node"))
        (package,) = top.glob("*.tgz")
        options = ("--offline", "--cache", top / "cache", "--no-audit", "--no-fund")
        for number in range(rounds):
            say(f"Installations, round {number + 1} of {rounds}")
            project = top / str(number)
            project.mkdir()
            (project / "package.json").write_text('{"private": true}')
            timings.append(seconds(("npm", "install", *options, package), where=project))
    return timings


def measure(rounds: int) -> Starts:
    """Time each kind of start once a round, on a server made for the benchmark.

    Raises BenchError if a start fails.
    """
    with server.running() as running:
        return _in_turn(running.world(), rounds)


def _in_turn(world: World, rounds: int) -> Starts:
    world.folder("/", "service")
    identity = world.deployer_identity
    credential = (identity.client_id, identity.client_secret)
    values = {f"FAKE_{number}": f"fake-value-{number:032}" for number in range(_SECRETS)}
    world.write("/service", **values)
    starts = Starts({name: [] for name in _COMMANDS}, {name: [] for name in _COMMANDS})
    with tempfile.TemporaryDirectory() as directory:
        place = LocalFile(world.project_id, world.standin.url, "/service")
        local_file.write(Path(directory), place)
        for number in range(rounds):
            say(f"Starts, round {number + 1} of {rounds}")
            for name in _COMMANDS:
                measured = start(name, credential, Path(directory))
                starts.timings[name].append(measured["ms"] / 1000)
                starts.imports[name].append(measured["import_ms"] / 1000)
    return starts


def start(name: str, credential: tuple[str, str], directory: Path) -> dict[str, float]:
    """Start a service once, and return the milliseconds of its start and of its imports.

    Args:
        name: one of LOADERS, or its comparison.
        credential: the client id and the client secret.
        directory: the one that `.infisical.json` is in.

    Raises BenchError if the start fails.
    """
    client_id, client_secret = credential
    variables = {
        "INFISICAL_CLIENT_ID": client_id,
        "INFISICAL_CLIENT_SECRET": client_secret,
        "NODE_ENV": "production",
    }
    done = subprocess.run(
        _COMMANDS[name],
        cwd=directory,
        env={**os.environ, **variables, "PYTHONPATH": str(REPOSITORY / "loaders" / "python")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise BenchError(f"a start by {name} failed: {done.stderr[-400:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    sys.exit(main())
