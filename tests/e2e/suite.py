"""The host suite, run on a staging host as its user would."""

import os
import subprocess
import sys

from tests.e2e.running import REPOSITORY, Done


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
