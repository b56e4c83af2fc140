"""Test that wrong options of `infisical-iac restore --drill` are refused without a connection."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--kit", "kit.txt"), ("--drill ", "--snapshot and --from")),
        (("--undo",), ("--drill ", "--snapshot and --from")),
        (("--snapshot", "newest"), ("'newest' is not a snapshot", "`infisical-iac backup list`")),
        (("--snapshot", "1a2b; reboot"), ("'1a2b; reboot' is not a snapshot",)),
    ],
)
def test_options_of_other_restores_are_refused_for_a_drill(
    options: tuple[str, ...],
    facts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kit.txt").touch()
    done = CliRunner().invoke(main, ["restore", "--drill", *options])
    assert done.exit_code == 1
    for fact in facts:
        assert fact in done.output
