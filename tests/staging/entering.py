"""Run programs in a container without the engine: `docker exec` takes ten times as long."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from tests.staging.shell import docker

# As `docker exec` sets it.
_ENVIRONMENT = (
    "container=docker",
    "HOME=/root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)


class _Process(NamedTuple):
    """A process of this machine; `started` distinguishes it from a later one with the same id."""

    id: int
    started: str


_inits: dict[str, _Process] = {}
_MOST_SECONDS = 600


def run(
    container: str, *command: str, input: str | None, seconds: float = _MOST_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a program as root in a container to its end, and return its output as text.

    Its background processes go on running. Raises subprocess.TimeoutExpired after `seconds`, ten
    minutes unless another time is given.
    """
    # A pipe would stay open until the background processes end.
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        done = subprocess.run(
            [*into(container), *command],
            **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}),
            stdout=output,
            stderr=errors,
            text=True,
            timeout=seconds,
        )
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read(), errors.read())


def into(container: str) -> tuple[str, ...]:
    """Return the prefix of a command line that runs as root in a container.

    It enters the container's namespaces if this machine can; else, and for a container that does
    not run, it is `docker exec`.
    """
    init = _inits.get(container)
    if init is None or _read_start(init.id) != init.started:
        init = _init(container)
    if init is None:
        return ("docker", "exec", "-i", container)
    _inits[container] = init
    return ("nsenter", "--all", "--target", str(init.id), "env", "-i", *_ENVIRONMENT)


def _init(container: str) -> _Process | None:
    if os.geteuid() != 0 or not shutil.which("nsenter"):
        return None
    format = '{"id": {{ .State.Pid }}, "name": {{ json .Config.Hostname }}}'
    found = json.loads(docker("inspect", "--format", format, container, check=False) or "null")
    # An engine in a virtual machine reports process ids of that machine.
    if not found or _hostname(found["id"]) != found["name"]:
        return None
    return _Process(found["id"], _read_start(found["id"]))


def _hostname(process: int) -> str:
    try:
        return Path(f"/proc/{process}/root/etc/hostname").read_text().strip()
    except OSError:
        return ""


def _read_start(process: int) -> str:
    """Return when a process started, in ticks since boot; empty without the process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
