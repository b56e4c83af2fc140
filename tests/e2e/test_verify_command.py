"""Test the output of `infisical-iac verify`: text, JSON and JUnit XML."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost


@pytest.mark.real
def test_a_deployed_host_passes_and_junit_xml_is_written(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "junit.xml"
    done = infisical_iac(deployed_host.name, "verify", "--junit", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    passed, skipped, failed = map(int, re.findall(r"\d+", last))
    assert (passed > 0, skipped > 0, failed) == (True, True, 0)
    assert "skipped: setting 'auditd'" in done.stdout
    assert len(ElementTree.parse(file).findall(".//testcase")) >= 60


def test_a_failed_check_is_reported_with_its_topic_and_reason(deployed_host: StagingHost) -> None:
    key = "/etc/infisical/keys/encryption_key"
    deployed_host.run(f"chmod 644 {key}")
    try:
        output = infisical_iac(deployed_host.name, "verify")
        found = json.loads(infisical_iac(deployed_host.name, "verify", "--json").stdout)
    finally:
        deployed_host.run(f"chmod 600 {key}")
    assert output.returncode == 1
    assert "✗ keys" in output.stdout
    assert found["failed"] == 2
    assert found["passed"] >= 60
    assert found["skipped"] == len(found["skips"])
    assert "setting 'auditd' is off" in [each["reason"] for each in found["skips"]]
    assert found["failures"][0]["topic"] == "keys"
    assert "encryption key" in found["failures"][0]["check"]


def test_verify_reports_a_missing_host() -> None:
    done = infisical_iac("nowhere", "verify")
    assert done.returncode == 1
    assert "'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr
