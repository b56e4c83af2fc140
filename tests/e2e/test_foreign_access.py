"""Test that manually given access is reported by each command, and kept until pruned."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from infisical_iac.workspace.memory import parse
from tests.contract.strangers import STRANGERS, Project
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import ISOLATION, administrator, deployer, env_file
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

pytestmark = [pytest.mark.real, pytest.mark.long]

# The shipped project file has no people, and other folders than the project of STRANGERS. An entry
# that is not left out makes an identity in the project too. Groups need a license.
_LEFT_OUT = (
    "a privilege of a person",
    "an identity in the project",
    "an import into the folder of a service",
    "a group in the project",
    "a group that is admin of the organization",
    # In each of several projects the deployer is an admin, whose rights no privilege widens.
    *(("a privilege of the deployer",) if ISOLATION == "projects" else ()),
)
_MADE = [name for name in STRANGERS if name not in _LEFT_OUT]


@pytest.fixture
def project(deployed_host: StagingHost) -> Iterator[Project]:
    assert_converged(deployed_host)
    with deployer(deployed_host) as by_machine, administrator(deployed_host) as by_password:
        known = env_file(deployed_host, "/etc/infisical/deployer.env")
        memory = parse(deployed_host.run("cat /etc/infisical/workspace.json").stdout)
        if ISOLATION == "projects":
            memory = replace(memory, project=memory.parts["backend.staging"].project)
        yield Project(
            by_machine,
            known["INFISICAL_CLIENT_ID"],
            "",
            by_password,
            memory,
            service="backend-staging",
            environment="staging",
            deployer_name="infisical-iac-deployer",
        )


def test_foreign_access_is_reported_by_each_command_and_removed_by_prune(
    deployed_host: StagingHost, project: Project
) -> None:
    for name in _MADE:
        STRANGERS[name].make(project)
    whats = {each for name in _MADE for each in project.fill_names(STRANGERS[name].whats)}
    for command, status in (("plan", 0), ("drift", 2), ("status", 1), ("verify", 1)):
        done = infisical_iac(deployed_host.name, command)
        assert [each for each in whats if each not in done.stdout] == [], done.stdout
        assert done.returncode == status, done.stdout + done.stderr
    applied = infisical_iac(deployed_host.name, "apply", "--yes")
    assert applied.returncode == 0
    assert "Nothing to change." in applied.stdout
    pruned = infisical_iac(deployed_host.name, "workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    assert_converged(deployed_host)
    output = infisical_iac(deployed_host.name, "plan")
    assert (output.returncode, output.stdout) == (0, "Nothing to change.\n")
    assert infisical_iac(deployed_host.name, "drift").returncode == 0
