"""Refuse wrong options of `infisical-iac restore --drill` before the host is asked."""

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--kit", "kit.txt"), "--drill uses the host's keys and changes nothing"),
        (("--undo",), "--drill uses the host's keys and changes nothing"),
        (("--snapshot", "newest"), "'newest' is no snapshot: `infisical-iac backup list` lists"),
        (("--snapshot", "1a2b; reboot"), "'1a2b; reboot' is no snapshot"),
    ],
)
def test_options_of_other_restores_are_refused_for_a_drill(
    options: tuple[str, ...], sentence: str
) -> None:
    done = CliRunner().invoke(main, ["restore", "--drill", *options])
    assert done.exit_code == 1
    assert sentence in done.output
