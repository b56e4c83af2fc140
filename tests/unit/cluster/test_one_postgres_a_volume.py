"""Test that a cluster's PostgreSQL never starts next to another one with the same data."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.unit.fake_programs import fake_program
from tests.unit.rendered_stack import postgres_script


def _start(directory: Path) -> str:
    """Return the start command of the first data node's container, for a local directory."""
    # In its container, the background loop kills only processes of the container, and ends with it.
    # Here, it would kill processes of this machine.
    without_loop = re.sub(r"(?ms)^while sleep.*?^done &\n", "", postgres_script(directory))
    assert "kill -" not in without_loop
    return without_loop


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_second_postgres_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    fake_program(tmp_path, "patroni", f"echo started >>{tmp_path}/log\nexec sleep 60")
    log = tmp_path / "log"
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    first = subprocess.Popen(["sh", "-c", _start(tmp_path)], env=env)
    _wait_until(log.exists)
    second = subprocess.Popen(["sh", "-c", _start(tmp_path)], env=env)
    try:
        time.sleep(0.5)
        assert log.read_text() == "started\n"
        first.kill()
        _wait_until(lambda: log.read_text() == "started\n" * 2)
    finally:
        for each in (first, second):
            each.kill()
            each.wait()
