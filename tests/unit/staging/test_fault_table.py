"""Test the table of faults, and the names of the hosts of a staging cluster."""

from typing import Any

import pytest

from tests.cluster.client import Report
from tests.cluster.fault import ONE_FAULT_SECONDS
from tests.cluster.faults import FAULTS
from tests.cluster.ledger import Outage
from tests.cluster.repair import Repair
from tests.cluster.result import Result
from tests.cluster.series import Failed
from tests.cluster.table import COLUMNS, table
from tests.staging.cluster import members


def result(fault: str = "primary_killed", **changes: Any) -> Result:
    report = Report(
        1234, 1200, 7, 5, (), (Outage(100, 112.4), Outage(130, 134)), (Outage(101, 103),)
    )
    fields: dict[str, Any] = {
        "report": report,
        "moment": 99.5,
        "over": 125,
        "came_back": True,
        "repair": Repair(planned=("a", "b"), changed=("c",)),
    }
    return Result(fault, **{**fields, **changes})


def report_outages(*times: tuple[float, float]) -> Report:
    """Return the report of a client that could not write in these times."""
    return Report(9, 9, 0, 0, (), tuple(Outage(*each) for each in times), ())


def cells(text: str) -> list[str]:
    return [each.strip() for each in text.splitlines()[2].strip("|").split("|")]


def test_a_row_has_losses_times_and_changes_of_a_fault() -> None:
    assert cells(table([result()])) == [
        FAULTS["primary_killed"].title,
        "1,234",
        "0",
        "no",
        "13 s",
        "30 s",
        "12 s",
        "2 s",
        "4 s",
        "2 changes",
        "1 operation",
        "nothing",
        "as before",
        "nothing",
    ]
    assert result().wrong == []


def test_a_row_has_lost_writes_and_two_primaries() -> None:
    repair = Repair(unsettled=("c",), differences=("etcd: 3 → 2", "node a: active → drain"))
    found = result(lost=("A", "B"), doubled=("1 and 2",), came_back=False, repair=repair)
    row = cells(table([found]))
    assert (row[2], row[3], row[4]) == ("2", "**yes**", "**not by itself**")
    assert row[9:13] == ["nothing", "nothing", "1 change", "2 differences"]
    assert len(found.wrong) == 6
    assert row[13] == "; ".join(found.wrong)


def test_a_row_has_the_reason_why_a_fault_was_not_measured() -> None:
    row = cells(table([Failed("primary_killed", "no answer")]))
    assert row[1] == "**not measured**: no answer"
    assert len(row) == len(COLUMNS)


@pytest.mark.parametrize(
    ("fault", "ended", "wrong"),
    [
        ("primary_killed", 129, []),
        ("primary_killed", 130, ["service was back after 30.5 s, and has 30 s for it"]),
        ("all_restarted", 159, []),
        ("all_restarted", 160, ["service was back after 60.5 s, and has 60 s for it"]),
        ("all_apart", 189, []),
    ],
)
def test_a_service_that_is_back_too_late_is_reported(
    fault: str, ended: float, wrong: list[str]
) -> None:
    assert result(fault, report=report_outages((100, 103), (110, ended)), over=200).late() == wrong


def test_a_pause_when_the_fault_is_undone_has_a_bound_too() -> None:
    assert result(report=report_outages((130, 159))).late() == []
    (wrong,) = result(report=report_outages((130, 161))).late()
    assert result(report=report_outages((130, 161))).late(times=2) == []
    assert " 31.0 s " in wrong
    assert " 30 s " in wrong


def test_an_unsteady_or_unobserved_cluster_is_wrong() -> None:
    found = result(restless=("it flaps",), blind=("host 2 was silent",))
    unobserved, unsteady = found.wrong
    assert unobserved.endswith(": host 2 was silent")
    assert unsteady == "it flaps"
    assert cells(table([found]))[3] == "**not known**"


def test_changes_of_apply_that_were_not_planned_are_wrong() -> None:
    assert Repair(planned=("a",), changed=("b",)).wrong == []
    (unplanned,) = Repair(changed=("b",)).wrong
    assert unplanned.endswith(": b")


def test_each_fault_is_described_in_one_line_with_the_reason_for_a_longer_bound() -> None:
    said = [(fault.strike.__doc__ or "").strip() for fault in FAULTS.values()]
    assert all(each.endswith(".") and "\n" not in each for each in said)
    for fault in FAULTS.values():
        assert (fault.within > ONE_FAULT_SECONDS) is bool(fault.because)


@pytest.mark.parametrize(("cluster", "numbers"), [("ha", [1, 2, 10]), ("ha-1", [1]), ("h", [])])
def test_the_hosts_of_a_cluster_are_sorted_by_number(cluster: str, numbers: list[int]) -> None:
    names = ("ha-10", "ha-2", "ha-1", "ha", "ha-1-1", "ha-x", "other-1")
    assert members(names, cluster) == [f"{cluster}-{number}" for number in numbers]
