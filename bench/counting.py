"""`python -m bench.counting <file> <program> …`: a program of ours that counts its commands.

Into the file goes the number of commands and subsystems that were asked of the host's SSH
server, in whatever phase of the run and by whatever part of it.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import paramiko


def count(log: Path) -> None:
    """Let every SSH channel that is given a command add a mark to `log`."""
    log.write_text("")

    def counted(name: str) -> None:
        original = getattr(paramiko.Channel, name)

        def call(self: paramiko.Channel, *args: Any, **kwargs: Any) -> Any:
            with log.open("a") as file:
                file.write(f"{name} {args[0][:70]!r}\n")
            return original(self, *args, **kwargs)

        setattr(paramiko.Channel, name, call)

    for name in ("exec_command", "invoke_subsystem"):
        counted(name)


if __name__ == "__main__":
    file, wanted = Path(sys.argv.pop(1)), sys.argv.pop(1)
    (script,) = entry_points(group="console_scripts", name=wanted)
    main = script.load()
    count(file)
    main()
