"""Test that the short form of the benchmark measures a converged host."""

import os
import subprocess
import sys

import pytest

from tests.e2e.running import REPOSITORY
from tests.staging.host import StagingHost

# The playbook alone takes 20 seconds a run, and Ansible is installed first.
pytestmark = pytest.mark.long

_MOST_SECONDS = 1200


def test_neither_playbook_nor_deploy_changes_a_converged_host(deployed_host: StagingHost) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--short", "--host", deployed_host.name],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if "INFISICAL" not in name},
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    # Four commands of ours and Ansible's are timed, and the remote commands of two are counted.
    assert len(rows) == 7, done.stdout
