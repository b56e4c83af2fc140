"""Test that one run makes everything, and that a second changes nothing and is quick."""

import json
import sys
from pathlib import Path

import pytest

from infisical_iac.workspace import canary
from tests.e2e.conftest import FirstDeploy
from tests.e2e.drift import CREDENTIALS, ENGINE_PACKAGES, STACK
from tests.e2e.inspection import administrator, secrets
from tests.e2e.running import deploy, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_MOST_COMMANDS = 6


def test_pyinfra_can_plan_for_a_bare_host(first: FirstDeploy) -> None:
    assert first.plan.status == 0, first.plan.stderr
    assert {ENGINE_PACKAGES, STACK, CREDENTIALS} <= set(first.plan.planned)


def test_the_plan_for_a_bare_host_names_each_change(first: FirstDeploy) -> None:
    status, items = first.items
    assert status == 2
    for expected in (
        "+ package docker.io",
        "+ /etc/docker/daemon.json",
        "+ /etc/infisical/keys/encryption_key",
        "+ container infisical",
        "~ sign-up: open → closed",
        "+ identity python-service-production",
        "+ canary: project infisical-iac-canary; project member admin@example.com: role admin; "
        f"environment prod; secret CANARY; {canary.PURPOSE}",
        "+ credentials backend.staging",
    ):
        assert expected in items


def test_the_first_run_changes_only_what_was_planned(
    first: FirstDeploy,
) -> None:
    changed = first.run.ok().changed
    assert set(changed) <= set(first.plan.planned)
    assert len(changed) >= 10


def test_a_plan_for_a_bare_host_has_as_many_changes_as_the_first_run(
    first: FirstDeploy, deployed_host: StagingHost
) -> None:
    _, planned = first.items
    entries = json.loads(infisical_iac(deployed_host.name, "audit", "--json").stdout)
    made = [each["changes"] for each in entries if each["event"] == "apply" and each["changes"]]
    assert len(made[0]) == len(planned)


def test_the_second_run_changes_nothing(deployed_host: StagingHost) -> None:
    run = deploy(deployed_host.name).ok()
    assert run.changed == []
    assert len(run.unchanged) == 37


def test_the_plan_for_a_converged_host_is_empty(deployed_host: StagingHost) -> None:
    run = deploy(deployed_host.name, yes=False)
    assert run.status == 0
    assert run.planned == []


def test_the_second_run_needs_few_remote_commands(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    log = tmp_path / "commands"
    deploy(deployed_host.name, program=("-m", "bench.counting", str(log), "pyinfra")).ok()
    commands = log.read_text().splitlines()
    assert 2 < len(commands) <= _MOST_COMMANDS, "\n".join(commands)


@pytest.mark.parametrize("command", ["plan", "status", "apply --yes"])
def test_a_command_needs_few_remote_commands_on_a_converged_host(
    deployed_host: StagingHost, tmp_path: Path, command: str
) -> None:
    """`status` exits with 1 here, as the host has neither a recovery kit nor a drill."""
    log = tmp_path / "commands"
    counting = (sys.executable, "-m", "bench.counting", str(log), "infisical-iac")
    done = infisical_iac(deployed_host.name, *command.split(), program=counting)
    assert done.returncode in (0, 1), done.stderr
    assert "Error" not in done.stderr
    commands = log.read_text().splitlines()
    assert 1 < len(commands) <= _MOST_COMMANDS, "\n".join(commands)


def test_there_is_one_administrator_and_one_organization(deployed_host: StagingHost) -> None:
    with administrator(deployed_host) as client:
        users = client.get("/api/v1/admin/user-management/users")["users"]
        organizations = client.get("/api/v1/admin/organization-management/organizations")
    assert [user["username"] for user in users if user["superAdmin"]] == ["admin@example.com"]
    assert [each["name"] for each in organizations["organizations"]] == ["ChainAlign"]


def test_output_holds_no_secret(deployed_host: StagingHost, first: FirstDeploy) -> None:
    made = secrets(deployed_host)
    assert len(made) > 10
    printed = first.run.stdout + first.run.stderr
    assert "-->" in printed
    assert [name for name, value in made.items() if value in printed] == []
    assert "eyJ" not in printed, "a token was printed"


def test_no_process_had_a_secret_among_its_arguments(
    deployed_host: StagingHost, first: FirstDeploy
) -> None:
    arguments = "\n".join(first.processes)
    assert "apt-get" in arguments
    assert "docker" in arguments
    assert [name for name, value in secrets(deployed_host).items() if value in arguments] == []


def test_secrets_are_only_in_private_files_and_in_dockers_own_directories(
    deployed_host: StagingHost,
) -> None:
    holding = _files_holding(secrets(deployed_host), deployed_host, "")
    ours = [path for path in holding if path.startswith("/etc/infisical/")]
    assert "/etc/infisical/keys/encryption_key" in ours
    modes = deployed_host.run(f"stat --format='%a %U' {' '.join(ours)}").stdout.splitlines()
    assert set(modes) == {"600 root"}
    # runc gives a health check its environment by a file in /tmp, which exists for a moment.
    engine = (
        *("/var/lib/docker/containers/", "/var/lib/containerd/", "/run/containerd/"),
        "/tmp/runc-process",
    )
    assert [path for path in holding if path not in ours and not path.startswith(engine)] == []


def test_another_user_of_the_host_finds_no_secret_in_any_file(deployed_host: StagingHost) -> None:
    stranger = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    assert _files_holding({"public": "PRETTY_NAME="}, deployed_host, stranger, "/etc/os-release")
    assert _files_holding(secrets(deployed_host), deployed_host, stranger) == []


def _files_holding(
    values: dict[str, str], host: StagingHost, prefix: str, where: str = "/"
) -> list[str]:
    found = host.run(
        f"{prefix} grep --recursive --files-with-matches --fixed-strings --file=- "
        f"--exclude-dir=proc --exclude-dir=sys --exclude-dir=dev {where} 2>/dev/null",
        check=False,
        input="".join(f"{value}\n" for value in values.values()),
    )
    return found.stdout.splitlines()
