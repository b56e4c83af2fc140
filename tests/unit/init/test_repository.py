"""Test the repository that `infisical-iac init` writes into an empty directory."""

import ast
import re
import runpy
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.core import settings
from infisical_iac.core.bundle import default_settings
from infisical_iac.migrate import ignores
from infisical_iac.workspace.load import declared_file, load
from tests.unit.init.own import NEEDED, check, make_repository, read_all, render_around, run_init
from tests.unit.migrate.trees import plant

_LOADERS = Path(__file__).resolve().parents[3] / "loaders"
_FILES = {
    ".github/workflows/infisical.yaml",
    ".gitignore",
    ".gitlab-ci.yml",
    "README.md",
    "deploy.py",
    "group_data/acme-shop.yaml",
    "group_data/hetzner.py",
    "inventory/hetzner.py",
    "pyproject.toml",
    "renovate.json",
}


def _values(own: Path, group: str = "hetzner") -> dict[str, Any]:
    module = runpy.run_path(str(own / "group_data" / f"{group}.py"))
    return {key: value for key, value in module.items() if not key.startswith("__")}


def test_an_empty_directory_gets_a_complete_repository(own: Path) -> None:
    check(run_init(own, *NEEDED, "--domain", "secrets.example.com", "--yes"))
    assert read_all(own).keys() == _FILES
    assert declared_file("inventory/hetzner.py", own) == Path("group_data/acme-shop.yaml")
    declared = load(own / "group_data" / "acme-shop.yaml")
    assert (declared.project.name, [*declared.services]) == ("Acme Shop", ["backend", "frontend"])


def test_the_settings_file_has_only_values_that_differ_from_the_defaults(own: Path) -> None:
    options = ("--domain", "secrets.example.com", "--ssh-user", "root", "--ssh-port", "22")
    check(run_init(own, *NEEDED, *options, "--yes"))
    values = _values(own)
    assert values == {
        "schema_version": 1,
        "ssh_hostname": "203.0.113.7",
        "site_url": "https://secrets.example.com",
        "admin_email": "ada@example.com",
        "organization": "Acme Shop",
        "workspace_file": "group_data/acme-shop.yaml",
    }
    settings.load({**default_settings(), **values})


def test_the_deploy_is_three_lines(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    text = (own / "deploy.py").read_text()
    docstring, *statements = ast.parse(text).body
    assert isinstance(docstring, ast.Expr)
    assert [ast.unparse(each) for each in statements] == [
        "from infisical_iac.deploy import deploy",
        "deploy()",
    ]


def test_the_inventory_equals_the_shipped_one(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    clones = Path(__file__).resolve().parents[3] / "inventory" / "hetzner.py"
    assert (own / "inventory" / "hetzner.py").read_text() == clones.read_text()


@pytest.mark.parametrize("domain", ["secrets.example.com", ""])
def test_the_repository_pins_what_its_commands_and_jobs_run(own: Path, domain: str) -> None:
    """Without a domain no job logs in, so that none needs the runner."""
    check(run_init(own, *NEEDED, "--domain", domain, "--yes"))
    project = tomllib.loads((own / "pyproject.toml").read_text())
    loader = tomllib.loads((_LOADERS / "python" / "pyproject.toml").read_text())["project"]
    runner = [f"infisical-config=={loader['version']}"] if domain else []
    pins = [f"infisical-iac=={version('infisical-iac')}", *runner]
    assert project["project"]["dependencies"] == pins
    assert project["tool"]["uv"] == {"package": False}


def test_the_environments_option_sets_the_environments(own: Path) -> None:
    check(run_init(own, *NEEDED, "--environments", "dev, pre-prod prod", "--yes"))
    text = (own / "group_data" / "acme-shop.yaml").read_text()
    named = [(each.slug, each.name) for each in load(text).environments]
    assert named == [("dev", "Dev"), ("pre-prod", "Pre Prod"), ("prod", "Prod")]
    # The file's examples of people name only environments of the file.
    example = text.partition("# people:\n")[2].partition("\n\n")[0].replace("# ", "")
    assert len(load(f"{text}\npeople:\n{example}").people) == 2


def test_one_environment_is_enough(own: Path) -> None:
    check(run_init(own, *NEEDED, "--environments", "prod", "--yes"))
    declared = load(own / "group_data" / "acme-shop.yaml")
    assert [each.slug for each in declared.environments] == ["prod"]
    assert [each.identity for each in declared.accounts()] == ["backend-prod", "frontend-prod"]


def test_project_and_organization_may_differ(own: Path) -> None:
    check(run_init(own, *NEEDED, "--organization", "Acme", "--project", "Web Shop", "--yes"))
    assert _values(own)["organization"] == "Acme"
    assert _values(own)["workspace_file"] == "group_data/web-shop.yaml"
    assert load(own / "group_data" / "web-shop.yaml").project.slug == "web-shop"


@pytest.mark.parametrize(
    ("options", "target", "variables"),
    [
        (
            ("s3:https://fsn1.example.com/bucket",),
            {"name": "offsite", "repository": "s3:https://fsn1.example.com/bucket"},
            [
                "INFISICAL_BACKUP_OFFSITE_ACCESS_KEY_ID",
                "INFISICAL_BACKUP_OFFSITE_SECRET_ACCESS_KEY",
            ],
        ),
        (
            (
                *("sftp:u1@box.example.com:x", "--backup-port", "23"),
                *("--backup-host-key", f"ssh-ed25519 {'A' * 68} comment"),
            ),
            {
                "name": "offsite",
                "repository": "sftp:u1@box.example.com:x",
                "host_key": f"ssh-ed25519 {'A' * 68}",
                "port": 23,
            },
            [],
        ),
    ],
)
def test_the_backup_option_adds_a_second_target(
    own: Path, options: tuple[str, ...], target: dict[str, Any], variables: list[str]
) -> None:
    ran = check(run_init(own, *NEEDED, "--backup", *options, "--yes"))
    local, second = _values(own)["backup_targets"]
    assert (local, second) == (default_settings()["backup_targets"][0], target)
    settings.load({**default_settings(), **_values(own)})
    assert re.findall(r"export (INFISICAL_BACKUP\w+)=", ran.output) == variables


def test_postponed_backups_name_the_option_to_add_them(own: Path) -> None:
    ran = check(run_init(own, *NEEDED, "--backup", "later", "--yes"))
    assert "--backup ADDRESS" in ran.output
    assert "backup_targets" not in _values(own)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (("--ssh-port", "70000"), "--ssh-port: '70000'"),
        (("--environments", "Dev"), "--environments: 'Dev'"),
        (("--environments", ","), "--environments: no environment"),
        (("--project", " "), "--project: "),
        (("--backup", "/var/backups"), "--backup: '/var/backups'"),
        (("--backup", "sftp:u1@box:x"), "--backup-host-key"),
        (("--backup", "sftp:u1@box:x", "--backup-host-key", "AAAA"), "--backup-host-key: "),
        (("--add-service", "Web"), "--add-service: 'Web'"),
        (("--add-service", "web=../none"), "'../none'"),
        (("--add-person", "ada@example.com"), "--add-person: ''"),
        (("--add-environment", "staging"), "'staging'"),
    ],
)
def test_a_bad_option_leaves_an_empty_directory_empty(
    own: Path, options: tuple[str, ...], fact: str
) -> None:
    ran = run_init(own, *NEEDED, *options, "--yes")
    assert ran.exit_code == 1
    (sentence,) = re.findall(r"(?m)^Error: (.*)$", ran.output)
    assert fact in sentence
    assert read_all(own) == {}


def test_the_first_run_accepts_additions_too(own: Path) -> None:
    additions = ("--add-service", "jobs=../docs", "--add-person", "zoe@example.com=admin")
    check(run_init(own, *NEEDED, *additions, "--yes"))
    declared = load(own / "group_data" / "acme-shop.yaml")
    assert [*declared.services] == ["backend", "frontend", "jobs"]
    assert declared.people == {"zoe@example.com": "admin"}
    assert (own.parent / "docs" / ".infisical.json").exists()


def test_existing_files_are_kept(own: Path) -> None:
    (own / "README.md").write_text("ours\n")
    (own / ".gitignore").write_text("*.log\n")
    ran = check(run_init(own, *NEEDED, "--yes"))
    assert (own / "README.md").read_text() == "ours\n"
    assert (own / ".gitignore").read_text() == "*.log\n"
    (kept,) = (line for line in ran.output.splitlines() if line.startswith("Kept "))
    assert {".gitignore", "README.md"} <= {word.strip(",:") for word in kept.split()}


def test_the_written_rules_keep_env_files_out_before_the_first_commit(own: Path) -> None:
    """Without a repository, `check` reads the rules itself, and any exception below them counts."""
    check(run_init(own, *NEEDED, "--yes"))
    assert ignores.missing((own / ".gitignore").read_text(), (".env", ".env.*")) == []


def test_private_keys_and_kits_are_kept_out_of_git(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    subprocess.run(["git", "init", "--quiet", own], check=True)
    secret = ("key.txt", "identity.txt", "id_ed25519", "kit.txt", ".env.local", "a/backend.env")
    public = ("id_ed25519.pub", "deploy.py", "group_data/hetzner.py", ".env.example")
    command = ["git", "-C", str(own), "check-ignore", *secret, *public]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == [*secret]


def test_a_missing_directory_is_refused(own: Path) -> None:
    ran = run_init(own / "none", *NEEDED, "--yes")
    assert (ran.exit_code, ran.output.count("\n")) == (1, 1)
    assert str(own / "none") in ran.output


def test_a_second_run_finds_the_group_of_the_inventory(own: Path) -> None:
    check(run_init(own, *NEEDED, "--group", "office", "--yes"))
    assert (own / "inventory" / "office.py").exists()
    for file in (".github/workflows/infisical.yaml", ".gitlab-ci.yml", "README.md"):
        assert "inventory/office.py" in (own / file).read_text()
        assert "hetzner.py" not in (own / file).read_text()
    before = read_all(own)
    check(run_init(own, *NEEDED, "--yes"))
    assert read_all(own) == before


def test_a_group_may_have_a_name_that_only_a_clone_uses(own: Path) -> None:
    check(run_init(own, *NEEDED, "--group", "staging", "--yes"))
    assert (own / "inventory" / "staging.py").exists()
    ran = run_init(own, *NEEDED, "--group", "all", "--yes")
    assert (ran.exit_code, ran.output.startswith("Error: --group: 'all'")) == (1, True)


def test_no_file_has_a_secret(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    assert "obviously-fake-secret" not in "".join(read_all(own.parent / "infisical").values())


def test_names_of_directories_cannot_send_escapes_to_the_terminal(tmp_path: Path) -> None:
    """Names of directories are untrusted, also where one is the default of a question."""
    parent = tmp_path / "plain"
    parent.mkdir()
    own = make_repository(parent)
    services = tmp_path / "\x1b[31mshop\nacme"
    plant(services, {"we\nird\x1b[2J/package.json": "{}"})
    options = (*NEEDED, "--domain", "none", "--services", str(services))
    answers = "\n".join(("", "", "y", "Acme", *[""] * 9))
    # Without color=True, the runner would strip terminal escapes.
    given = ["init", "--directory", str(own), *options]
    ran = CliRunner().invoke(main, given, input=answers, color=True)
    assert "\x1b" not in ran.output
    assert r"we\nird\x1b[2J" in check(ran).output


def test_the_readme_names_commands_that_exist() -> None:
    text = render_around()["README.md"]
    commands = {*re.findall(r"uv run infisical-iac ([a-z-]+)", text)}
    assert commands >= {"plan", "apply", "status", "verify", "init", "backup", "rollback"}
    assert commands <= {*main.list_commands(None)}  # type: ignore[arg-type]
