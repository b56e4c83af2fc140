"""Test that a path which can't be used is an error with a code and a remedy, in every command."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from infisical_iac.cli.options import LocalPath
from infisical_iac.core.errors import FileError
from tests.unit.cli.test_help import LEAVES

_MISSING = "nothere"


def _refuse(command: str, *arguments: str) -> FileError:
    result = CliRunner().invoke(LEAVES[f"infisical-iac {command}"], arguments)
    assert isinstance(result.exception, FileError), result.output
    assert "Usage:" not in result.output
    return result.exception


@pytest.mark.parametrize("name", LEAVES)
def test_each_path_of_a_command_has_the_type_with_errors_of_this_project(name: str) -> None:
    """The inventory may be a host's name, and has an error of its own."""
    paths = [each for each in LEAVES[name].params if isinstance(each.type, click.Path)]
    others = [each for each in paths if not isinstance(each.type, LocalPath)]
    assert [each.name for each in others if each.name != "inventory"] == []


@pytest.mark.parametrize(
    ("command", "arguments", "facts"),
    [
        ("check", (), ("REPO",)),
        ("migrate scan", (), ("PATH",)),
        ("migrate plan", (), ("PATH",)),
        ("migrate history", (), ("REPO",)),
        ("migrate history", (".", "--plan"), ("--plan",)),
        ("migrate history", (".", "--env-file"), ("--env-file",)),
        ("migrate verify", ("--credentials",), ("--credentials",)),
        ("migrate verify", (), ("infisical-iac migrate plan",)),
        ("migrate apply", (), ("infisical-iac migrate plan",)),
        ("migrate clean", ("--no-archive",), ("infisical-iac migrate plan",)),
        ("migrate clean", ("--recipients-file",), ("--recipients-file",)),
        ("migrate clean", ("--identity",), ("--identity",)),
        ("restore", ("--kit",), ("--kit",)),
        ("restore", ("--identity",), ("--identity",)),
        ("recovery-kit", ("--output", "kit.txt", "--identity"), ("--identity",)),
        ("recovery-kit", ("--output", "kit.txt", "--recipient"), ()),
        ("drift", ("--webhook-file",), ("--webhook-file",)),
    ],
)
def test_a_missing_path_is_named_with_a_remedy(
    command: str,
    arguments: tuple[str, ...],
    facts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sign = "@" if "--recipient" in arguments else ""
    error = _refuse(command, *arguments, f"{sign}{_MISSING}")
    assert error.code == "file.missing"
    sentence, remedy = error.split()
    assert _MISSING in sentence
    assert remedy
    for fact in facts:
        assert fact in remedy


@pytest.mark.parametrize(
    ("command", "arguments", "code"),
    [
        ("status", ("--html", "."), "file.directory"),
        ("verify", ("--junit", "."), "file.directory"),
        ("migrate verify", (".",), "file.directory"),
        ("check", ("file",), "file.no_directory"),
        ("credentials list", ("--credentials", "file"), "file.no_directory"),
    ],
)
def test_a_path_of_the_wrong_kind_is_named(
    command: str,
    arguments: tuple[str, ...],
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    error = _refuse(command, *arguments)
    assert error.code == code
    assert arguments[-1] in str(error)
