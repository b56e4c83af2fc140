"""`infisical-iac verify` tells in sentences, JSON and JUnit XML what the host tests found."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost


@pytest.mark.real
def test_a_deployed_host_passes_and_junit_xml_is_written(
    deployed: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "junit.xml"
    done = infisical_iac(deployed.name, "verify", "--junit", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("checks passed, 0 failed.")
    assert len(ElementTree.parse(file).findall(".//testcase")) >= 60


def test_a_failed_check_is_told_as_a_sentence_with_its_reason(deployed: StagingHost) -> None:
    key = "/etc/infisical/keys/encryption_key"
    deployed.run(f"chmod 644 {key}")
    try:
        told = infisical_iac(deployed.name, "verify")
        found = json.loads(infisical_iac(deployed.name, "verify", "--json").stdout)
    finally:
        deployed.run(f"chmod 600 {key}")
    assert told.returncode == 1
    assert "✗ keys" in told.stdout
    assert found["failed"] == 2
    assert found["passed"] >= 60
    assert found["failures"][0]["topic"] == "keys"
    assert "encryption key" in found["failures"][0]["check"]


def test_a_host_that_is_not_there_is_told() -> None:
    done = infisical_iac("nowhere", "verify")
    assert done.returncode == 1
    assert "the staging host 'nowhere' is not up" in done.stderr
    assert "Traceback" not in done.stderr
