"""Test that Ctrl-C on a terminal interrupts whatever a command waits for while it is connected."""

import fcntl
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[3]
_SECONDS = 60
_CONNECTED = """
import sys
from infisical_iac.core.inventory import connect
import click, gevent
from infisical_iac.cli.output import confirm
from infisical_iac.core.connection import on_each

try:
    with connect("@local") as host:
        # The event loop, which runs during all waits but the question, says that one has begun.
        gevent.spawn_later(0.1, print, "waiting", flush=True)
        {waiting}
except (KeyboardInterrupt, click.Abort):
    sys.exit("interrupted")
"""


@pytest.mark.parametrize(
    "waiting",
    [
        "confirm('Make these changes?', yes=False)",
        "on_each([host, host], lambda each: each.run_shell_command('sleep 300'))",
        "gevent.joinall([gevent.spawn(sum, iter(lambda: gevent.sleep(0) or 1, 0))])",
    ],
)
def test_ctrl_c_interrupts_each_kind_of_wait(waiting: str) -> None:
    terminal, inside = os.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", _CONNECTED.format(waiting=waiting)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        cwd=_PROJECT,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(inside)
    shown = b""
    try:
        while b"waiting" not in shown and b"[y/N]" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        ended = running.wait(_SECONDS)
        while b"interrupted" not in shown and b"Traceback" not in shown:
            shown += os.read(terminal, 4096)
    finally:
        running.kill()
        os.close(terminal)
    assert ended == 1
    assert b"interrupted" in shown
    assert b"Traceback" not in shown
