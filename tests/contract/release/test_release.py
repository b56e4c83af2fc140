"""Test that two builds of a release are equal, and that its bills of materials are complete."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.release import bills, locks
from tests.release.__main__ import CHECKSUMS, REPOSITORY, build

_BILLS = {
    "infisical-iac-0.1.0.cdx.json": "pkg:pypi/infisical-iac@0.1.0",
    "infisical-config-0.1.0-python.cdx.json": "pkg:pypi/infisical-config@0.1.0",
    "infisical-config-0.1.0-node.cdx.json": "pkg:npm/infisical-config@0.1.0",
}
_PACKAGES = (
    "infisical_iac-0.1.0-py3-none-any.whl",
    "infisical_iac-0.1.0.tar.gz",
    "infisical_config-0.1.0-py3-none-any.whl",
    "infisical-config-0.1.0.tgz",
)
_LOCK = """\
base==1.0 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via
    #   middle
    #   top
middle==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{c}
    # via infisical-iac (pyproject.toml)
only-build==3.0 \\
    --hash=sha256:{d}
    # via infisical-iac (pyproject.toml:build)
top==4.0 \\
    --hash=sha256:{e}
    # via infisical-iac (pyproject.toml)
""".format(**{each: each * 64 for each in "abcde"})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a release of the last commit."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this directory is not a git checkout, and has no commit to build")
    output = tmp_path_factory.mktemp("first")
    build(output)
    return output


def _bill(built: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built / name).read_text())
    return found


def test_two_builds_are_equal_byte_for_byte(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second build has another directory, umask and time zone."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    before = os.umask(0o077)
    try:
        build(tmp_path)
    finally:
        os.umask(before)
    first, second = (
        {each.name: each.read_bytes() for each in d.iterdir()} for d in (built, tmp_path)
    )
    assert {*first} == {*_PACKAGES, *_BILLS, CHECKSUMS}
    assert [name for name in first if first[name] != second.get(name)] == []


def test_the_checksums_cover_all_files(built: Path) -> None:
    command = ["sha256sum", "--check", "--strict", CHECKSUMS]
    done = subprocess.run(command, cwd=built, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(_PACKAGES) + len(_BILLS)


def test_an_earlier_build_is_replaced_and_other_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "old.whl").write_text("")
    (tmp_path / CHECKSUMS).write_text("0  old.whl\n")
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(SystemExit, match=r"mine\.txt"):
        build(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_the_wheel_can_be_built_from_the_source_distribution(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / "infisical_iac-0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    source = tmp_path / "infisical_iac-0.1.0"
    subprocess.run([*command, "--directory", str(tmp_path)], cwd=source, check=True)
    wheels = (zipfile.ZipFile(each / _PACKAGES[0]) for each in (built, tmp_path))
    first, second = ({each.filename: each.CRC for each in wheel.infolist()} for wheel in wheels)
    assert first == second
    assert "infisical_iac/bundle/templates/stack/compose.yaml.j2" in first


def test_each_loader_has_its_readme_changelog_license_and_types(built: Path) -> None:
    with tarfile.open(built / "infisical-config-0.1.0.tgz") as archive:
        names = {each.removeprefix("package/") for each in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "index.d.ts", "config.d.ts"} <= names
    with zipfile.ZipFile(built / "infisical_config-0.1.0-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read("infisical_config-0.1.0.dist-info/METADATA").decode()
    assert {"infisical_config/CHANGELOG.md", "infisical_config/py.typed"} <= names
    assert "infisical_config-0.1.0.dist-info/licenses/LICENSE" in names
    assert message_from_string(metadata)["Description-Content-Type"] == "text/markdown"


def test_the_package_for_npm_names_the_repository_of_its_build(tmp_path: Path) -> None:
    build(tmp_path, repository="https://example.com/acme/iac")
    with tarfile.open(tmp_path / "infisical-config-0.1.0.tgz") as archive:
        manifest = archive.extractfile("package/package.json")
        assert manifest is not None
        place = json.load(manifest)["repository"]
    assert place["url"] == "git+https://example.com/acme/iac.git"


@pytest.mark.parametrize("loader", ["node", "python"])
def test_the_newest_changes_of_a_loader_are_unreleased_or_of_its_version(loader: str) -> None:
    lines = (REPOSITORY / "loaders" / loader / "CHANGELOG.md").read_text().splitlines()
    newest = next(each for each in lines if each.startswith("## "))
    assert newest in ("## Unreleased", "## 0.1.0")


@pytest.mark.parametrize("name", _BILLS)
def test_a_bill_complies_with_the_schema_and_names_its_package(built: Path, name: str) -> None:
    bill, url = _bill(built, name), _BILLS[name]
    assert bills.find_errors((built / name).read_text()) == ""
    assert bill["metadata"]["component"]["purl"] == url
    known = {each["bom-ref"] for each in bill.get("components", [])} | {url}
    assert {each["ref"] for each in bill["dependencies"]} == known


def test_a_bill_leaves_out_build_and_test_dependencies(built: Path) -> None:
    tool = {each["name"] for each in _bill(built, "infisical-iac-0.1.0.cdx.json")["components"]}
    assert "pyinfra" in tool
    assert not tool & {"hatchling", "editables", "ruff", "hypothesis"}


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_loader_needs_no_other_package(built: Path, language: str) -> None:
    bill = _bill(built, f"infisical-config-0.1.0-{language}.cdx.json")
    assert bill.get("components", []) == []


def test_a_lock_file_is_read_as_a_graph() -> None:
    found = locks.list_needed(locks.read_requirements(_LOCK), ["middle", "top"])
    assert [*found] == ["base", "middle", "top"]
    assert found["middle"].needs == found["top"].needs == ("base",)
    assert found["base"].hashes == (("SHA-256", "a" * 64), ("SHA-256", "b" * 64))
    assert found["middle"].marker == "sys_platform == 'win32'"


def test_an_npm_package_needs_the_nearest_installation_of_each_name() -> None:
    packages = {
        "": {"version": "1"},
        "node_modules/a": {"version": "1", "dependencies": {"b": "*"}},
        "node_modules/a/node_modules/b": {"version": "2", "dependencies": {"@x/c": "*"}},
        "node_modules/b": {"version": "1"},
        "node_modules/@x/c": {"version": "3", "optionalDependencies": {"gone": "*"}},
        "node_modules/d": {"version": "4", "dev": True},
    }
    found = locks.read_package_lock(json.dumps({"packages": packages}))
    assert found["node_modules/a"].needs == ("node_modules/a/node_modules/b",)
    assert found["node_modules/a/node_modules/b"].needs == ("node_modules/@x/c",)
    assert found["node_modules/@x/c"].name == "@x/c"
    assert found["node_modules/@x/c"].needs == ()
    assert "node_modules/d" not in found


_WORKFLOWS = REPOSITORY / ".github/workflows"


@pytest.mark.parametrize(("name", "actions"), [("release.yaml", 6), ("test.yaml", 2)])
def test_a_workflow_pins_each_action_by_commit_and_has_no_secret(name: str, actions: int) -> None:
    text = (_WORKFLOWS / name).read_text()
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert len(uses) >= actions
    for action, comment in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert yaml.safe_load(text)["permissions"] == {}
    assert "secrets." not in text


def test_each_run_of_the_fuzz_tests_prints_another_seed(tmp_path: Path) -> None:
    workflow = yaml.safe_load((_WORKFLOWS / "test.yaml").read_text())
    (script,) = [
        each["run"] for each in workflow["jobs"]["unit"]["steps"] if "SEED" in each.get("run", "")
    ]
    pytest_of_the_job = tmp_path / ".venv/bin/pytest"
    pytest_of_the_job.parent.mkdir(parents=True)
    pytest_of_the_job.write_text('#!/bin/sh\necho "given $DOTENV_FUZZ_SEED to $1"\n')
    pytest_of_the_job.chmod(0o755)
    seeds = set()
    for _ in range(2):
        ran = subprocess.run(
            ["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        printed, given = ran.stdout.splitlines()
        seed = printed.removeprefix("DOTENV_FUZZ_SEED=")
        assert given == f"given {seed} to tests/unit/dotenv/test_dotenv_fuzz.py"
        seeds.add(int(seed))
    assert len(seeds) == 2


def test_the_recipes_are_built_each_week_and_by_hand_and_nothing_else_then() -> None:
    workflow = yaml.safe_load((_WORKFLOWS / "test.yaml").read_text())
    events, jobs = workflow[True], workflow["jobs"]  # to YAML, `on` is a boolean
    nightly, weekly = (each["cron"] for each in events["schedule"])
    assert (nightly.split()[2:], weekly.split()[2:]) == (["*", "*", "*"], ["*", "*", "0"])
    assert "workflow_dispatch" in events
    assert jobs["unit"]["if"] == f"github.event.schedule != '{weekly}'"
    by_hand = "github.event_name == 'workflow_dispatch'"
    assert jobs["recipes"]["if"] == f"github.event.schedule == '{weekly}' || {by_hand}"
    script = jobs["recipes"]["steps"][-1]["run"]
    assert "make test-recipes" in script
    assert subprocess.run(["sh", "-n", "-c", script]).returncode == 0
    rights = {name: job["permissions"] for name, job in jobs.items()}
    assert rights == {"unit": {"contents": "read"}, "recipes": {"contents": "read"}}


def test_each_job_of_the_release_has_its_own_rights() -> None:
    rights = {name: job["permissions"] for name, job in _release().items()}
    assert rights["build"] == {"contents": "read"}
    publishing = {name for name, each in rights.items() if "id-token" in each}
    assert publishing == {"publish-tool", "publish-python-loader", "publish-node-loader"}


@pytest.mark.parametrize("job", ["publish-tool", "publish-python-loader"])
def test_packages_of_python_are_published_by_the_identity_of_the_job(job: str) -> None:
    """The action is a trusted publisher, and attests the packages, if it gets no password."""
    (step,) = _steps(job, lambda each: "pypi-publish" in each.get("uses", ""))
    assert step["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert set(step["with"]) == {"packages-dir", "skip-existing"}
    assert "env" not in step


def test_the_package_of_node_is_published_with_its_provenance() -> None:
    """npm publishes with the job's identity if it has no token."""
    (step,) = _steps("publish-node-loader", lambda each: "npm publish" in each.get("run", ""))
    published = re.findall(r"npm publish.*", step["run"])
    assert [each.split()[3:] for each in published] == [["--provenance", "--access", "public"]]
    assert "env" not in step
    (node,) = _steps("publish-node-loader", lambda each: "setup-node" in each.get("uses", ""))
    assert int(node["with"]["node-version"]) >= 24


@pytest.mark.parametrize("job", ["publish-tool", "publish-python-loader", "publish-node-loader"])
def test_each_publishing_job_is_a_trusted_publisher_of_one_environment(job: str) -> None:
    """The registries compare the environment, and people approve a release there."""
    found = _release()[job]
    assert found["environment"] == "release"
    assert found["permissions"] == {"id-token": "write"}
    assert "env" not in found
    assert "TOKEN" not in str(found).upper().replace("ID-TOKEN", "")


def _release() -> dict[str, Any]:
    """Return the jobs of the release, by name."""
    jobs: dict[str, Any] = yaml.safe_load((_WORKFLOWS / "release.yaml").read_text())["jobs"]
    return jobs


def _steps(job: str, is_meant: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    return [each for each in _release()[job]["steps"] if is_meant(each)]
