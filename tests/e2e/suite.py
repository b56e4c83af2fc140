"""Run the host suite on a staging host as a user does."""

import os
import re
import subprocess
import sys

from tests.e2e.inspection import ISOLATION, deployer, place
from tests.e2e.running import REPOSITORY, Done
from tests.staging.host import StagingHost

_LEAST_CHECKS = 60
_KEY = "OBVIOUSLY_FAKE"
# The accepted reasons for a skipped check on a staging host, which is a container with the settings
# of group_data/staging.py. With any other reason, a check that should run proves nothing.
_MAY_BE_SKIPPED = (
    "setting 'auditd' is off",
    "setting 'data_volume' is empty",
    "setting 'fail2ban' is off",
    "setting 'firewall' is o",
    "setting 'swap' is",
    "setting 'monitoring_listen' ",
    "setting 'log_target' is empty",
    "setting 'ingress'), so it stays unchanged",
    "in a Swarm, so it stays unchanged",
    "a single host has no number",
    "an engine before version 23",
    "no access log is written",
    "systemd skips the clock's unit",
    "the first run makes it",
    "there is a maintenance window",
    "this engine has no /etc/",
    "this kernel takes no modules",
    "the file names no such login",
    "this server enforces no privileges, ",
    *{
        "privilege": ("all services are in one project",),
        "viewer": ("all services are in one project", "with isolation = viewer"),
        "projects": ("no service imports another folder inside its project",),
    }[ISOLATION],
)


def host_suite(staging_host: str) -> Done:
    """Run the tests of `tests/host` on a staging host of that name."""
    return subprocess.run(
        f"{sys.executable} -m pytest -q -rs tests/host --inventory inventory/staging.py".split(),
        cwd=REPOSITORY,
        env={**os.environ, "STAGING_HOST": staging_host},
        capture_output=True,
        text=True,
        timeout=300,
    )


def verify(host: StagingHost, *also_skipped: str) -> None:
    """Assert that the whole suite passes on a deployed host, with a secret in each folder.

    Checks may be skipped for the reasons `also_skipped` too.

    Without secrets, an identity that may read too much would go unnoticed.
    """
    with deployer(host) as client:
        folders = [
            place(client, folder, environment)
            for environment in ("development", "staging", "production")
            for folder in ("/backend", "/python-services", "/shared")
        ]
        roots = {(each["projectId"], each["environment"]) for each in folders}
        places = [
            *folders,
            *({"projectId": id, "environment": slug, "secretPath": "/"} for id, slug in roots),
        ]
        for each in places:
            client.post(f"/api/v4/secrets/{_KEY}", json={**each, "secretValue": "fake-value"})
    done = host_suite(host.name)
    with deployer(host) as client:
        for each in places:
            client.delete(f"/api/v4/secrets/{_KEY}", json=each)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= _LEAST_CHECKS
    reasons = (*_MAY_BE_SKIPPED, *also_skipped)
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    unexpected = [line for line in skipped if not any(each in line for each in reasons)]
    assert unexpected == [], unexpected
