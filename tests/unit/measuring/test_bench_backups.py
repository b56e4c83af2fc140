"""Test that the report of the benchmark of backups follows from the measured values."""

import pytest

from bench.backups_report import BACKUP, DRILL, QUIET, RESTORE, Measured, percentile, render
from bench.watching import Disk


@pytest.mark.parametrize(("part", "expected"), [(50, 5.0), (99, 10.0), (100, 10.0), (10, 1.0)])
def test_a_percentile_is_the_measured_value_at_its_rank(part: int, expected: float) -> None:
    assert percentile([float(each) for each in range(10, 0, -1)], part) == expected


def test_the_report_has_time_disk_and_the_delay_by_a_drill() -> None:
    names = (BACKUP, DRILL, RESTORE)
    text = render(
        Measured(
            secrets=100_000,
            machine={"cores": "2"},
            dump=123.4,
            timings={name: [3.0, 1.0, 2.0] for name in names},
            disks={name: Disk(before=10.0, peak=40.0) for name in names},
            latencies={QUIET: [0.010] * 100, DRILL: [0.030] * 100},
        )
    )
    assert "100,000 secrets" in text
    assert "123 MB" in text
    assert f"| `infisical-iac {DRILL}` | 2.0 s | 1.0 to 3.0 s | 10 MB | 40 MB |" in text
    assert f"| {DRILL} | 100 | 30 ms | 30 ms | 30 ms |" in text
    assert "3.0 times" in text
