"""Run a benchmark and write its results."""

import sys
from collections.abc import Callable

from bench.measuring import HOST, REPOSITORY
from infisical_iac.core.errors import UserError
from tests.staging import engine
from tests.staging.host import StagingHost


def write_results(name: str, measure: Callable[[], str]) -> int:
    """Measure, and write the results into a file in `bench/`, whether limits are kept or not.

    The benchmark's host is removed at the end. Returns 0, or 1 after printing an error.
    """

    def write() -> None:
        engine.ensure()
        try:
            text = measure()
        finally:
            StagingHost(HOST).down()
        (REPOSITORY / "bench" / name).write_text(text)
        print(text)

    return report_errors(write)


def report_errors(action: Callable[[], None]) -> int:
    """Do something; return 0, or 1 after printing its error."""
    try:
        action()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
