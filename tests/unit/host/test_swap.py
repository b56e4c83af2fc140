"""Test that swap is turned off only if its content fits into memory."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.host.kernel import without_swap
from tests.unit.fake_programs import fake_program, run_with

_SWAPS = (
    "Filename Type Size Used Priority\n/dev/sda2 partition 2097148 1048576 -2\n/swap file 9 9 -3\n"
)


def _turn_off(host: Path, free_mb: int) -> subprocess.CompletedProcess[str]:
    (host / "swaps").write_text(_SWAPS)
    (host / "meminfo").write_text(f"MemTotal: 9000000 kB\nMemAvailable:   {free_mb * 1024} kB\n")
    fake_program(host, "swapoff", 'echo "off $1"')
    return run_with(host, without_swap("/dev/sda2").replace("/proc/", f"{host}/"))


def test_swap_that_fits_into_memory_is_turned_off(tmp_path: Path) -> None:
    assert _turn_off(tmp_path, free_mb=1025).stdout == "off /dev/sda2\n"


@pytest.mark.parametrize("free", [0, 1000, 1024])
def test_swap_that_does_not_fit_into_memory_stays_on_with_a_remedy(
    tmp_path: Path, free: int
) -> None:
    done = _turn_off(tmp_path, free_mb=free)
    assert (done.returncode, done.stdout) == (1, "")
    assert "1024 MB" in done.stderr
    assert f" {free} MB" in done.stderr
    assert 'swap = "keep"' in done.stderr
