"""Format the results of the faults as a table in Markdown."""

from collections.abc import Sequence

from tests.cluster.faults import FAULTS
from tests.cluster.result import Result
from tests.cluster.series import Failed, wrong

COLUMNS = (
    "fault",
    "writes acknowledged",
    "lost",
    "two primaries",
    "service back after",
    "at most",
    "longest without a write",
    "longest without a read",
    "pause when it was undone",
    "`plan` reported",
    "`apply` changed",
    "`plan` reported then",
    "end state",
    "wrong",
)


def table(results: Sequence[Result | Failed]) -> str:
    """Return one row per fault; an outage shorter than two seconds is ignored."""
    return "\n".join([_line(COLUMNS), f"|{'---|' * len(COLUMNS)}", *map(_row, results)]) + "\n"


def _row(result: Result | Failed) -> str:
    title = FAULTS[result.fault].title
    if isinstance(result, Failed):
        empty = [""] * (len(COLUMNS) - 2)
        return _line((title, f"**not measured**: {result.why}", *empty))
    report, repair = result.report, result.repair
    longest = (
        max((each.seconds for each in found), default=0.0)
        for found in (report.write_outages, report.read_outages)
    )
    cells = (
        title,
        f"{report.writes:,}",
        str(len(result.lost) + len(report.wrong_reads)),
        _primaries(result),
        _seconds(result.back_after) if result.came_back else "**not by itself**",
        _seconds(result.within),
        *(_seconds(each) for each in longest),
        _seconds(result.later),
        _count(repair.planned, "change"),
        _count(repair.changed, "operation"),
        _count(repair.unsettled, "change"),
        _count(repair.differences, "difference", "as before"),
        "; ".join(wrong(result)).replace("|", "/") or "nothing",
    )
    return _line(cells)


def _primaries(result: Result) -> str:
    if result.doubled:
        return "**yes**"
    return "**not known**" if result.blind else "no"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds else "none"


def _count(found: Sequence[str], what: str, none: str = "nothing") -> str:
    return f"{len(found)} {what}{'' if len(found) == 1 else 's'}" if found else none
