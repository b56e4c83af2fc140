"""The table of the faults, and the hosts of a staging cluster."""

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


def away(*times: tuple[float, float]) -> Report:
    """Return what a client saw that could not write in these times."""
    return Report(9, 9, 0, 0, (), tuple(Outage(*each) for each in times), ())


def cells(text: str) -> list[str]:
    return [each.strip() for each in text.splitlines()[2].strip("|").split("|")]


def test_a_row_tells_what_was_lost_how_long_it_took_and_what_apply_changed() -> None:
    assert cells(table([result()])) == [
        "The power of the host with the primary fails",
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
    ]
    assert result().wrong == []


def test_a_row_tells_lost_writes_and_two_primaries() -> None:
    repair = Repair(unsettled=("c",), differences=("etcd: 3 → 2", "node a: active → drain"))
    found = result(lost=("A", "B"), doubled=("1 and 2",), came_back=False, repair=repair)
    row = cells(table([found]))
    assert (row[2], row[3], row[4]) == ("2", "**yes**", "**not by itself**")
    assert row[9:] == ["nothing", "nothing", "1 change", "2 differences"]
    assert len(found.wrong) == 6


def test_a_row_tells_of_a_fault_that_was_not_measured() -> None:
    row = cells(table([Failed("primary_killed", "no manager answers")]))
    assert row[1] == "**not measured**: no manager answers"
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
def test_service_has_a_time_in_which_it_must_be_back(
    fault: str, ended: float, wrong: list[str]
) -> None:
    assert result(fault, report=away((100, 103), (110, ended)), over=200).late() == wrong


def test_a_host_that_comes_back_costs_no_more_than_one_that_goes() -> None:
    assert result(report=away((130, 159))).late() == []
    (wrong,) = result(report=away((130, 161))).late()
    assert result(report=away((130, 161))).late(times=2) == []
    assert wrong.startswith("service paused for 31.0 s while the fault was undone and repaired")


def test_what_was_not_steady_or_not_seen_is_wrong() -> None:
    found = result(restless=("it flaps",), blind=("host 2 answered 0 times",))
    assert found.wrong == [
        "whether there were two primaries is not known: host 2 answered 0 times",
        "it flaps",
    ]
    assert cells(table([found]))[3] == "**not known**"


def test_what_apply_changes_and_plan_did_not_tell_is_wrong() -> None:
    assert Repair(planned=("a",), changed=("b",)).wrong == []
    assert Repair(changed=("b",)).wrong == ["`apply` changed what `plan` did not tell: b"]


def test_every_fault_says_in_one_line_what_it_does_and_why_it_may_take_longer() -> None:
    said = [(fault.strike.__doc__ or "").strip() for fault in FAULTS.values()]
    assert all(each.endswith(".") and "\n" not in each for each in said)
    for fault in FAULTS.values():
        assert (fault.within > ONE_FAULT_SECONDS) is bool(fault.because)


@pytest.mark.parametrize(("cluster", "numbers"), [("ha", [1, 2, 10]), ("ha-1", [1]), ("h", [])])
def test_the_hosts_of_a_cluster_come_by_number(cluster: str, numbers: list[int]) -> None:
    names = ("ha-10", "ha-2", "ha-1", "ha", "ha-1-1", "ha-x", "other-1")
    assert members(names, cluster) == [f"{cluster}-{number}" for number in numbers]
