"""Time the deploy to a bare host against a plain shell script."""

import tempfile
from pathlib import Path

from bench.converged_run import PYINFRA, commands
from bench.measuring import HOST, REPOSITORY, Timings, say, seconds
from tests.staging import stack
from tests.staging.host import StagingHost

SCRIPT = "bench/shell/fresh.sh"


def on_fresh_hosts(rounds: int) -> Timings:
    """Time deploy and script in at least two rounds, each on a fresh host.

    The last host, made by the deploy, is left running.
    """
    timings: Timings = {PYINFRA: [], SCRIPT: []}
    with tempfile.TemporaryDirectory() as directory:
        compose = Path(directory) / "compose.yaml"
        for number in range(rounds):
            say(f"Fresh hosts, round {number + 1} of {rounds}")
            # The first deploy writes the Compose file that the script takes; the last one makes
            # the host on which the converged run is measured.
            if number == 0:
                timings[PYINFRA].append(deploy_fresh())
                compose.write_text(StagingHost(HOST).run("cat /etc/infisical/compose.yaml").stdout)
            timings[SCRIPT].append(_time_script(compose))
            if number > 0:
                timings[PYINFRA].append(deploy_fresh())
    return timings


def deploy_fresh() -> float:
    """Deploy to a new host; return how long that took."""
    _fresh()
    return seconds(commands()[PYINFRA])


def _time_script(compose: Path) -> float:
    host = _fresh()
    config = host.directory / "ssh_config"
    return seconds((REPOSITORY / SCRIPT, config, host.name, stack.ARCHIVE, compose))


def _fresh() -> StagingHost:
    host = StagingHost(HOST)
    host.down()
    host.up()
    return host
