"""Run modules that need pyinfra, each in a process of its own, because gevent patches processes.

Each process is a fork of one that has loaded pyinfra, so that pyinfra is loaded once. As a program,
this module reads a line of JSON for each run from standard input: a module and the arguments of its
`main`. It prints a line of JSON with what `main` returned or raised.
"""

import atexit
import json
import os
import subprocess
import sys
import traceback
from functools import cache
from importlib import import_module
from typing import Any


@cache
def _start_server() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(started.communicate)
    return started


def run(module: str, *arguments: object) -> Any:
    """Call a module's `main` in a fork, and return its result."""
    process = _start_server()
    assert process.stdin
    assert process.stdout
    print(json.dumps([module, *arguments]), file=process.stdin, flush=True)
    output = json.loads(process.stdout.readline())
    assert "raised" not in output, output["raised"]
    return output["returned"]


def _serve() -> None:
    # Imported before the fork: gevent patches these too, and its loop must not be forked.
    from infisical_iac.core import deployment  # noqa: F401

    # isort: split
    from gevent.monkey import get_original  # type: ignore[import-untyped]

    fork, wait = get_original("os", "fork"), get_original("os", "waitpid")
    for line in sys.stdin:
        child = fork()
        if not child:
            _print(_call(*json.loads(line)))
            os._exit(0)
        if wait(child, 0)[1]:
            _print({"raised": "the process was killed"})


def _call(module: str, *arguments: object) -> dict[str, object]:
    try:
        return {"returned": import_module(module).main(*arguments)}
    except BaseException:
        return {"raised": traceback.format_exc()}


def _print(output: dict[str, object]) -> None:
    print(json.dumps(output), flush=True)


if __name__ == "__main__":
    _serve()
