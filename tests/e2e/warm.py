"""Run pyinfra and `infisical-iac` from a warm process: imports take more than half of a run.

Modules of this package that patch these programs and then run them are run the same way.

Run by Python, this file is a process that has imported all of the project. It reads one run a line,
as JSON, from its standard input, forks for it, and answers with the run's exit status. The fork
continues as the program does after its imports, and ends as the interpreter would.
"""

import inspect
import json
import os
import pkgutil
import runpy
import select
import subprocess
import sys
import tempfile
from functools import cache, partial
from importlib import import_module, reload
from pathlib import Path
from typing import Any

PROGRAMS = {"pyinfra": "pyinfra_cli.main", "infisical-iac": "infisical_iac.cli.main"}
_REPOSITORY = Path(__file__).resolve().parents[2]
_STREAMS = ("stdin", "stdout", "stderr")


def run(
    program: str, *arguments: str, environment: dict[str, str], input: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run one of PROGRAMS, or a module, in the repository's root; return its status and output.

    Raises subprocess.TimeoutExpired when that takes more than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = {name: Path(directory, name) for name in _STREAMS}
        for name, file in files.items():
            file.write_text(input if name == "stdin" else "")
        asked = {
            "program": program,
            "arguments": arguments,
            "environment": environment,
            "streams": {name: str(file) for name, file in files.items()},
        }
        status = _answer(json.dumps(asked), timeout)
        printed = (files[name].read_text() for name in _STREAMS[1:])
        return subprocess.CompletedProcess([program, *arguments], status, *printed)


def _answer(line: str, timeout: float) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{line}\n".encode())
    if not select.select([server.stdout], [], [], timeout)[0]:
        os.killpg(server.pid, 9)
        _server.cache_clear()
        raise subprocess.TimeoutExpired(line, timeout)
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[bytes]:
    """Return the process that forks; it ends at the end of its input, so with its parent."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def _import_all() -> None:
    # As in the programs themselves, this import comes first, because it patches for gevent.
    import_module("pyinfra_cli.main")
    package = import_module("infisical_iac")
    for module in pkgutil.walk_packages(package.__path__, "infisical_iac."):
        import_module(module.name)
    # pyinfra uses only files and numbers of lines, but `inspect` reads the lines too. That takes
    # longer the more modules there are: a third of a run with all of these.
    for name in ("stack", "getframeinfo"):
        without_lines = partial(getattr(inspect, name), context=0)
        setattr(import_module("pyinfra.api.util"), name, without_lines)


def _fork() -> dict[str, Any]:
    """Fork for each run, and answer with its status; return the request in the fork."""
    from gevent.monkey import get_original  # type: ignore[import-untyped]

    # gevent's functions would start an event loop here, which no fork can share.
    fork, wait = get_original("os", "fork"), get_original("os", "waitpid")
    for line in sys.stdin:
        child = fork()
        if not child:
            asked: dict[str, Any] = json.loads(line)
            return asked
        status = os.waitstatus_to_exitcode(wait(child, 0)[1])
        os.write(1, f"{status}\n".encode())
    sys.exit()


def _become(asked: dict[str, Any]) -> None:
    """Give this process the streams, environment and arguments of the run."""
    for number, name in enumerate(_STREAMS):
        file = os.open(asked["streams"][name], os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
        setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    # Only this module has state of a run when it is imported: the run's id in the audit log.
    reload(import_module("infisical_iac.core.audit"))
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [asked["program"], *asked["arguments"]]


def _run(program: str) -> None:
    if program in PROGRAMS:
        sys.exit(import_module(PROGRAMS[program]).main())
    sys.path.insert(0, str(_REPOSITORY))
    runpy.run_module(program, run_name="__main__")


if __name__ == "__main__":
    _import_all()
    _become(_fork())
    _run(sys.argv[0])
