"""The command line: `python -m tests.cluster [--name X] [fault …]`, on a deployed cluster."""

import argparse
import sys

from tests.cluster.faults import FAULTS
from tests.cluster.hosts import Cluster
from tests.cluster.series import series, wrong
from tests.cluster.table import table
from tests.staging.shell import StagingError


def main() -> int:
    """Inject the faults one by one and print the table; return 0 if nothing went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--name", default="cluster", help="the cluster (default: cluster)")
    parser.add_argument("faults", nargs="*", metavar="fault", help=f"of: {_names()}")
    arguments = parser.parse_args()
    unknown = set(arguments.faults) - FAULTS.keys()
    if unknown:
        parser.error(f"there is no fault {', '.join(sorted(unknown))}; there are: {_names()}")
    try:
        cluster = Cluster(arguments.name)
        results = series(cluster, arguments.faults or FAULTS)
    except StagingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(results), end="")
    return 1 if any(map(wrong, results)) else 0


def _names() -> str:
    return ", ".join(FAULTS)


if __name__ == "__main__":
    sys.exit(main())
