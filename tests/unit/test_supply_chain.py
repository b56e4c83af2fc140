"""What runs with an operator's rights is named exactly, and is no more than needed."""

import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_WORKFLOWS = sorted((_ROOT / "examples").rglob("github-actions.yaml"))


def _pinned(lock: str) -> dict[str, str]:
    lines = (_ROOT / lock).read_text("utf-8").splitlines()
    found = (re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.fixture
def development() -> set[str]:
    """The names of the packages that only the tests need."""
    groups = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    entries = (each for each in groups["dev"] if isinstance(each, str))
    return {re.split(r"[\[<>=~ ]", each)[0] for each in entries}


def test_an_operator_installs_no_package_of_the_tests(development: set[str]) -> None:
    installed = _pinned("requirements.lock")
    assert {"pyinfra", "httpx", "hatchling"} <= installed.keys()
    # Packages of an operator need these.
    assert development & installed.keys() == {"bcrypt", "requests", "types-paramiko"}


def test_the_tests_run_with_what_an_operator_has() -> None:
    installed, tested = _pinned("requirements.lock"), _pinned("requirements-dev.lock")
    assert {name: tested.get(name) for name in installed} == installed


@pytest.mark.parametrize("file", _WORKFLOWS, ids=lambda file: file.parent.name)
def test_a_workflow_names_actions_and_checkouts_by_commit(file: Path) -> None:
    text = file.read_text("utf-8")
    uses = re.findall(r"uses: *(\S+)", text)
    assert uses
    assert [each for each in uses if not re.search(r"@[0-9a-f]{40}$", each)] == []
    assert text.count("repository:") == text.count("ref: ${{ vars.INFISICAL_IAC_REVISION }}")
