"""Test scripts that query the database on hosts where its container has another name."""

from pathlib import Path

import pytest

from tests.unit.fake_host import make_host


@pytest.mark.parametrize("step", [("rotation", "replaces")])
def test_the_database_is_found_whatever_its_container_is_called(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    done = make_host(tmp_path).run(*step)
    assert (done.returncode, done.stdout) == (0, "42\n")
