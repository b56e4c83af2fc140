"""Test `infisical-iac status` and `audit`."""

import json
import re
from pathlib import Path
from typing import Any

import pyrage
import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.inspection import secrets
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost


def _rows(host: StagingHost) -> tuple[int, dict[str, dict[str, Any]]]:
    done = infisical_iac(host.name, "status", "--json")
    return done.returncode, {row["name"]: row for row in json.loads(done.stdout)}


def test_a_converged_host_is_healthy_once_it_has_a_recovery_kit(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    assert_converged(deployed_host)
    status, rows = _rows(deployed_host)
    assert (status, [name for name, row in rows.items() if not row["ok"]]) == (1, ["Recovery kit"])
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    kit = ("--recipient", recipient, "--output", str(tmp_path / "kit"))
    assert infisical_iac(deployed_host.name, "recovery-kit", *kit).returncode == 0
    status, rows = _rows(deployed_host)
    assert status == 0, rows
    assert list(rows) == [
        *("infisical", "postgres", "redis"),
        *("Disk", "Certificate", "Last backup", "Last drill", "Last apply", "Drift"),
        *("Access", "2nd factor", "Instance", "Recovery kit"),
    ]
    assert rows["infisical"]["text"].endswith(": healthy")
    assert "@" in rows["Last apply"]["text"]
    assert rows["Drift"] == {"name": "Drift", "text": "none", "ok": True}
    assert rows["Access"]["text"] == "as the file says"
    output = infisical_iac(deployed_host.name, "status")
    assert output.returncode == 0
    marks = [line[0] for line in output.stdout.splitlines() if line[0] in "✓·✗"]
    assert (len(marks), set(marks)) == (len(rows), {"✓", "·"})


def test_a_stopped_container_is_unhealthy_and_the_audit_log_records_its_repair(
    deployed_host: StagingHost,
) -> None:
    deployed_host.run("docker stop infisical-infisical-1")
    status, rows = _rows(deployed_host)
    assert status == 1
    assert not rows["infisical"]["ok"]
    assert rows["infisical"]["text"].endswith(": exited")
    assert rows["Drift"]["text"].startswith("~ container infisical: is exited")
    repaired = infisical_iac(deployed_host.name, "apply", "--yes", "--json")
    assert repaired.returncode == 0, repaired.stderr
    (change,) = json.loads(repaired.stdout)["changes"]
    assert change["what"] == "container infisical"
    last = json.loads(infisical_iac(deployed_host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert (last["event"], last["outcome"]) == ("apply", "done")
    assert last["changes"] == [f"~ container infisical: {change['detail']}"]
    assert len(last["revision"]) >= 12
    output = infisical_iac(deployed_host.name, "audit", "--last", "1").stdout.splitlines()
    assert output[0].endswith(f"apply  done  {last['revision']}")
    assert output[1].strip() == last["changes"][0]


def test_status_and_plan_are_written_as_pages_without_a_secret(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    # Other tests on this host, or its timer at night, may have made backups before.
    deployed_host.run("rm -f /var/lib/infisical-backup/history.jsonl")
    deployed_host.run("systemctl start infisical-backup.service")
    made = secrets(deployed_host)
    for command, facts in (
        ("status", ("Drift", "v0.165.16", "<p>1 of 1 run", "backend-production", "apply")),
        ("plan", ("Nothing to change",)),
    ):
        plain = infisical_iac(deployed_host.name, command)
        file = tmp_path / f"{command}.html"
        done = infisical_iac(deployed_host.name, command, "--html", str(file))
        assert done.returncode == plain.returncode
        assert _without_free_space(done.stdout) == _without_free_space(plain.stdout)
        assert file.stat().st_mode & 0o777 == 0o600
        page = file.read_text("utf-8")
        assert [fact for fact in facts if fact not in page] == []
        assert [name for name, value in made.items() if value in page] == []
        assert "As the server says" in page or command == "plan"
        assert 'class="level reads bad"' not in page
    history = deployed_host.run("cat /var/lib/infisical-backup/history.jsonl").stdout
    assert json.loads(history.splitlines()[-1])["failure"] == ""


def _without_free_space(text: str) -> str:
    """Return the text without the free space of the disk, which hosts of other tests use too."""
    return re.sub(r"[\d.]+ (of [\d.]+ GB free)", r"… \1", text)


def test_an_altered_audit_log_is_reported_with_its_line(deployed_host: StagingHost) -> None:
    file = "/var/log/infisical-iac/audit.jsonl"
    deployed_host.run(f"cp -p {file} /tmp/kept && sed -i '1s/begun/done/' {file}")
    try:
        output = infisical_iac(deployed_host.name, "audit")
    finally:
        deployed_host.run(f"mv /tmp/kept {file}")
    assert output.returncode == 1
    assert f"line 2 of {file} " in output.stderr
    assert infisical_iac(deployed_host.name, "audit").returncode == 0


def test_the_audit_log_holds_no_secret(deployed_host: StagingHost) -> None:
    log = deployed_host.run("cat /var/log/infisical-iac/audit.jsonl").stdout
    assert "+ package docker.io" in log
    assert [name for name, value in secrets(deployed_host).items() if value in log] == []


def test_apply_changes_nothing_if_the_answer_is_no(deployed_host: StagingHost) -> None:
    deployed_host.run(f"rm {UPDATES}")
    refused = infisical_iac(deployed_host.name, "apply", answer="n\n")
    assert refused.returncode == 1
    assert f"+ {UPDATES}" in refused.stdout
    assert infisical_iac(deployed_host.name, "plan").returncode == 2
    accepted = infisical_iac(deployed_host.name, "apply", answer="y\n")
    assert accepted.returncode == 0
    assert accepted.stdout.splitlines()[-1].startswith("1 change made in ")
    assert_converged(deployed_host)


@pytest.mark.long
def test_status_reports_that_docker_does_not_run(deployed_host: StagingHost) -> None:
    deployed_host.run("systemctl stop docker.socket docker.service")
    status, rows = _rows(deployed_host)
    assert status == 1
    assert (rows["Docker"]["ok"], "does not answer" in rows["Docker"]["text"]) == (False, True)
    assert rows["Drift"]["text"].startswith("~ docker.service: started")
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0
    assert_converged(deployed_host)


def test_status_reports_a_blocked_step_of_the_plan_as_drift(deployed_host: StagingHost) -> None:
    key = "/etc/infisical/keys/encryption_key"
    deployed_host.run(f"mv {key} /root/kept")
    try:
        status, rows = _rows(deployed_host)
    finally:
        deployed_host.run(f"mv /root/kept {key}")
    assert status == 1
    assert rows["infisical"]["ok"]
    blocked = f"! Make keys and passwords on the host: blocked: {key} is missing"
    assert rows["Drift"]["text"].startswith(blocked)


@pytest.mark.parametrize(
    "arguments",
    [("plan", "--nope"), ("drift", "--every", "0"), ("nope",), ("workspace", "plan", "x")],
)
def test_wrong_options_end_with_exit_status_1_and_the_usage(arguments: tuple[str, ...]) -> None:
    done = infisical_iac("nowhere", *arguments)
    assert done.returncode == 1
    assert "Usage: infisical-iac" in done.stderr


def test_each_command_reports_a_missing_host_in_one_line() -> None:
    for command in ("plan", "apply", "status", "audit", "destroy", "drift"):
        done = infisical_iac("nowhere", command)
        assert done.returncode == 1, command
        output = (done.stdout + done.stderr).splitlines()
        assert len(output) == 1, output
        assert "'nowhere'" in output[0]
