"""Test that groups of commands are complete, and are printed without loading the commands."""

import re
import subprocess
import sys

import click
import pytest

from infisical_iac.cli.audit import audit
from infisical_iac.cli.backup import backup
from infisical_iac.cli.keys import keys
from infisical_iac.cli.main import main, server
from infisical_iac.cli.migrate import migrate

_LOADED = """
import sys
from infisical_iac.cli.main import main
main(["--help"], standalone_mode=False)
print([name for name in ("httpx", "pydantic", "pyinfra", "rich", "jinja2") if name in sys.modules])
"""


# Importing these groups must not start gevent in the process.
@pytest.mark.parametrize("group", [audit, backup, keys, main, migrate, server])
def test_every_command_of_a_list_exists(group: click.Group) -> None:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert isinstance(command, click.Command)
        assert command.name == name
        assert command.help


def test_the_list_of_commands_loads_no_command() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  scale-in " in done.stdout
    headings = re.findall(r"^(\w[\w ]*):$", done.stdout, re.MULTILINE)
    assert headings == ["Options", "First steps", "Every day", "Recovery", "Server", "Cluster"]
    assert done.stdout.splitlines()[-1] == "[]"
