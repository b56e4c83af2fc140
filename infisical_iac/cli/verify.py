"""`infisical-iac verify`: run the host tests, and report them as sentences."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from rich.console import Console
from rich.markup import escape

from infisical_iac.cli.options import LocalPath, inventory_option, json_option
from infisical_iac.core.bundle import HOST_CHECKS, ROOT
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.own_repository import require_inventory
from infisical_iac.core.terminal import print_data

# Pytest must not read the configuration of a user's repository, only the suite's own directory.
_SUITE = (str(HOST_CHECKS), "-c", os.devnull, "--rootdir", str(ROOT), "--confcutdir", str(ROOT))

# Options that users set for tests of their own, which the suite may not know.
_USERS_OPTIONS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


# Pytest keeps its plugins in sets, so they must be hashable.
@dataclass(eq=False)
class Outcome:
    """The results of the host tests, collected as a plugin of pytest.

    Attributes:
        ended: the sentence with which the suite ended itself; empty if it did not.
        passed: the passed checks, as sentences, by topic.
        skipped: the skipped checks, each with its reason, by topic.
        failed: the failed checks, each with its reason, by topic.
    """

    ended: str = ""
    passed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the result of one phase of a check; pytest calls this."""
        topic = Path(report.location[0]).stem.removeprefix("test_")
        sentence = report.location[2].removeprefix("test_").replace("_", " ")
        if report.failed:
            self.failed[topic].append((sentence, _reason(report)))
        elif report.skipped:
            self.skipped[topic].append((sentence, _reason(report)))
        elif report.when == "call":
            self.passed[topic].append(sentence)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Collect the reason why the suite ended itself; pytest calls this."""
        if isinstance(excinfo.value, pytest.exit.Exception):
            self.ended = excinfo.value.msg

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of passed, skipped and failed checks."""
        return {
            "passed": sum(map(len, self.passed.values())),
            "skipped": sum(map(len, self.skipped.values())),
            "failed": sum(map(len, self.failed.values())),
        }


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    lines = [line[1:].strip() for line in report.longreprtext.splitlines() if line[:1] == "E"]
    if lines:
        return lines[0].removeprefix("AssertionError: ")
    return report.longreprtext.strip().splitlines()[-1]


@click.command()
@inventory_option
@json_option
@click.option(
    "--junit",
    type=LocalPath(dir_okay=False),
    help="Also write the results to this file, as JUnit XML.",
)
@click.pass_context
def verify(ctx: click.Context, inventory: str, as_json: bool, junit: Path | None) -> None:
    """Verify the inventory's host: its effective state, the API, and the access to secrets.

    Nothing is changed. A check that does not apply to a host with these settings is skipped, with
    the reason.

    Exit status: 0 if all checks passed; 1 if one failed or none could run.
    """
    require_inventory(inventory)
    outcome = Outcome()
    arguments = [*_SUITE, "--inventory", inventory]
    arguments += ["-p", "no:terminal", "-p", "no:cacheprovider"]
    if junit:
        arguments += ["--junit-xml", str(junit)]
    for name in _USERS_OPTIONS:
        os.environ.pop(name, None)
    status = pytest.main(arguments, plugins=[outcome])
    if outcome.ended:
        raise RunFailed(outcome.ended)
    counts = outcome.counts
    ran = counts["passed"] + counts["failed"]
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not ran:
        raise RunFailed(f"the host of {inventory} could not be verified: see the output above")
    if as_json:
        _print_json(outcome)
    else:
        _print(outcome)
    ctx.exit(1 if outcome.failed else 0)


def _print_json(outcome: Outcome) -> None:
    print_data(
        outcome.counts
        | {"failures": _as_data(outcome.failed)}
        | {"skips": _as_data(outcome.skipped)}
    )


def _as_data(found: dict[str, list[tuple[str, str]]]) -> list[dict[str, str]]:
    return [
        {"topic": topic, "check": sentence, "reason": reason}
        for topic, each in found.items()
        for sentence, reason in each
    ]


def _print(outcome: Outcome) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for topic in sorted(outcome.passed.keys() | outcome.skipped.keys() | outcome.failed.keys()):
        passed, failed = outcome.passed.get(topic, []), outcome.failed.get(topic, [])
        mark = "[red]✗[/]" if failed else "[green]✓[/]" if passed else "-"
        console.print(f"{mark} {topic:12} {len(passed):4} passed")
        for sentence, reason in failed:
            console.print(f"    [red]{escape(sentence)}[/]: {escape(reason)}")
        for reason, number in Counter(why for _, why in outcome.skipped.get(topic, ())).items():
            console.print(f"    {number} skipped: {escape(reason)}")
    counts = outcome.counts
    console.print("{passed} checks passed, {skipped} skipped, {failed} failed.".format(**counts))
