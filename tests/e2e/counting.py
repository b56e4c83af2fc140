"""`python -m tests.e2e.counting <file> …`: pyinfra that counts its remote commands.

Into the file goes one line for every command that reaches the connector while pyinfra
executes; uploads count too.
"""

import sys
from pathlib import Path
from typing import Any

from pyinfra.api.state import StateStage
from pyinfra.connectors.ssh import SSHConnector
from pyinfra_cli.cli import cli


def count(log: Path) -> None:
    """Let the SSH connector write each command that it is given into `log`."""
    log.write_text("")

    def counted(name: str) -> None:
        original = getattr(SSHConnector, name)

        def call(self: SSHConnector, *args: Any, **kwargs: Any) -> Any:
            if self.state.current_stage == StateStage.Execute:
                with log.open("a") as file:
                    file.write(f"{name} {str(args[0])[:60]!r}\n")
            return original(self, *args, **kwargs)

        setattr(SSHConnector, name, call)

    for name in ("run_shell_command", "put_file", "get_file"):
        counted(name)


if __name__ == "__main__":
    count(Path(sys.argv.pop(1)))
    cli()
