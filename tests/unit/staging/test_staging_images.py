"""Test the conditions for building an image again, and for a stale pid file."""

from typing import TYPE_CHECKING

import pytest

from tests.staging.build import digest
from tests.staging.engine import is_stale
from tests.staging.stack import version_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("pid", "name", "stale"),
    [
        ("41\n", "dockerd", False),
        ("41\n", None, True),
        ("41\n", "bash", True),
        ("", None, True),
    ],
)
def test_a_pid_file_is_stale_unless_its_process_is_that_program(
    pid: str, name: str | None, stale: bool
) -> None:
    assert is_stale(pid, name, "dockerd") is stale


def test_a_recipe_changes_with_a_files_content_and_with_its_name(tmp_path: "Path") -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM a")
    first = digest(tmp_path)
    file.write_text("FROM b")
    second = digest(tmp_path)
    file.rename(tmp_path / "Containerfile")
    assert len({first, second, digest(tmp_path), digest(tmp_path, "more")}) == 4


def test_compiled_files_are_not_part_of_a_recipe(tmp_path: "Path") -> None:
    (tmp_path / "main.py").write_text("pass")
    before = digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "main.pyc").write_bytes(b"x")
    assert digest(tmp_path) == before


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("infisical/infisical:v0.166.2", "v0.166.2"),
        ("registry.example:5000/infisical:v1.0.0", "v1.0.0"),
        ("infisical/infisical:latest", "v0.165.16"),
        ("registry.example:5000/infisical", "v0.165.16"),
        ("sha256:0123", "v0.165.16"),
    ],
)
def test_a_version_is_read_from_the_tag_and_from_nothing_else(reference: str, version: str) -> None:
    assert version_of(reference) == version
