"""Test what bench/RESULTS.md says of numbers that were measured."""

from dataclasses import replace

import pytest

from bench.bars import Measured, ratio
from bench.report import render

MEASURED = Measured(
    settled={"ours": [1.0, 1.0, 1.2], "idle": [0.5, 0.5, 0.5], "playbook": [20.0, 25.0, 20.0]},
    fresh={"deploy": [33.0, 36.0], "script": [30.0, 30.0]},
    held_to=["ours"],
    commands={"ours": 15},
    migration={"apply": [1.0, 2.0], "sdk": [20.0, 40.0]},
    writes=20,
    on_standin=False,
    starts={"loader": [0.15, 0.3], "bare": [0.1, 0.2]},
    imports={"loader": [0.2, 0.4]},
    search=(50.0, "All of it."),
    machine={"CPU": "abacus", "cores": "2"},
)


def test_a_ratio_is_that_of_the_same_round() -> None:
    assert ratio([1.0, 4.0, 9.0], [10.0, 20.0, 30.0]) == pytest.approx(0.2)


def test_numbers_at_their_limits_are_within_them() -> None:
    assert [bar.is_met for bar in MEASURED.bars()] == [True] * 7


@pytest.mark.parametrize(
    ("worse", "which"),
    [
        (replace(MEASURED, settled={"ours": [1.7], "playbook": [20.0]}), 0),
        (replace(MEASURED, commands={"ours": 16}), 1),
        (replace(MEASURED, fresh={"deploy": [35.0], "script": [30.0]}), 2),
        (replace(MEASURED, migration={"apply": [1.0], "sdk": [19.0]}), 3),
        (replace(MEASURED, writes=21), 4),
        (replace(MEASURED, starts={"loader": [0.16], "bare": [0.1]}), 5),
        (replace(MEASURED, search=(49.9, "All of it.")), 6),
    ],
)
def test_each_bar_is_missed_by_itself(worse: Measured, which: int) -> None:
    assert [bar.is_met for bar in worse.bars()] == [index != which for index in range(7)]


def test_the_results_name_the_bars_the_medians_and_the_machine() -> None:
    lines = render(MEASURED).splitlines()
    assert "| settled `ours`, time against Ansible's | 0.050 | at most 0.08 | yes |" in lines
    assert "| settled `ours`, remote commands | 15 | at most 15 | yes |" in lines
    assert "| fresh `deploy`, time against the script's | 1.150 | at most 1.15 | yes |" in lines
    where = "`apply` on a real Infisical server"
    assert f"| {where}, times faster than sdk | 20.0 | at least 20 | yes |" in lines
    assert f"| {where}, write requests | 20 | at most 20 | yes |" in lines
    assert "| start by `loader`, time against bare | 1.500 | at most 1.5 | yes |" in lines
    assert (
        "Importing the loader with the official SDK is apart from that: 0.30 s for `loader`."
        in lines
    )
    assert "| search of a history, MB/s | 50.0 | at least 50 | yes |" in lines
    assert "| `playbook` | 20.00 s | 20.00 to 25.00 s | 1.000 |" in lines
    assert "| CPU | abacus |" in lines


def test_a_bar_that_is_missed_is_told() -> None:
    text = render(replace(MEASURED, commands={"ours": 16}))
    assert "| settled `ours`, remote commands | 16 | at most 15 | **no** |" in text


def test_a_migration_on_the_stand_in_is_told_to_be_one() -> None:
    text = render(replace(MEASURED, on_standin=True))
    assert "| `apply` on the stand-in, times faster than sdk | 20.0 |" in text
    assert "on the stand-in, which runs on this machine too" in text
