"""Test that a script compares the space that it needs with the free space of a disk."""

from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import DF, fake_program, run_with


@pytest.mark.parametrize(
    ("needed", "output"),
    [
        (2099, "enough\n"),
        (2100, "may take 2 MB; has 2 MB free: make room\n"),
        (102400, "may take 100 MB; has 2 MB free: make room\n"),
    ],
)
def test_the_needed_space_is_compared_with_the_free_space(
    tmp_path: Path, needed: int, output: str
) -> None:
    fake_program(tmp_path, "df", DF)
    # Slightly more than 2 MB.
    (tmp_path / "free").write_text("2100\n")
    text = (
        f"set -eu\n{script_file('free-space')}\n"
        f'has_free_space {needed} /somewhere && echo enough || echo "$takes; $has"\n'
    )
    assert run_with(tmp_path, text, check=True).stdout == output
