"""Test the output of `infisical-iac verify`: text, JSON and JUnit XML."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from infisical_iac.agent import identities
from infisical_iac.workspace.oidc import oidc_path
from tests.e2e import inspection
from tests.e2e.configured import WORKSPACE, ConfiguredHost, take_back
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

# Infisical resolves the name of an issuer, and a staging host can't. Nothing is sent to this
# address until somebody logs in.
_ISSUER = "https://1.1.1.1"
_JOB = "ci-check"
_SERVICE = "backend-production"
_SENTENCE = "tokens log in only as the project file says"


@pytest.fixture
def configured(deployed_host: StagingHost, tmp_path: Path) -> Iterator[ConfiguredHost]:
    """The host with a job of a pipeline and a service that log in with signed tokens."""
    project = yaml.safe_load(WORKSPACE.read_text())
    job, service = ({"oidc": {"issuer": _ISSUER, "subject": each}} for each in ("job", "service"))
    project["ci"] = {"check": {"sees": "names", "auth": job}}
    project["services"]["backend"]["auth"] = {"production": service}
    file = tmp_path / "project.yaml"
    file.write_text(yaml.safe_dump(project))
    host = ConfiguredHost(deployed_host, tmp_path, {"workspace_file": str(file)})
    with take_back(host):
        yield host


@pytest.mark.real
@pytest.mark.long
def test_logins_with_signed_tokens_are_checked(configured: ConfiguredHost, tmp_path: Path) -> None:
    applied = configured.apply()
    assert applied.returncode == 0, applied.stdout + applied.stderr
    # The service's login with a client secret stays until now, and `verify` would report it.
    pruned = configured.run("workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    file = tmp_path / "junit.xml"
    done = configured.run("verify", "--junit", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [
        each
        for each in ElementTree.parse(file).iter("testcase")
        if any(f"[{identity}]" in each.attrib["name"] for identity in (_JOB, _SERVICE))
    ]
    assert [each.attrib["name"] for each in cases if each.find("skipped") is not None] == []
    name = f"test_{_SENTENCE.replace(' ', '_')}"
    assert {f"{name}[{_JOB}]", f"{name}[{_SERVICE}]"} <= {each.attrib["name"] for each in cases}
    assert len(cases) == 8

    with inspection.deployer(configured.host) as client:
        organization = identities.organization_id(client)
        found = identities.find(client, organization, _JOB)
        assert found is not None
        client.patch("/".join(oidc_path(found.id)), json={"boundSubject": "anybody"})
    wrong = json.loads(configured.run("verify", "--json").stdout)
    names = [each["check"] for each in wrong["failures"]]
    assert f"{_SENTENCE}[{_JOB}]" in names, names
    assert f"{_SENTENCE}[{_SERVICE}]" not in names


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
