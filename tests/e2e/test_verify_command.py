"""`infisical-iac verify` tells in sentences, JSON and JUnit XML what the host tests found."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.running import REPOSITORY
from tests.staging.host import StagingHost

_PROGRAM = Path(sys.executable).with_name("infisical-iac")


def _verify(host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROGRAM, "verify", "--inventory", "inventory/staging.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "STAGING_HOST": host},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_deployed_host_passes_and_junit_xml_is_written(
    deployed: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "junit.xml"
    done = _verify(deployed.name, "--junit", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("checks passed, 0 failed.")
    assert len(ElementTree.parse(file).findall(".//testcase")) >= 60


def test_a_failed_check_is_told_as_a_sentence_with_its_reason(deployed: StagingHost) -> None:
    key = "/etc/infisical/keys/encryption_key"
    deployed.run(f"chmod 644 {key}")
    try:
        told = _verify(deployed.name)
        found = json.loads(_verify(deployed.name, "--json").stdout)
    finally:
        deployed.run(f"chmod 600 {key}")
    assert told.returncode == 1
    assert "✗ keys" in told.stdout
    assert found["failed"] == 2
    assert found["passed"] >= 60
    assert found["failures"][0]["topic"] == "keys"
    assert "encryption key" in found["failures"][0]["check"]


def test_a_host_that_is_not_there_is_told() -> None:
    done = _verify("nowhere")
    assert done.returncode == 1
    assert "the staging host 'nowhere' is not up" in done.stderr
    assert "Traceback" not in done.stderr
