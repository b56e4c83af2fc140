"""Judge what a benchmark comes to: a text beside it, and an exit status."""

import sys
from collections.abc import Callable

from bench.measuring import HOST, REPOSITORY
from infisical_iac.core.errors import UserError
from tests.staging import engine
from tests.staging.host import StagingHost


def written(name: str, measure: Callable[[], str]) -> int:
    """Measure, and write the results, whatever they are, into a file of that name.

    The benchmark's host is taken down at the end. Returns 0, or 1 after it has printed an error.
    """
    try:
        engine.ensure()
        try:
            text = measure()
        finally:
            StagingHost(HOST).down()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    (REPOSITORY / "bench" / name).write_text(text)
    print(text)
    return 0
