"""The results of the faults as a table in Markdown."""

from collections.abc import Sequence

from tests.cluster.faults import FAULTS
from tests.cluster.series import Failed
from tests.cluster.suffering import Result

_HEAD = (
    "| fault | writes acknowledged | lost | two primaries | service back after | "
    "longest without a write | longest without a read | pause when it was undone | "
    "`plan` told | and after `apply` |"
)
_RULE = "|---|---|---|---|---|---|---|---|---|---|"


def table(results: Sequence[Result | Failed]) -> str:
    """A row a fault; an outage shorter than two seconds counts as none."""
    return "\n".join([_HEAD, _RULE, *map(_row, results)]) + "\n"


def _row(result: Result | Failed) -> str:
    fault = (FAULTS[result.fault].__doc__ or "").strip().rstrip(".")
    if isinstance(result, Failed):
        return f"| {fault} | **not measured**: {result.why} |{' |' * 8}"
    report = result.report
    longest = (
        max((each.seconds for each in found), default=0.0)
        for found in (report.write_outages, report.read_outages)
    )
    cells = (
        fault,
        f"{report.writes:,}",
        str(len(result.lost) + len(report.wrong_reads)),
        "no" if not result.doubled else "**yes**",
        _seconds(result.back_after) if result.came_back else "**not by itself**",
        *(_seconds(each) for each in longest),
        _seconds(result.later),
        _changes(result.planned),
        _changes(result.unsettled),
    )
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds else "none"


def _changes(planned: Sequence[str]) -> str:
    return f"{len(planned)} changes" if planned else "nothing"
