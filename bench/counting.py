"""`python -m bench.counting <file> <program> …`: log the SSH requests of a program.

The file gets a line for each command and subsystem that the program requests of the host's SSH
server, in all phases of the run.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import paramiko


def count(log: Path) -> None:
    """Add a line to `log` for every command or subsystem of an SSH channel."""
    log.write_text("")

    def log_calls(name: str) -> None:
        original = getattr(paramiko.Channel, name)

        def call(self: paramiko.Channel, *args: Any, **kwargs: Any) -> Any:
            with log.open("a") as file:
                file.write(f"{name} {args[0][:70]!r}\n")
            return original(self, *args, **kwargs)

        setattr(paramiko.Channel, name, call)

    for name in ("exec_command", "invoke_subsystem"):
        log_calls(name)


if __name__ == "__main__":
    file, program = Path(sys.argv.pop(1)), sys.argv.pop(1)
    (script,) = entry_points(group="console_scripts", name=program)
    main = script.load()
    count(file)
    main()
