"""Test that a PostgreSQL of a cluster releases its lock at once when its disk is full."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.unit.fake_programs import fake_program
from tests.unit.rendered_stack import postgres_script

# Like Patroni, the script releases its lock on SIGTERM once its PostgreSQL has ended.
_PATRONI = """\
postgres 60 &
trap 'wait $!; echo "released after $?" >>"$LOG"; exit 0' TERM
echo started >>"$LOG"
while :; do sleep 0.1; done
"""
_KILLED = 128 + 9


def test_a_postgres_with_a_full_disk_is_killed_and_its_lock_is_released(tmp_path: Path) -> None:
    log, full = tmp_path / "log", tmp_path / "full"
    programs = tmp_path / "programs"
    fake_program(programs, "patroni", _PATRONI)
    fake_program(programs, "df", f"echo Avail; test -e {full} && echo 512 || echo 9000000")
    shutil.copy("/bin/sleep", programs / "postgres")
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(log)}
    # The script signals process 1 and all processes, which must be those of a container.
    container = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with subprocess.Popen([*container, "sh", "-c", postgres_script(tmp_path)], env=env) as running:
        try:
            _wait_for(log, "started\n")
            full.touch()
            _wait_for(log, f"started\nreleased after {_KILLED}\n")
            assert running.wait(timeout=20) == 0
        finally:
            running.kill()


def _wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 20
    while not log.exists() or log.read_text() != text:
        assert time.monotonic() < end, log.read_text() if log.exists() else "nothing was logged"
        time.sleep(0.05)
