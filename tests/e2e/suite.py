"""The host suite, run on a staging host as its user would."""

import os
import re
import subprocess
import sys

from tests.e2e.looking import deployer
from tests.e2e.running import REPOSITORY, Done
from tests.staging.host import StagingHost

_LEAST_CHECKS = 60
_KEY = "OBVIOUSLY_FAKE"


def host_suite(staging_host: str) -> Done:
    """Run the tests of `tests/host` on a staging host of that name."""
    return subprocess.run(
        f"{sys.executable} -m pytest -q tests/host --inventory inventory/staging.py".split(),
        cwd=REPOSITORY,
        env={**os.environ, "STAGING_HOST": staging_host},
        capture_output=True,
        text=True,
        timeout=300,
    )


def verify(host: StagingHost) -> None:
    """See that the whole suite passes on a deployed host, with a secret in each folder.

    Without secrets, whoever reads too much would see as little as whoever may not.
    """
    with deployer(host) as client:
        project = client.get("/api/v1/projects/slug/chainalign")["id"]
        places = [
            {"projectId": project, "environment": environment, "secretPath": folder}
            for environment in ("development", "staging", "production")
            for folder in ("/", "/backend", "/python-services", "/shared")
        ]
        for place in places:
            client.post(f"/api/v4/secrets/{_KEY}", json={**place, "secretValue": "fake-value"})
    done = host_suite(host.name)
    with deployer(host) as client:
        for place in places:
            client.delete(f"/api/v4/secrets/{_KEY}", json=place)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= _LEAST_CHECKS
    assert "skipped" not in done.stdout
