"""Run `infisical-iac init` in a directory of the user's own, next to services."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main
from infisical_iac.init import repository
from infisical_iac.init.answers import Answers
from tests.unit.migrate.trees import plant

NEEDED = ("--host", "203.0.113.7", "--email", "ada@example.com")

Init = Callable[..., Result]


def make_repository(root: Path) -> Path:
    """Return an empty directory in `root`, next to two services and a folder of documentation."""
    directory = root / "acme-shop" / "infisical"
    directory.mkdir(parents=True)
    paths = ("backend/package.json", "frontend/.env.local", "docs/index.html")
    plant(directory.parent, dict.fromkeys(paths, "TOKEN=obviously-fake-secret\n"))
    return directory


def run_init(directory: Path, *options: str, typed: tuple[str, ...] = ()) -> Result:
    """Run `infisical-iac init` on a directory, with lines typed in."""
    given = ["init", "--directory", str(directory), *options]
    return CliRunner().invoke(main, given, input="".join(f"{line}\n" for line in typed))


def read_all(directory: Path) -> dict[str, str]:
    """Return the texts of all files in a directory, by their paths."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes().decode() for path in files}


def check(ran: Result) -> Result:
    """Return the result of a command, or fail the test if the command failed."""
    if ran.exit_code:
        pytest.fail(ran.output)
    return ran


def render_around(site_url: str = "https://secrets.example.com", **given: Any) -> dict[str, str]:
    """Return the files that `init` writes around the settings, for some of its answers."""
    answers = Answers(organization="Acme", site_url=site_url, **given)
    return repository.files_around(answers, "group_data/acme.yaml", "../services", "production")
