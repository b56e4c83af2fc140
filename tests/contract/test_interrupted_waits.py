"""Test that Ctrl-C on a terminal interrupts each kind of wait of a connected command."""

import sys

import pytest

from tests.on_terminal import run_on_terminal

_CONNECTED = """
import sys
from infisical_iac.core.inventory import connect
import click, gevent
from infisical_iac.cli.output import confirm
from infisical_iac.core.connection import on_each

try:
    with connect("@local") as host:
        # The event loop runs during all waits except the question: it prints that a wait began.
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
        # A command that misses the Ctrl-C, as one does that has only just been started.
        "on_each([host, host], lambda each: each.run_shell_command('trap \\'\\' INT; sleep 300'))",
        "gevent.sleep(300)",
    ],
)
def test_ctrl_c_interrupts_each_kind_of_wait(waiting: str) -> None:
    command = (sys.executable, "-c", _CONNECTED.format(waiting=waiting))
    with run_on_terminal(command) as program:
        program.read_until("waiting", "[y/N]")
        program.press("\x03")
        program.read_until("interrupted", "Traceback")
        assert program.wait() == 1
    assert "Traceback" not in program.shown
