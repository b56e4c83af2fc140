"""Test the repository that `infisical-iac init` writes into an empty directory."""

import ast
import json
import re
import runpy
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.core import settings
from infisical_iac.core.bundle import default_settings
from infisical_iac.init import repository
from infisical_iac.init.answers import Answers
from infisical_iac.migrate import ignores
from infisical_iac.workspace.load import declared_file, load
from tests.unit.fake_programs import fake_program, run_with
from tests.unit.init.own import NEEDED, check, make_repository, read_all, run_init
from tests.unit.migrate.trees import plant

_LOADERS = Path(__file__).resolve().parents[3] / "loaders"
_DIGEST = f"sha256:{'a' * 64}"
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


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return make_repository(tmp_path)


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
    answers = "\n".join(("", "", "y", "Acme", *[""] * 8))
    # Without color=True, the runner would strip terminal escapes.
    given = ["init", "--directory", str(own), *options]
    ran = CliRunner().invoke(main, given, input=answers, color=True)
    assert "\x1b" not in ran.output
    assert r"we\nird\x1b[2J" in check(ran).output


def _render(site_url: str = "https://secrets.example.com", **given: Any) -> dict[str, str]:
    answers = Answers(organization="Acme", site_url=site_url, **given)
    return repository.files_around(answers, "group_data/acme.yaml", "../services", "production")


@pytest.mark.parametrize("public_key", ["", "~/.ssh/id_ed25519.pub"])
def test_the_github_workflow_has_jobs_for_plan_drift_and_check(public_key: str) -> None:
    text = _render(ssh_public_key=public_key)[".github/workflows/infisical.yaml"]
    jobs = yaml.safe_load(text)["jobs"]
    runs = {
        name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()
    }
    assert "infisical-iac plan" in runs["plan"]
    assert "infisical-iac drift" in runs["drift"]
    assert "infisical-iac check services" in runs["check"]
    assert "apply" not in " ".join(runs.values())
    assert ("INFISICAL_HOST" in text) == bool(public_key)
    # A pull request of a fork must not run with the SSH key.
    assert "head.repo.full_name == github.repository" in jobs["plan"]["if"]


def test_actions_are_pinned_by_commit_with_their_tag() -> None:
    text = _render()[".github/workflows/infisical.yaml"]
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 9
    for each in uses:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_the_gitlab_pipeline_has_jobs_for_plan_drift_and_check() -> None:
    jobs = yaml.safe_load(_render()[".gitlab-ci.yml"])
    assert {"plan", "drift", "check"} <= jobs.keys()
    script = {name: " ".join(jobs[name]["script"]) for name in ("plan", "drift", "check")}
    assert "infisical-iac plan" in script["plan"]
    assert "infisical-iac drift" in script["drift"]
    assert "infisical-iac check services" in script["check"]
    assert "merge_request_event" in jobs["plan"]["rules"][0]["if"]
    assert "schedule" in jobs["drift"]["rules"][0]["if"]


_PLAN, _STATUS = "plan --html plan.html", "status --html status.html"
# Logs its arguments, and exits with $PLAN for `plan` and with $DRIFT for `drift`. The runner starts
# the command with the secrets.
_UV = """
if [ "$2" = with-secrets ]; then
  shift 3
  SSH_PRIVATE_KEY=$(cat "$KEY") exec "$@"
fi
echo "$* ${SSH_PRIVATE_KEY:+with the key}" | sed 's/ *$//' >>"$HOST/calls"
case "$*" in
*" check"*) ;;
*) ssh-add -l >>"$HOST/keys" ;;
esac
case "$*" in
*" plan --html plan.html") exit "$PLAN" ;;
*" status --html status.html") exit 1 ;;
*" drift") exit "$DRIFT" ;;
esac
"""


def test_the_pages_of_plan_and_status_are_kept_also_if_the_job_fails() -> None:
    files = _render()
    jobs = yaml.safe_load(files[".github/workflows/infisical.yaml"])["jobs"]
    for name in ("plan", "drift"):
        last = jobs[name]["steps"][-1]
        assert last["uses"].startswith("actions/upload-artifact@")
        assert last["if"] == "always()"
        assert last["with"]["path"].split() == ["plan.html", "status.html"]
    jobs = yaml.safe_load(files[".gitlab-ci.yml"])
    kept = {name: job["artifacts"] for name, job in jobs.items() if "artifacts" in job}
    assert {name: each["paths"] for name, each in kept.items()} == {
        "plan": ["plan.html"],
        "drift": ["plan.html", "status.html"],
    }
    assert {(each["when"], each["access"]) for each in kept.values()} == {("always", "developer")}


def _list_scripts(system: str) -> dict[str, str]:
    """Return the script of each job."""
    files = _render()
    if system == "gitlab":
        jobs = yaml.safe_load(files[".gitlab-ci.yml"])
        return {name: "\n".join(jobs[name]["script"]) for name in ("plan", "drift", "check")}
    jobs = yaml.safe_load(files[".github/workflows/infisical.yaml"])["jobs"]
    return {name: _find_command(job)["run"] for name, job in jobs.items()}


def _find_command(job: dict[str, Any]) -> dict[str, Any]:
    """Return the step of a job at GitHub that runs a command."""
    found: dict[str, Any]
    (found,) = (each for each in job["steps"] if "run" in each)
    return found


@pytest.mark.parametrize("system", ["github", "gitlab"])
@pytest.mark.parametrize(
    ("job", "plan", "drift", "status", "commands"),
    [
        ("plan", 0, 0, 0, [_PLAN]),
        ("plan", 2, 0, 0, [_PLAN]),
        ("plan", 1, 0, 1, [_PLAN]),
        ("drift", 0, 0, 0, ["drift", _PLAN, _STATUS]),
        ("drift", 2, 2, 2, ["drift", _PLAN, _STATUS]),
        ("drift", 1, 1, 1, ["drift", _PLAN, _STATUS]),
        ("check", 0, 0, 0, ["check services --offline"]),
    ],
)
def test_a_job_ends_with_the_status_of_its_command(
    tmp_path: Path,
    system: str,
    job: str,
    plan: int,
    drift: int,
    status: int,
    commands: list[str],
) -> None:
    """The plan job passes if the plan has changes; the drift job fails if there is drift.

    An SSH agent has the key, and its environment has not.
    """
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    fake_program(tmp_path, "uv", _UV)
    fake_program(tmp_path, "git")
    done = run_with(
        tmp_path,
        'bash -e -c "$1"',
        "job",
        _list_scripts(system)[job],
        PLAN=str(plan),
        DRIFT=str(drift),
        KEY=str(key),
    )
    assert done.returncode == status, done.stderr
    called = (tmp_path / "calls").read_text().splitlines()
    assert called == [f"run infisical-iac {each}" for each in commands]
    if job != "check":
        assert (tmp_path / "keys").read_text().count("ED25519") == len(commands)


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_job_without_the_key_names_it(tmp_path: Path, system: str) -> None:
    fake_program(tmp_path, "uv", _UV)
    (tmp_path / "empty").touch()
    script, key = _list_scripts(system)["plan"], str(tmp_path / "empty")
    done = run_with(tmp_path, 'bash -e -c "$1"', "job", script, KEY=key)
    assert done.returncode == 1, done.stderr
    assert "SSH_PRIVATE_KEY: is not in" in done.stderr
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('infisical_version = "v0.165.16"', {"currentValue": "v0.165.16"}),
        ('# infisical_version = "v0.165.16"', None),
        (
            f'infisical_version = "v0.165.16@sha256:{"0" * 64}"',
            {"currentValue": "v0.165.16", "currentDigest": f"sha256:{'0' * 64}"},
        ),
        (
            'postgres_image = "postgres:17.11"',
            {"depType": "postgres_image", "depName": "postgres", "currentValue": "17.11"},
        ),
        (
            'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"',
            {
                "depType": "patroni_image",
                "depName": "ghcr.io/zalando/spilo-17",
                "currentValue": "4.0-p3",
            },
        ),
        (
            'etcd_image = "gcr.io/etcd-development/etcd:v3.5.21"',
            {
                "depType": "etcd_image",
                "depName": "gcr.io/etcd-development/etcd",
                "currentValue": "v3.5.21",
            },
        ),
        (
            f'caddy_image = "ghcr.example/caddy:2.11@sha256:{"0" * 64}"',
            {
                "depType": "caddy_image",
                "depName": "ghcr.example/caddy",
                "currentValue": "2.11",
                "currentDigest": f"sha256:{'0' * 64}",
            },
        ),
        ('redis_memory = "256m"', None),
    ],
)
def test_renovate_finds_the_versions_in_the_settings(
    line: str, found: dict[str, str] | None
) -> None:
    """Renovate's expressions are JavaScript's, which writes a named group as (?<name>…)."""
    preset = json.loads(_render()["renovate.json"])
    patterns = [each for manager in preset["customManagers"] for each in manager["matchStrings"]]
    named = [each.replace("(?<", "(?P<") for each in patterns]
    matches = [re.search(each, f'"""Ours."""\n{line}\n') for each in named]
    groups = [match.groupdict() for match in matches if match]
    assert [{k: v for k, v in each.items() if v} for each in groups] == ([found] if found else [])


@pytest.mark.parametrize(
    ("line", "value", "updated"),
    [
        (
            'infisical_version = "v0.165.16"',
            "v0.165.16",
            f'infisical_version = "v0.165.16@{_DIGEST}"',
        ),
        (
            f'infisical_version = "v0.165.16@sha256:{"0" * 64}"',
            "v0.166.2",
            f'infisical_version = "v0.166.2@{_DIGEST}"',
        ),
        (
            'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"',
            "4.0-p4",
            f'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p4@{_DIGEST}"',
        ),
    ],
)
def test_renovate_writes_the_digest_into_each_line_that_it_updates(
    line: str, value: str, updated: str
) -> None:
    """The replacement is a Handlebars template; the test renders the syntax that it uses."""
    preset = json.loads(_render()["renovate.json"])
    text = f'"""Ours."""\n{line}\nswap = "off"\n'
    for manager in preset["customManagers"]:
        (pattern,) = manager["matchStrings"]
        if match := re.search(pattern.replace("(?<", "(?P<"), text):
            values = {**match.groupdict(), "newValue": value, "newDigest": _DIGEST}
            new = manager["autoReplaceStringTemplate"]
            new = new.replace("{{#if newDigest}}", "").replace("{{/if}}", "")
            new = new.replace("{{{", "{").replace("}}}", "}").format(**values)
            text = text.replace(match[0], new)
    assert text == f'"""Ours."""\n{updated}\nswap = "off"\n'


def test_renovate_pins_every_image_by_its_digest() -> None:
    """The image of the GitLab jobs is pinned too, because these jobs get the SSH key."""
    rules = json.loads(_render()["renovate.json"])["packageRules"]
    (rule,) = [each for each in rules if each.get("pinDigests")]
    assert rule["matchDatasources"] == ["docker"]


def test_the_readme_names_commands_that_exist() -> None:
    text = _render()["README.md"]
    commands = {*re.findall(r"uv run infisical-iac ([a-z-]+)", text)}
    assert commands >= {"plan", "apply", "status", "verify", "init", "backup", "rollback"}
    assert commands <= {*main.list_commands(None)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("git@github.com:acme/infisical.git", {"github": {"repository": "acme/infisical"}}),
        ("https://github.com/acme/infisical", {"github": {"repository": "acme/infisical"}}),
        ("ssh://git@gitlab.com/acme/ops/vault.git", {"gitlab": {"project": "acme/ops/vault"}}),
        ("https://git.example.com/acme/infisical.git", None),
        ("../elsewhere", None),
        (None, None),
    ],
)
def test_the_check_workflow_of_a_known_platform_logs_in_without_a_secret(
    tmp_path: Path, address: str | None, login: dict[str, dict[str, str]] | None
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    if address:
        command = ["git", "-C", str(tmp_path), "remote", "add", "origin", address]
        subprocess.run(command, check=True)
    found = repository.find_pipeline(tmp_path)
    text = repository.files(Answers(), "group_data/acme.yaml", found)["group_data/acme.yaml"]
    jobs = load(text).ci
    assert [job.sees for job in jobs.values()] == (["names"] if login else [])
    for job in jobs.values():
        assert job.auth.model_dump(exclude_none=True, exclude_defaults=True) == login


@pytest.mark.parametrize("path", [".github/workflows/infisical.yaml", ".gitlab-ci.yml"])
def test_no_workflow_has_a_client_secret(path: str) -> None:
    text = _render()[path]
    assert "INFISICAL_CLIENT" not in text
    assert "INFISICAL_MACHINE_IDENTITY_ID" in text


@pytest.mark.parametrize("site_url", ["https://secrets.example.com", ""])
@pytest.mark.parametrize("public_key", ["", "~/.ssh/id_ed25519.pub"])
def test_no_workflow_reads_a_secret_that_is_stored_at_the_platform(
    site_url: str, public_key: str
) -> None:
    files = _render(site_url, ssh_public_key=public_key)
    for path in repository.WORKFLOWS.values():
        assert not re.search(r"\{\{\s*secrets\b|\bsecrets\[", files[path])
        assert "INFISICAL_CLIENT" not in files[path]
        assert "INFISICAL_SSH_KEY" not in files[path]


def test_each_job_on_the_host_logs_in_as_an_identity_of_its_own() -> None:
    text = _render()[".github/workflows/infisical.yaml"]
    jobs = yaml.safe_load(text)["jobs"]
    for name in ("plan", "drift"):
        assert jobs[name]["permissions"] == {"contents": "read", "id-token": "write"}
        given = _find_command(jobs[name])["env"]
        variable = f"${{{{ vars.INFISICAL_{name.upper()}_IDENTITY }}}}"
        assert given["INFISICAL_MACHINE_IDENTITY_ID"] == variable
        assert given["INFISICAL_API_URL"] == "https://secrets.example.com"
    # The scheduled job would wait for reviewers.
    assert (jobs["plan"].get("environment"), jobs["drift"].get("environment")) == (
        "infisical",
        None,
    )
    jobs = yaml.safe_load(_render()[".gitlab-ci.yml"])
    for name in ("plan", "drift", "check"):
        assert jobs[name]["id_tokens"] == {"INFISICAL_JWT": {"aud": "infisical"}}


def test_without_a_domain_no_job_needs_infisical(own: Path) -> None:
    """A job of a platform would reach it by a tunnel only, for which it would need the key."""
    for path, others in (
        (".github/workflows/infisical.yaml", set()),
        (".gitlab-ci.yml", {"stages", "default", "variables"}),
    ):
        content = yaml.safe_load(_render("")[path])
        assert (content.get("jobs") or content).keys() - others == {"check"}
    ran = check(run_init(own, *NEEDED, "--yes"))
    assert "infisical-iac drift" in ran.output
    assert "/operations" not in "".join(read_all(own).values())


def _at(own: Path, address: str) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "trunk", str(own)], check=True)
    command = ["git", "-C", str(own), "remote", "add", "origin", address]
    subprocess.run(command, check=True)


def _read_jobs(own: Path) -> dict[str, Any]:
    jobs = load(own / "group_data" / "acme-shop.yaml").ci
    return {name: job.auth.claims and dict(job.auth.claims.claims) for name, job in jobs.items()}


_AT_GITHUB = {
    "check": {"repository": "acme/infisical"},
    "plan": {"repository": "acme/infisical", "environment": "infisical"},
    "drift": {"repository": "acme/infisical", "ref": "refs/heads/trunk"},
}
_AT_GITLAB = {
    "check": {"project_path": "acme/infisical"},
    "plan": {"project_path": "acme/infisical", "ref_protected": "true"},
    "drift": {"project_path": "acme/infisical", "ref": "trunk", "ref_type": "branch"},
}


@pytest.mark.parametrize(("host", "jobs"), [("github.com", _AT_GITHUB), ("gitlab.com", _AT_GITLAB)])
def test_the_jobs_of_a_known_platform_read_one_folder(
    own: Path, host: str, jobs: dict[str, Any]
) -> None:
    _at(own, f"git@{host}:acme/infisical.git")
    ran = check(run_init(own, *NEEDED, "--domain", "secrets.example.com", "--yes"))
    assert "set /operations/SSH_PRIVATE_KEY --env production" in ran.output
    declared = load(own / "group_data" / "acme-shop.yaml")
    assert declared.warnings() == []
    assert _read_jobs(own) == jobs
    seen = {name: job.sees for name, job in declared.ci.items()}
    folder = {"production": ("/operations",)}
    assert seen == {"check": "names", "plan": folder, "drift": folder}
    assert not any("/operations" in each.readable for each in declared.services.values())


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_pipeline_is_set_up_once_the_repository_has_an_address(
    own: Path, platform: str
) -> None:
    """A new repository has none when `init` runs in it for the first time."""
    ran = check(run_init(own, *NEEDED, "--domain", "secrets.example.com", "--yes"))
    assert "init --pipeline" in ran.output
    refused = run_init(own, "--pipeline", platform, "--yes")
    assert (refused.exit_code, "origin" in refused.output) == (1, True)
    _at(own, f"https://{platform}.com/acme/infisical")
    before = read_all(own)
    ran = check(run_init(own, "--pipeline", platform, "--yes"))
    assert "set /operations/SSH_PRIVATE_KEY --env production" in ran.output
    assert _read_jobs(own) == (_AT_GITHUB if platform == "github" else _AT_GITLAB)
    after = read_all(own)
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {"group_data/acme-shop.yaml"}
    assert "Nothing to change" in check(run_init(own, "--pipeline", platform, "--yes")).output


def test_a_server_of_ones_own_is_the_issuer(own: Path) -> None:
    _at(own, "git@git.example.com:acme/infisical.git")
    check(run_init(own, *NEEDED, "--domain", "secrets.example.com", "--yes"))
    assert _read_jobs(own) == {}
    check(run_init(own, "--pipeline", "gitlab", "--yes"))
    claims = load(own / "group_data" / "acme-shop.yaml").ci["plan"].auth.claims
    assert claims is not None
    assert claims.issuer == "https://git.example.com"


def test_a_workflow_with_a_stored_key_is_replaced_after_a_question(own: Path) -> None:
    _at(own, "https://github.com/acme/infisical")
    check(run_init(own, *NEEDED, "--domain", "secrets.example.com", "--yes"))
    workflow = own / ".github" / "workflows" / "infisical.yaml"
    new = workflow.read_text()
    workflow.write_text("env:\n  SSH_KEY: ${{ secrets.INFISICAL_SSH_KEY }}\n")
    pyproject = own / "pyproject.toml"
    pins = pyproject.read_text()
    pyproject.write_text(pins.replace(', "infisical-config==0.1.0"', ""))
    assert "init --pipeline github" in check(run_init(own, "--upgrade", "--yes")).output
    assert run_init(own, "--pipeline", "github", "--yes").exit_code == 1
    ran = check(run_init(own, "--pipeline", "github", typed=("y",)))
    assert "-  SSH_KEY: " in ran.output
    assert (workflow.read_text(), pyproject.read_text()) == (new, pins)
    assert "uv lock" in ran.output
