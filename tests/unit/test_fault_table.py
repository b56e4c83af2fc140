"""The table of the faults, and the hosts of a staging cluster."""

from pathlib import Path

import pytest

from tests.cluster.client import Report
from tests.cluster.faults import FAULTS
from tests.cluster.ledger import Outage
from tests.cluster.series import Failed
from tests.cluster.suffering import Result
from tests.cluster.table import table
from tests.staging.cluster import directories


def result(**changes: object) -> Result:
    report = Report(
        1234, 1200, 7, 5, (), (Outage(100, 112.4), Outage(130, 134)), (Outage(101, 103),)
    )
    fields = {"came_back": True, "lost": (), "doubled": (), "planned": ("a", "b"), "unsettled": ()}
    return Result("primary_killed", report, 99.5, 125, **{**fields, **changes})  # type: ignore[arg-type]


def cells(text: str) -> list[str]:
    return [each.strip() for each in text.splitlines()[2].strip("|").split("|")]


def test_a_row_tells_what_was_lost_how_long_it_took_and_what_apply_changed() -> None:
    assert cells(table([result()])) == [
        "The power of the host with the primary fails",
        "1,234",
        "0",
        "no",
        "13 s",
        "12 s",
        "2 s",
        "4 s",
        "2 changes",
        "nothing",
    ]
    assert result().wrong == []


def test_a_row_tells_lost_writes_and_two_primaries() -> None:
    found = result(lost=("A", "B"), doubled=((1, 2),), came_back=False, unsettled=("c",))
    row = cells(table([found]))
    assert (row[2], row[3], row[4], row[9]) == ("2", "**yes**", "**not by itself**", "1 changes")
    assert len(found.wrong) == 4


def test_a_row_tells_of_a_fault_that_was_not_measured() -> None:
    row = cells(table([Failed("primary_killed", "no manager answers")]))
    assert row[1] == "**not measured**: no manager answers"
    assert len(row) == 10


def test_every_fault_says_in_one_line_what_it_does() -> None:
    said = [(fault.__doc__ or "").strip() for fault in FAULTS.values()]
    assert all(each.endswith(".") and "\n" not in each for each in said)


@pytest.mark.parametrize(("cluster", "numbers"), [("ha", [1, 2, 10]), ("ha-1", [1]), ("h", [])])
def test_the_hosts_of_a_cluster_come_by_number(
    tmp_path: Path, cluster: str, numbers: list[int]
) -> None:
    for name in ("ha-10", "ha-2", "ha-1", "ha", "ha-1-1", "ha-x", "other-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "host.json").touch()
    (tmp_path / "ha-3").mkdir()
    expected = [f"{cluster}-{number}" for number in numbers]
    assert [each.name for each in directories(tmp_path, cluster)] == expected
