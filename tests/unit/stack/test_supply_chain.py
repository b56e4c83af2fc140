"""Test that packages and actions with an operator's rights are pinned, and that all are needed."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.unit.fake_programs import fake_program

_ROOT = Path(__file__).parents[3]
_WORKFLOWS = sorted((_ROOT / "examples").rglob("github-actions.yaml"))


def _read_pins(lock: str) -> dict[str, str]:
    lines = (_ROOT / lock).read_text("utf-8").splitlines()
    found = (re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.fixture
def development_packages() -> set[str]:
    """Return the names of the packages that only the tests need."""
    groups = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    entries = (each for each in groups["dev"] if isinstance(each, str))
    return {re.split(r"[\[<>=~ ]", each)[0] for each in entries}


def test_an_operator_installs_no_package_of_the_tests(development_packages: set[str]) -> None:
    installed = _read_pins("requirements.lock")
    assert {"pyinfra", "httpx", "hatchling"} <= installed.keys()
    # Packages that operators install depend on these, too.
    assert development_packages & installed.keys() == {"bcrypt", "types-paramiko"}


def test_the_tests_run_with_the_package_versions_of_an_operator() -> None:
    installed, tested = _read_pins("requirements.lock"), _read_pins("requirements-dev.lock")
    assert {name: tested.get(name) for name in installed} == installed


@pytest.mark.parametrize("file", _WORKFLOWS, ids=lambda file: file.parent.name)
def test_a_workflow_reads_no_secret_that_is_stored_at_the_platform(file: Path) -> None:
    assert not re.search(r"\{\{\s*secrets\b", file.read_text("utf-8"))


@pytest.mark.parametrize("file", _WORKFLOWS, ids=lambda file: file.parent.name)
def test_a_workflow_names_actions_and_checkouts_by_commit(file: Path) -> None:
    text = file.read_text("utf-8")
    uses = re.findall(r"uses: *(\S+)", text)
    assert uses
    assert [each for each in uses if not re.search(r"@[0-9a-f]{40}$", each)] == []
    assert text.count("repository:") == text.count("ref: ${{ vars.INFISICAL_IAC_REVISION }}")


def test_the_pre_commit_hook_installs_the_locked_packages(tmp_path: Path) -> None:
    """pre-commit itself installs a hook of Python without any hash."""
    (hook,) = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, *arguments = hook["entry"].split()
    assert hook["language"] == "script"
    copy = tmp_path / "copy" / program
    copy.parent.mkdir(parents=True)
    shutil.copy(_ROOT / program, copy)
    tools = tmp_path / "tools"
    # Only the target `install`, which checks hashes, makes the environment.
    fake_program(
        tools,
        "make",
        f"""set -eu
test "$*" = "--silent -C {tmp_path}/copy install"
mkdir -p {tmp_path}/copy/.venv/bin
printf '#!/bin/sh\\necho "$@"' >{tmp_path}/copy/.venv/bin/infisical-iac
chmod +x {tmp_path}/copy/.venv/bin/infisical-iac""",
    )
    done = subprocess.run(
        [copy, *arguments, "--project-file", "a.yaml"],
        cwd=tmp_path,
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "check --offline --project-file a.yaml\n"


def test_make_installs_packages_by_their_hashes() -> None:
    lines = (_ROOT / "Makefile").read_text("utf-8").splitlines()
    installs = [each for each in lines if "pip install" in each]
    assert len(installs) == 3
    assert [each for each in installs if "--require-hashes" not in each] == [
        "\t@$(RUN)/pip install --quiet --disable-pip-version-check --no-deps"
        " --no-build-isolation -e ."
    ]
