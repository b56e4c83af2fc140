"""Test the workflows that `infisical-iac init` writes for GitHub and GitLab."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.init import repository
from infisical_iac.init.answers import Answers
from infisical_iac.workspace.load import load
from tests.unit.fake_programs import fake_program, run_with
from tests.unit.init.own import NEEDED, check, read_all, render_around, run_init


@pytest.mark.parametrize("public_key", ["", "~/.ssh/id_ed25519.pub"])
def test_the_github_workflow_has_jobs_for_plan_drift_and_check(public_key: str) -> None:
    text = render_around(ssh_public_key=public_key)[".github/workflows/infisical.yaml"]
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
    text = render_around()[".github/workflows/infisical.yaml"]
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 9
    for each in uses:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_the_gitlab_pipeline_has_jobs_for_plan_drift_and_check() -> None:
    jobs = yaml.safe_load(render_around()[".gitlab-ci.yml"])
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
    files = render_around()
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


@pytest.mark.parametrize("file", [".github/workflows/infisical.yaml", ".gitlab-ci.yml"])
def test_newer_releases_are_asked_for_if_there_is_a_monitor_to_tell(file: str) -> None:
    command = "infisical-iac outdated --keep || true"
    assert command in render_around(monitoring={"monitoring": "on"})[file]
    assert command not in render_around()[file]


def _list_scripts(system: str) -> dict[str, str]:
    """Return the script of each job."""
    files = render_around()
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
    text = render_around()[path]
    assert "INFISICAL_CLIENT" not in text
    assert "INFISICAL_MACHINE_IDENTITY_ID" in text


@pytest.mark.parametrize("site_url", ["https://secrets.example.com", ""])
@pytest.mark.parametrize("public_key", ["", "~/.ssh/id_ed25519.pub"])
def test_no_workflow_reads_a_secret_that_is_stored_at_the_platform(
    site_url: str, public_key: str
) -> None:
    files = render_around(site_url, ssh_public_key=public_key)
    for path in repository.WORKFLOWS.values():
        assert not re.search(r"\{\{\s*secrets\b|\bsecrets\[", files[path])
        assert "INFISICAL_CLIENT" not in files[path]
        assert "INFISICAL_SSH_KEY" not in files[path]


def test_each_job_on_the_host_logs_in_as_an_identity_of_its_own() -> None:
    text = render_around()[".github/workflows/infisical.yaml"]
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
    jobs = yaml.safe_load(render_around()[".gitlab-ci.yml"])
    for name in ("plan", "drift", "check"):
        assert jobs[name]["id_tokens"] == {"INFISICAL_JWT": {"aud": "infisical"}}


def test_without_a_domain_no_job_needs_infisical(own: Path) -> None:
    """A job of a platform would reach it by a tunnel only, for which it would need the key."""
    for path, others in (
        (".github/workflows/infisical.yaml", set()),
        (".gitlab-ci.yml", {"stages", "default", "variables"}),
    ):
        content = yaml.safe_load(render_around("")[path])
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
