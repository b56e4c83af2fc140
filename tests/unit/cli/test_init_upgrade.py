"""Test that `init --upgrade` shows the difference first, asks, and writes all files or none."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.init import upgrade_settings
from infisical_iac.core import bundle
from infisical_iac.core.errors import UserError

_DIGEST = f"sha256:{'a' * 64}"
_OLD = f'infisical_version = "v0.166.2"\ninfisical_digest = "{_DIGEST}"\n'


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "hetzner.py").write_text(_OLD)
    (tmp_path / "group_data" / "acme.yaml").write_text("schema_version: 1\nproject: {}\n")
    monkeypatch.setattr(bundle, "version", lambda: "0.2.0")
    return tmp_path


def _run(directory: Path, *, yes: bool = False, answer: str = "") -> Result:
    @click.command()
    def command() -> None:
        upgrade_settings(directory, yes)

    return CliRunner().invoke(command, input=answer)


def test_the_difference_is_shown_before_anything_is_written(repository: Path) -> None:
    file = repository / "group_data" / "hetzner.py"
    refused = _run(repository, answer="perhaps\nn\n")
    assert (refused.exit_code, refused.output.count("Error: ")) == (1, 1)
    assert f'+infisical_version = "v0.166.2@{_DIGEST}"' in refused.output
    assert '-infisical_version = "v0.166.2"' in refused.output
    assert file.read_text() == _OLD
    file.chmod(0o640)
    done = _run(repository, answer="y\n")
    assert done.exit_code == 0, done.output
    assert file.read_text().startswith(f'infisical_version = "v0.166.2@{_DIGEST}"\n')
    assert file.stat().st_mode & 0o777 == 0o640
    again = _run(repository)
    assert (again.exit_code, file.name in again.output) == (0, False)


def test_a_value_of_several_lines_that_may_be_secret_is_not_shown(repository: Path) -> None:
    file = repository / "group_data" / "hetzner.py"
    file.write_text(f'backup_webhook = (\n    "https://hooks.example.com/fake-token"\n)\n{_OLD}')
    done = _run(repository, yes=True)
    assert done.exit_code == 0, done.output
    assert "-infisical_digest" in done.output
    assert "fake-token" not in done.output
    assert "fake-token" in file.read_text()


def test_the_option_yes_skips_the_question(repository: Path) -> None:
    assert _run(repository, yes=True).exit_code == 0
    assert "@" in (repository / "group_data" / "hetzner.py").read_text()


def test_an_older_pin_of_the_repository_is_raised(repository: Path) -> None:
    pyproject = repository / "pyproject.toml"
    text = '[project]\nname = "own"\ndependencies = [\n    "infisical-iac==0.1.0",  # pinned\n]\n'
    pyproject.write_text(text)
    done = _run(repository, yes=True)
    assert done.exit_code == 0, done.output
    assert pyproject.read_text() == text.replace("0.1.0", "0.2.0")
    assert "`uv lock`" in done.output


def test_a_newer_pin_of_the_repository_is_kept(repository: Path) -> None:
    pyproject = repository / "pyproject.toml"
    pyproject.write_text('[project]\nname = "own"\ndependencies = ["infisical-iac==0.3.0"]\n')
    _run(repository, yes=True)
    assert "0.3.0" in pyproject.read_text()


def test_a_malformed_file_leaves_all_files_unchanged(repository: Path) -> None:
    (repository / "group_data" / "office.py").write_text("x = (\n")
    failed = _run(repository, yes=True)
    assert isinstance(failed.exception, UserError)
    assert "office.py" in str(failed.exception)
    assert (repository / "group_data" / "hetzner.py").read_text() == _OLD


def test_a_directory_without_settings_is_refused(tmp_path: Path) -> None:
    failed = _run(tmp_path, yes=True)
    assert isinstance(failed.exception, UserError)
    assert failed.exception.code == "file.missing"
