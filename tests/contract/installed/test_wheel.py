"""Test that the wheel is complete: each command works in a directory without this project."""

import json
import tomllib
import zipfile
from pathlib import Path

from pyrage.x25519 import Identity

from tests.contract.installed.conftest import REPOSITORY, Installed

_COMMANDS = Path(__file__).with_name("commands.py")
_INVENTORY = "inventory/hetzner.py"
# Commands that need an inventory, with what else they require.
_WITH_INVENTORY = (
    "apply",
    "audit",
    "audit access",
    "backup list",
    "backup now",
    "credentials list",
    "destroy",
    "drift",
    "keys list",
    "outdated",
    "plan",
    f"recovery-kit --recipient {Identity.generate().to_public()} --output kit.txt",
    "restore",
    "rollback",
    "scale-in",
    "scale-out",
    "status",
    "verify",
    "workspace plan",
)
# Commands that need something else, with what their error names.
_WITHOUT_INVENTORY = {
    "server plan": "group_data/hetzner.py",
    "migrate apply": "migration",
    "eject --diff": "TEMPLATE",
    "docs nothing-like-it": "infisical-iac docs",
    "init --upgrade": "group_data",
}
# The installed tool prints which of its files it finds, and where.
_LOOK = """
import json
from infisical_iac import deploy
from infisical_iac.change.tool_versions import read_changelog
from infisical_iac.core import bundle
from infisical_iac.core.rendering import list_templates, script_file, template
from infisical_iac.core.settings import load
from infisical_iac.migrate.findings import is_withheld
print(json.dumps({
    "root": str(bundle.ROOT),
    "changelog": read_changelog(),
    "deploy": callable(deploy.deploy),
    "templates": len(list_templates()),
    "rendered": template("infisical-drill-failed.service", agent=lambda *_: "true"),
    "script": script_file("apt"),
    "withheld": is_withheld("LD_PRELOAD"),
    "redis": load({"admin_email": "admin@example.com"}).stack.redis_image,
}))
"""


def _files(*places: str) -> set[str]:
    """Return the files below places of the repository, except compiled Python files."""
    return {
        str(file.relative_to(REPOSITORY))
        for place in places
        for file in (REPOSITORY / place).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_has_the_files_that_the_package_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    shipped = ("CHANGELOG.md", "group_data/all.py", "loaders/vectors.json", "tests/__init__.py")
    bundled = {*shipped, *_files("docs", "templates", "tests/host")}
    expected = {f"infisical_iac/bundle/{each}" for each in bundled} | _files("infisical_iac")
    assert expected - names == set()
    assert {name for name in names - expected if not (REPOSITORY / name).is_file()} == set()


def test_the_tool_imports_every_package_that_it_requires() -> None:
    imported = {
        "pyahocorasick": "ahocorasick",
        "pytest-testinfra": "testinfra",
        "pyyaml": "yaml",
        "ruamel-yaml": "ruamel.yaml",
    }
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = "\n".join(
        (REPOSITORY / each).read_text()
        for each in _files("infisical_iac", "tests/host")
        if each.endswith(".py")
    )
    for requirement in project["dependencies"]:
        name = requirement.partition("~")[0].partition(">")[0]
        module = imported.get(name, name.replace("-", "_"))
        assert any(f"{word} {module}" in text for word in ("import", "from")), name


def test_the_installed_tool_finds_templates_settings_scripts_and_cases(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed.run("python", "-c", _LOOK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    root = Path(found["root"])
    assert root.is_relative_to(installed.repository / ".venv")
    assert root.parts[-2:] == ("infisical_iac", "bundle")
    assert found["templates"] > 40
    assert "[Unit]" in found["rendered"]
    assert "apt-get" in found["script"]
    assert found["deploy"]
    assert found["changelog"] == (REPOSITORY / "CHANGELOG.md").read_text()
    assert found["withheld"]
    assert found["redis"].startswith("redis:8.2.10@sha256:")


def test_each_command_in_an_empty_directory_ends_with_one_sentence(
    installed: Installed, tmp_path: Path
) -> None:
    asked = json.dumps([each.split() for each in _WITH_INVENTORY])
    done = installed.run("python", str(_COMMANDS), cwd=tmp_path, text=asked)
    assert done.returncode == 0, done.stderr
    for command, (code, error, exception, output) in zip(
        _WITH_INVENTORY, json.loads(done.stdout), strict=True
    ):
        assert (code, exception[:10]) == (1, "SystemExit"), (command, exception)
        # `drift` prints what a webhook would get.
        lines = [*output.splitlines(), *error.splitlines()]
        assert len(lines) == 1, (command, lines)
        assert f"{_INVENTORY} in {tmp_path}" in lines[0], (command, lines)
        assert "`infisical-iac init`" in lines[0]
    assert [*tmp_path.iterdir()] == []


def test_commands_without_an_inventory_name_the_missing_file_or_argument(
    installed: Installed, tmp_path: Path
) -> None:
    asked = json.dumps([each.split() for each in _WITHOUT_INVENTORY])
    done = installed.run("python", str(_COMMANDS), cwd=tmp_path, text=asked)
    assert done.returncode == 0, done.stderr
    for (command, fact), (code, error, exception, _) in zip(
        _WITHOUT_INVENTORY.items(), json.loads(done.stdout), strict=True
    ):
        assert (code, exception[:10]) == (1, "SystemExit"), (command, exception)
        assert fact in error, (command, error)


def test_verify_runs_the_checks_of_the_wheel_and_not_the_users_tests(
    installed: Installed,
) -> None:
    """A user's repository may have its own tests and pytest configuration."""
    repository = installed.repository
    for folder in ("inventory", "group_data", "tests/host"):
        (repository / folder).mkdir(parents=True)
    (repository / "inventory/acme.py").write_text(
        "acme = [('away', {'ssh_hostname': '127.0.0.1', 'ssh_port': 9, 'ssh_user': 'root'})]\n"
    )
    (repository / "group_data/acme.py").write_text(
        "admin_email = 'admin@example.com'\nworkspace_file = 'group_data/acme.yaml'\n"
    )
    project = (REPOSITORY / "group_data/chainalign.yaml").read_text()
    (repository / "group_data/acme.yaml").write_text(project)
    (repository / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\naddopts = '--of-the-users-own'\n"
    )
    for file in ("tests/__init__.py", "tests/host/__init__.py", "tests/host/conftest.py"):
        (repository / file).write_text("raise RuntimeError('of-the-users-own')\n")
    done = installed.run("infisical-iac", "verify", "-i", "inventory/acme.py")
    assert done.returncode == 1
    assert "away" in done.stderr
    assert "can't be reached" in done.stderr
    assert "of-the-users-own" not in done.stdout + done.stderr
