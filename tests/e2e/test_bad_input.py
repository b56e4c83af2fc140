"""Test mistakes: each is reported in one line with what to change, and changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paramiko import RSAKey

from infisical_iac.agent import contents
from infisical_iac.core.host_keys import VARIABLE, read_key
from infisical_iac.workspace import canary
from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import api, containers, deployer, reset_stack, slugs
from tests.e2e.running import REPOSITORY, Run, deploy, infisical_iac
from tests.staging.host import StagingHost

_WORKSPACE = (REPOSITORY / "group_data" / "chainalign.yaml").read_text()


def _fingerprint(host: StagingHost) -> str:
    files = host.run(
        "find /etc /root /home /opt /usr/local /var/lib/dpkg -type f -printf '%p %s %m %T@\\n'; "
        "docker images --no-trunc --quiet | sort; docker volume ls --quiet"
    ).stdout
    return f"{files}{containers(host)}{_list_members(host)}"


def _list_members(host: StagingHost) -> list[str]:
    """Return the members of the canary's project and of all that the project file names."""
    with deployer(host) as client:
        projects = [contents.project(client, slug) for slug in (*slugs(), canary.SLUG)]
        listed = [
            client.get(f"/api/v1/projects/{each['id']}/memberships")["memberships"]
            for each in projects
            if each
        ]
    return sorted(each["user"]["username"] for members in listed for each in members)


@contextmanager
def _nothing_changes_on(host: StagingHost) -> Iterator[None]:
    before = _fingerprint(host)
    yield
    assert _fingerprint(host) == before


def _refuse(run: Run) -> str:
    assert run.status != 0
    assert "Traceback" not in run.stderr
    return run.sentence


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        ({"infisical_verison": "v0.165.16"}, ("'infisical_verison' is unknown: ", "did you mean")),
        ({"infisical_version": "latest"}, ("'infisical_version': 'latest' ",)),
        ({"infisical_version": "v0.146.0-postgres"}, ("write 'v0.146.0'",)),
        (
            {"site_url": "secrets.example.com"},
            ("'site_url': 'secrets.example.com' is not an absolute",),
        ),
    ],
)
def test_an_invalid_setting_is_refused_by_its_name(
    deployed_host: StagingHost, data: dict[str, str], facts: tuple[str, ...]
) -> None:
    with _nothing_changes_on(deployed_host):
        output = _refuse(deploy(deployed_host.name, data=data))
    for fact in facts:
        assert fact in output


@pytest.mark.parametrize("password", ["too-short-fake", "  obviously-fake-padded-Passw0rd  "])
def test_a_password_for_an_existing_administrator_is_neither_used_nor_printed(
    deployed_host: StagingHost, password: str
) -> None:
    with _nothing_changes_on(deployed_host):
        run = deploy(deployed_host.name, environment={"INFISICAL_ADMIN_PASSWORD": password}).ok()
    assert run.changed == []
    assert password.strip() not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("before", "after", "value", "reason"),
    [
        ("project:", "project: [", "", "this is not YAML"),
        ("slug: staging", "slug: production", "'production'", " is listed twice"),
        ("slug: chainalign", "slug: Chain Align", "'Chain Align'", " is not a project"),
        ("folder: /backend", "folder: backend", "'backend'", " is not a folder"),
        ("    folder: /backend\n", "", "", "has no 'folder'"),
    ],
)
def test_an_invalid_project_file_is_refused_with_the_line(
    deployed_host: StagingHost, tmp_path: Path, before: str, after: str, value: str, reason: str
) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(_WORKSPACE.replace(before, after, 1))
    with _nothing_changes_on(deployed_host):
        output = _refuse(deploy(deployed_host.name, data={"workspace_file": str(file)}))
    assert f"{value}{reason}" in output
    assert "workspace.yaml, line " in output


def test_without_a_host_the_error_names_the_variable_to_set() -> None:
    run = deploy(inventory="inventory/hetzner.py")
    output = _refuse(run)
    assert "INFISICAL_HOST" in output
    assert "INFISICAL_SSH" not in output


def test_an_unreachable_host_is_reported_with_the_variables_to_check() -> None:
    variables = {"INFISICAL_HOST": "127.0.0.1", "INFISICAL_SSH_PORT": "9"}
    run = deploy(inventory="inventory/hetzner.py", environment=variables)
    _refuse(run)
    assert "INFISICAL_HOST" in run.stderr
    assert "INFISICAL_SSH_PORT" in run.stderr
    assert "INFISICAL_SSH_KEY" not in run.stderr


def test_a_wrong_ssh_key_is_reported_with_the_variables_to_check(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    key = tmp_path / "wrong"
    RSAKey.generate(2048).write_private_key_file(str(key))
    variables = {
        "INFISICAL_HOST": "127.0.0.1",
        "INFISICAL_SSH_PORT": str(deployed_host.ssh_port),
        "INFISICAL_SSH_KEY": str(key),
        "HOME": str(tmp_path),
        VARIABLE: read_key("127.0.0.1", deployed_host.ssh_port).fingerprint,
    }
    with _nothing_changes_on(deployed_host):
        run = deploy(inventory="inventory/hetzner.py", environment=variables)
    _refuse(run)
    assert "INFISICAL_SSH_USER" in run.stderr
    assert "INFISICAL_SSH_KEY" in run.stderr
    assert "INFISICAL_SSH_PORT" not in run.stderr


def test_a_full_disk_is_refused_before_the_first_deploy(deployed_host: StagingHost) -> None:
    deployed_host.run("mv /etc/infisical/compose.yaml /etc/infisical/away")
    try:
        with _nothing_changes_on(deployed_host):
            run = deploy(deployed_host.name, data={"minimum_free_disk_gb": "1e6"})
    finally:
        deployed_host.run("mv /etc/infisical/away /etc/infisical/compose.yaml")
    assert "'minimum_free_disk_gb'" in _refuse(run)


def test_an_unreachable_registry_stops_no_container(deployed_host: StagingHost) -> None:
    data = {"infisical_image": "127.0.0.1:9/infisical", "image_archives": "[]"}
    with _nothing_changes_on(deployed_host):
        run = deploy(deployed_host.name, data=data)
    output = _refuse(run)
    assert "127.0.0.1:9/infisical:v0.165.16" in output
    assert "nothing was stopped" in output
    assert_converged(deployed_host)


def test_a_missing_image_archive_is_refused_by_its_name(deployed_host: StagingHost) -> None:
    data = {"infisical_version": "v0.165.17", "image_archives": '["/nowhere.tar"]'}
    with _nothing_changes_on(deployed_host):
        run = deploy(deployed_host.name, data=data)
    assert "'image_archives': /nowhere.tar" in _refuse(run)


def test_another_administrator_than_the_first_is_refused(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    wanted = {"admin_email": "other@example.com"}
    inventory = backing.inventory(tmp_path, **wanted)
    with _nothing_changes_on(deployed_host):
        output = _refuse(deploy(deployed_host.name, data=wanted))
        applied = infisical_iac(
            deployed_host.name, "workspace", "apply", "--yes", "--inventory", inventory
        )
    assert applied.returncode == 1, applied.stdout
    for text in (output, applied.stderr):
        for fact in ("'admin_email'", "other@example.com", "/etc/infisical/admin.env"):
            assert fact in text


def test_an_infisical_that_never_becomes_healthy_is_reported_with_its_last_log_lines(
    deployed_host: StagingHost,
) -> None:
    key = "/etc/infisical/keys/encryption_key"
    deployed_host.run(f"cp -p {key} /root/kept && printf %032d 7 > {key}")
    try:
        run = deploy(deployed_host.name)
    finally:
        deployed_host.run(f"cp -p /root/kept {key} && rm /root/kept")
    assert run.status != 0
    assert "Traceback" not in run.stderr.replace("  Traceback", "")
    assert "does not become healthy" in run.stderr
    # Node's own words for a text that another key encrypted.
    assert "Unsupported state" in run.stderr
    assert f"{7:032d}" not in run.stderr
    deploy(deployed_host.name).ok()
    assert_converged(deployed_host)


@pytest.mark.long
def test_an_instance_that_somebody_else_set_up_is_not_changed(deployed_host: StagingHost) -> None:
    reset_stack(deployed_host)
    deploy(deployed_host.name, program=("-m", "tests.e2e.dying", "containers up"))
    stranger = {
        "email": "stranger@example.com",
        "password": "obviously-fake-of-a-stranger",
        "organization": "Strangers",
    }
    with api(deployed_host) as client:
        client.post("/api/v1/admin/bootstrap", json=stranger)
    before = containers(deployed_host)
    planned = deploy(deployed_host.name, yes=False)
    applied = deploy(deployed_host.name)
    # Steps that don't need the instance, such as the host's timers, are still applied.
    assert containers(deployed_host) == before
    output = "if somebody else set"
    # pyinfra itself prints a plan, and fails only when it applies.
    assert output in planned.stderr
    assert output in _refuse(applied)
    reset_stack(deployed_host)
    deploy(deployed_host.name).ok()
    assert_converged(deployed_host)
