"""Ports for the servers that tests start on this machine."""

import os
import random
import re
import socket
from functools import cache

# The range is below the ports that the kernel gives to connections, because a connection might take
# a free port before its server does. Each worker of pytest has its own thousand ports.
_FIRST, _EACH, _WORKERS = 20_000, 1_000, 11


def free_port() -> int:
    """Return a port that nobody listens on; each is returned once by a process."""
    while True:
        port = _ports().pop()
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port


@cache
def _ports() -> list[int]:
    """Return the ports that are left to this process, in random order."""
    worker = re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", ""))
    place = int(worker[1]) % _WORKERS + 1 if worker else 0
    first = _FIRST + place * _EACH
    return random.sample(range(first, first + _EACH), _EACH)
