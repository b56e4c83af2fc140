"""Run pyinfra and infisical-iac as a user does, and parse their output."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e import warm
from tests.e2e.inspection import ISOLATION
from tests.staging.shell import STATE

REPOSITORY = Path(__file__).resolve().parents[2]
_MOST_SECONDS = 600
# The lines that pyinfra prints for any failed step or host.
_SUMMARY = re.compile(r"-->|\[[^]]+\] Error: executed \d+")
_RECORD = "Audit | Record what the run changed"
PYINFRA = ("pyinfra",)
PROGRAM = ("infisical-iac",)
_COMMAND = (str(Path(sys.executable).with_name(*PROGRAM)),)


@dataclass(frozen=True)
class Run:
    """A finished run of pyinfra: its exit status and everything it printed."""

    status: int
    stdout: str
    stderr: str

    @cached_property
    def _results(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = json.loads(self.stdout)["results"]["operations"]
        return results

    @property
    def changed(self) -> list[str]:
        """Return the names of the operations that changed something, in their order.

        The operation that writes the audit log is left out.
        """
        names = [each["name"] for each in self._results if each["success"]]
        return [name for name in names if name != _RECORD]

    @property
    def unchanged(self) -> list[str]:
        """Return the names of the operations that had nothing to change."""
        return [each["name"] for each in self._results if each["no_change"]]

    @property
    def planned(self) -> list[str]:
        """Return the names of the operations that would change something."""
        plan = json.loads(self.stdout)["plan"]
        return [
            each["name"]
            for each in plan
            if each["hosts_with_change"] or each["hosts_with_conditional_change"]
        ]

    @property
    def sentence(self) -> str:
        """Return the last line of the error output."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        output = [line for line in lines if not _SUMMARY.match(line)]
        errors = [line for line in lines if "pyinfra error" in line and "No hosts" not in line]
        return (errors or output or lines)[-1]

    def ok(self) -> "Run":
        """Return the run if it succeeded; else raise AssertionError with the end of its output."""
        assert self.status == 0, self.stderr[-3000:]
        return self


def deploy(
    staging_host: str = "",
    *arguments: str,
    data: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    inventory: str = "inventory/staging.py",
    program: tuple[str, ...] = (),
    yes: bool = True,
) -> Run:
    """Run `pyinfra <inventory> deploy.py` on a staging host.

    Args:
        staging_host: its name; empty for an inventory that needs none.
        arguments: further ones for pyinfra, after `--json`.
        data: settings that differ, as with `--data`.
        environment: variables that differ; those of the user that name a host are not passed.
        program: what Python runs instead of pyinfra, which is forked from a warm process.
        yes: whether the run applies; else it only plans.
    """
    given = [item for pair in (data or {}).items() for item in ("--data", "=".join(pair))]
    kept = {name: value for name, value in os.environ.items() if "INFISICAL" not in name}
    own = {**kept, "STAGING_HOST": staging_host, **(environment or {})}
    asked = [*(["--yes"] if yes else []), "--json", *arguments, *given, inventory, "deploy.py"]
    done = _run_program((sys.executable, *program) if program else PYINFRA, asked, own)
    return Run(done.returncode, done.stdout, done.stderr)


Done = subprocess.CompletedProcess[str]


def infisical_iac(
    staging_host: str,
    *arguments: str,
    program: tuple[str, ...] = PROGRAM,
    answer: str = "",
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run `infisical-iac <arguments>` with the inventory of a staging host of that name.

    Args:
        program: what is run instead of the command, which is forked from a warm process.
        answer: what is typed.
        environment: variables that differ.
    """
    own = {**command_environment(staging_host), **(environment or {})}
    return _run_program(program, arguments, own, answer)


def _run_program(
    program: tuple[str, ...], arguments: Sequence[str], environment: dict[str, str], input: str = ""
) -> Done:
    # `verify` starts pytest, whose programs must find no event loop in their parent.
    is_verify = list(arguments[:1]) == ["verify"]
    if program in (PYINFRA, PROGRAM) and not is_verify:
        return _warm(*program, *arguments, environment=environment, input=input)
    if program[:2] == (sys.executable, "-m") and program[2].startswith("tests.e2e."):
        return _warm(*program[2:], *arguments, environment=environment, input=input)
    return subprocess.run(
        [*(_COMMAND if is_verify else program), *arguments],
        cwd=REPOSITORY,
        env=environment,
        input=input,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
    )


def _warm(program: str, *arguments: str, environment: dict[str, str], input: str) -> Done:
    return warm.run(
        program, *arguments, environment=environment, input=input, timeout=_MOST_SECONDS
    )


def command_environment(staging_host: str) -> dict[str, str]:
    """Return the environment in which `infisical-iac` finds a staging host's inventory."""
    kept = {name: value for name, value in os.environ.items() if "INFISICAL" not in name}
    return {
        **kept,
        "STAGING_HOST": staging_host,
        "INFISICAL_IAC_INVENTORY": "inventory/staging.py",
    }


def metrics(text: str) -> dict[str, str]:
    """Return the values in Prometheus' text format, by name with labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def production_settings() -> dict[str, str]:
    """Return the settings with which the production inventory can name a staging host."""
    images = json.loads((STATE / "images.json").read_text())
    return {
        "access_log_max_mb": "100",
        "admin_email": "admin@example.com",
        "fail2ban": "off",
        "ingress": "none",
        "isolation": ISOLATION,
        "infisical_image": images["infisical"],
        "infisical_version": images["infisical_version"],
        "postgres_image": images["postgres"],
        "redis_image": images["redis"],
        "swap": "keep",
    }


def plan_changes(staging_host: str) -> tuple[int, list[str]]:
    """Return the exit status of `infisical-iac plan`, and its changes and unknowns as lines."""
    done = infisical_iac(staging_host, "plan", "--json")
    return done.returncode, lines(done)


def lines(plan: Done) -> list[str]:
    """Return the changes and unknowns of `infisical-iac plan --json` as lines."""
    assert plan.returncode in (0, 2), plan.stderr
    found = json.loads(plan.stdout)
    items = [
        f"{each['kind']} {each['what']}" + (f": {each['detail']}" if each["detail"] else "")
        for each in found["changes"]
    ]
    return [*items, *(f"? {each}" for each in found["unknown"])]
