"""Test that bench/RESULTS.md is rendered from given numbers."""

from dataclasses import replace

import pytest

from bench import converged_run
from bench.bars import Measured, ratio
from bench.measuring import BenchError
from bench.report import render, render_short

MEASURED = Measured(
    converged={"ours": [1.0, 1.0, 1.2], "idle": [0.5, 0.5, 0.5], "playbook": [20.0, 25.0, 20.0]},
    fresh={"deploy": [33.0, 36.0], "script": [30.0, 30.0]},
    limited=["ours"],
    commands={"ours": 6},
    migration={"apply": [1.0, 2.0], "sdk": [20.0, 40.0]},
    writes=20,
    on_standin=False,
    starts={"loader": [0.15, 0.3], "bare": [0.1, 0.2]},
    imports={"loader": [0.2, 0.4]},
    installs=[1.0, 2.0, 3.0],
    search=(50.0, "All of it."),
    machine={"CPU": "abacus", "cores": "2"},
)


def test_a_ratio_compares_times_of_the_same_round() -> None:
    assert ratio([1.0, 4.0, 9.0], [10.0, 20.0, 30.0]) == pytest.approx(0.2)


def test_numbers_at_their_limits_are_within_them() -> None:
    assert [bar.is_met for bar in MEASURED.bars()] == [True] * 8


@pytest.mark.parametrize(
    ("worse", "which"),
    [
        (replace(MEASURED, converged={"ours": [1.7], "playbook": [20.0]}), 0),
        (replace(MEASURED, commands={"ours": 7}), 1),
        (replace(MEASURED, fresh={"deploy": [35.0], "script": [30.0]}), 2),
        (replace(MEASURED, migration={"apply": [1.0], "sdk": [19.0]}), 3),
        (replace(MEASURED, writes=21), 4),
        (replace(MEASURED, starts={"loader": [0.16], "bare": [0.1]}), 5),
        (replace(MEASURED, installs=[2.1]), 6),
        (replace(MEASURED, search=(49.9, "All of it.")), 7),
    ],
)
def test_each_worse_number_misses_only_its_own_bar(worse: Measured, which: int) -> None:
    assert [bar.is_met for bar in worse.bars()] == [index != which for index in range(8)]


def _rows(measured: Measured) -> list[list[str]]:
    """Return the cells of all rows of tables in the report."""
    lines = render(measured).splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ") and "---" not in line
    ]


def test_the_report_has_the_bars_the_medians_and_the_machine() -> None:
    header, *rows = _rows(MEASURED)
    assert len(header) == 4
    assert [row[1:] for row in rows[:8]] == [
        ["0.050", "at most 0.08", "yes"],
        ["6", "at most 6", "yes"],
        ["1.150", "at most 1.15", "yes"],
        ["20.0", "at least 20", "yes"],
        ["20", "at most 20", "yes"],
        ["1.500", "at most 1.5", "yes"],
        ["2.000", "at most 2.0", "yes"],
        ["50.0", "at least 50", "yes"],
    ]
    subjects = (
        *("`ours`", "`ours`", "`deploy`", "`apply`", "`apply`", "`loader`", "`npm install`"),
        "history",
    )
    assert [subject in row[0] for subject, row in zip(subjects, rows[:8], strict=True)] == [
        True
    ] * 8
    assert ["`playbook`", "20.00 s", "20.00 to 25.00 s", "1.000"] in rows
    assert ["CPU", "abacus"] in rows
    assert "0.30 s for `loader`" in render(MEASURED)


def test_the_short_form_has_the_medians_and_the_remote_commands() -> None:
    lines = render_short(MEASURED.converged, MEASURED.commands).splitlines()
    assert "| `ours` | 1.00 s | 1.00 to 1.20 s | 0.050 |" in lines
    assert "| `ours` | 6 |" in lines


def test_more_remote_commands_than_the_limit_are_refused() -> None:
    converged_run.refuse_many_commands({"ours": 6})
    with pytest.raises(BenchError, match="`ours` sends 7"):
        converged_run.refuse_many_commands({"ours": 7})


def test_a_missed_bar_is_marked() -> None:
    missed = [
        row for row in _rows(replace(MEASURED, commands={"ours": 7})) if row[3:] == ["**no**"]
    ]
    assert [row[1:3] for row in missed] == [["7", "at most 6"]]


def test_a_migration_measured_on_the_stand_in_names_the_stand_in() -> None:
    where = {
        on_standin: {row[0] for row in _rows(replace(MEASURED, on_standin=on_standin))[4:6]}
        for on_standin in (True, False)
    }
    assert all("stand-in" in each for each in where[True])
    assert not any("stand-in" in each for each in where[False])
