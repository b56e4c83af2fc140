"""Test Ctrl-C in any step: the lock is released, it is logged, and the next apply completes."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drift import (
    BOOTSTRAP,
    CONFIGURE,
    CREDENTIALS,
    ENGINE,
    ENGINE_CONFIGURATION,
    ENGINE_PACKAGES,
    KERNEL,
    KEYS,
    PACKAGES,
    STACK,
    UNITS,
    WORKSPACE,
)
from tests.e2e.inspection import reset_stack
from tests.e2e.running import REPOSITORY, command_environment, infisical_iac
from tests.e2e.test_dying import assert_nothing_exists_twice
from tests.on_terminal import run_on_terminal
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

# In the order of the run, so that no run finds its step done already.
_STEPS = (
    PACKAGES,
    CONFIGURE,
    KERNEL,
    UNITS,
    ENGINE_CONFIGURATION,
    ENGINE_PACKAGES,
    ENGINE,
    KEYS,
    STACK,
    BOOTSTRAP,
    WORKSPACE,
    CREDENTIALS,
)


def _undo_every_step(host: StagingHost) -> None:
    reset_stack(host)
    host.run(
        "rm /etc/apt/apt.conf.d/52infisical-iac && "
        "sysctl -qw net.ipv4.conf.all.log_martians=0 && "
        "systemctl stop unattended-upgrades && "
        "systemctl disable --now docker.socket docker.service && "
        "echo '{}' > /etc/docker/daemon.json && apt-get -qq purge --yes curl docker-compose"
    )


def test_an_apply_interrupted_in_each_step_is_completed_by_the_next(
    deployed_host: StagingHost,
) -> None:
    _undo_every_step(deployed_host)
    for step in _STEPS:
        program = (sys.executable, "-m", "tests.e2e.interrupting", step)
        stopped = infisical_iac(deployed_host.name, "apply", "--yes", program=program)
        assert stopped.returncode == 1, step + stopped.stderr
        assert f"interrupted in '{step}'; run again" in stopped.stderr.splitlines()[-1]
        assert "Traceback" not in stopped.stderr
        deployed_host.run("flock --wait 5 /run/infisical-iac.lock true")
    done = infisical_iac(deployed_host.name, "apply", "--yes")
    assert done.returncode == 0, done.stderr
    assert_converged(deployed_host)
    log = json.loads(infisical_iac(deployed_host.name, "audit", "--json").stdout)
    assert [each["reason"] for each in log[-len(_STEPS) - 1 : -1]] == [
        f"interrupted in '{step}'" for step in _STEPS
    ]
    assert log[-1]["outcome"] == "done"
    assert_nothing_exists_twice(deployed_host)


def test_ctrl_c_on_a_terminal_ends_a_long_step_at_once(deployed_host: StagingHost) -> None:
    reset_stack(deployed_host)
    command = (str(Path(sys.executable).with_name("infisical-iac")), "apply", "--yes")
    width = {"TERM": "xterm", "COLUMNS": "200"}
    environment = {**command_environment(deployed_host.name), **width}
    with run_on_terminal(command, directory=REPOSITORY, environment=environment) as program:
        program.read_until(f"{STACK} …")
        time.sleep(1)
        program.press("\x03")
        program.read_until("run again to complete it")
        assert program.finish() == 1
    shown = " ".join(program.shown.split())
    assert f"interrupted in '{STACK}'" in shown
    assert "Traceback" not in shown, program.shown
    done = infisical_iac(deployed_host.name, "apply", "--yes")
    assert done.returncode == 0, done.stderr
    assert_converged(deployed_host)
