"""`python -m tests.real`: run the tests of the server on a real Infisical.

The image is the one in the archive `STAGING_INFISICAL_IMAGE`, made by `docker save`; upgrades go
to the one in `STAGING_INFISICAL_NEXT`, or else to the same program under a later version. The
results are written to `.staging/real.md`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract.conftest import REAL
from tests.contract.replay import RECORDING, Player, with_deployer
from tests.staging import engine, stack
from tests.staging.build import image_id
from tests.staging.server import Server, running
from tests.staging.shell import STATE, StagingError, say

REPORT = STATE / "real.md"
_INSIDE = tuple(
    f"tests/contract/test_{each}.py"
    for each in (
        "project_changes",
        "instance",
        "projects",
        "moving",
        "logins_of_people",
        "people",
        "oidc_auth",
        "check_command",
        "migrate_projects",
        "secrets_command",
        "vendor_command_line",
    )
)
_CLUSTER = "tests/e2e/test_cluster.py"
_JUNIT = STATE / "real.xml"
_NONE = "Give an archive of the server's image, made by `docker save`: STAGING_INFISICAL_IMAGE=FILE"
_TEXT = """\
# The tests of the server on {image}

Image {id}.

## What it answers otherwise than was recorded

Recorded from: {recorded}.

{differences}

## Tests

{tests}
"""


@dataclass(frozen=True)
class Tests:
    """The number of tests that passed, and a line for each other test."""

    passed: int
    failures: list[str]


def main(arguments: list[str]) -> int:
    """Compare, test and report; `arguments` are pytest's. Returns 1 where a test failed."""
    began = time.monotonic()
    try:
        if stack.find_archive() is None:
            raise StagingError(_NONE)
        engine.ensure()
        differences = [line for each in (_play_fresh, _people, _instance) for line in _replay(each)]
        subprocess.run([sys.executable, "-m", "tests.e2e"], check=True)
    except StagingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    status, tests = _test(arguments)
    image = f"{stack.INFISICAL}:{stack.version()}"
    minutes = (time.monotonic() - began) / 60
    text = _TEXT.format(
        image=image,
        id=image_id(image),
        recorded=RECORDING["server"],
        differences=_format_list(differences) or "Nothing.",
        tests=f"{tests.passed} passed, {len(tests.failures)} failed, in {minutes:.0f} minutes.\n\n"
        + _format_list(tests.failures),
    )
    REPORT.write_text(text.rstrip() + "\n")
    print(text)
    return status


def _play_fresh(server: Server) -> tuple[Player, str]:
    """Return a player of the exchanges that were recorded on a fresh instance, and its name."""
    return Player(server), "exchanges"


def _people(server: Server) -> tuple[Player, str]:
    """Return a player of the recorded exchanges about people, on an instance set up for them."""
    return with_deployer(server.world()), "people"


def _instance(server: Server) -> tuple[Player, str]:
    """Return a player of the exchanges about an instance's settings and its administrator."""
    return with_deployer(server.world()), "instance"


def _replay(ready: Callable[[Server], tuple[Player, str]]) -> list[str]:
    """Play recorded exchanges to a fresh server; return a line for each difference."""
    with running() as server:
        player, name = ready(server)
        say(f"Playing {len(RECORDING[name])} recorded exchanges to {server.url}")
        found = [player.differences(each) for each in RECORDING[name]]
    return [line for lines in found for line in lines]


def _test(arguments: list[str]) -> tuple[int, Tests]:
    """Run the contract's tests of projects on one server, and then the tests on hosts.

    A cluster is tested by itself: its three servers use both processors.
    """
    shared = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    runs = (
        (_INSIDE, {**os.environ, REAL: "1"}),
        ((*shared, f"--ignore={_CLUSTER}", "tests/e2e"), None),
        ((_CLUSTER,), None),
    )
    status, tests = 0, Tests(0, [])
    for options, environment in runs:
        command = (sys.executable, "-m", "pytest", "-m", "real", f"--junitxml={_JUNIT}")
        done = subprocess.run([*command, *arguments, *options], env=environment)
        # `arguments` may select none of either kind.
        status = status or done.returncode * (done.returncode != pytest.ExitCode.NO_TESTS_COLLECTED)
        found = _read(_JUNIT)
        tests = Tests(tests.passed + found.passed, [*tests.failures, *found.failures])
    return status, tests


def _read(file: Path) -> Tests:
    passed, failures = 0, []
    for case in ElementTree.parse(file).iter("testcase"):
        wrong = [each for each in case if each.tag in ("failure", "error")]
        passed += not wrong
        message = wrong[0].get("message", "").split("\n")[0] if wrong else ""
        if wrong:
            failures.append(f"{case.get('classname')}::{case.get('name')}: {message[:300]}")
    return Tests(passed, failures)


def _format_list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
