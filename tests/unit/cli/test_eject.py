"""Test the output of `infisical-iac eject`, and which options go together."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main

_OWN = Path("templates/stack/compose.yaml.j2")


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eject", *arguments])


def test_without_a_name_all_templates_are_listed() -> None:
    _run("compose.yaml")
    done = _run()
    assert done.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert lines["stack/compose.yaml"] == ["current", "0.1.0"]
    assert lines["stack/Caddyfile"] == []


def test_a_template_is_copied_and_named() -> None:
    done = _run("compose.yaml")
    assert done.exit_code == 0
    assert str(_OWN) in done.stdout
    assert _OWN.is_file()


def test_the_difference_is_printed_and_nothing_is_written() -> None:
    _run("compose.yaml")
    assert "the same" in _run("compose.yaml", "--diff").stdout
    _OWN.write_text(_OWN.read_text() + "# mine\n")
    assert _run("compose.yaml", "--diff").stdout.splitlines()[-1] == "+# mine"


def test_the_users_template_is_kept() -> None:
    _run("compose.yaml")
    _OWN.write_text("mine\n")
    assert _run("compose.yaml", "--keep-mine").exit_code == 0
    assert _OWN.read_text() == "mine\n"


@pytest.mark.parametrize(
    "arguments", [["--diff"], ["--keep-mine"], ["compose.yaml", "--diff", "--keep-mine"], ["zzz"]]
)
def test_incomplete_or_contradictory_arguments_are_refused(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.exit_code == 1
    assert not Path("templates").exists()
