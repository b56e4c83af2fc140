"""Probe a staging host's ports from another network."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.staging.host import StagingHost
from tests.staging.shell import docker

# Addresses reserved for documentation.
HOST4, HOST6 = "192.0.2.1", "2001:db8:9::1"
_OUTSIDE4, _OUTSIDE6 = "192.0.2.2", "2001:db8:9::2"


@contextmanager
def add_namespace(host: StagingHost) -> Iterator[str]:
    """Make a network namespace that is connected to the host, and return its name."""
    name = f"peer{os.getpid()}"
    pid = docker("inspect", "--format", "{{.State.Pid}}", host.container)
    _run("ip", "netns", "add", name)
    try:
        _run(*f"ip link add eth0 netns {name} type veth peer name outside netns {pid}".split())
        host.run(
            "sysctl -qw net.ipv6.conf.outside.disable_ipv6=0; ip link set outside up; "
            f"ip address add {HOST4}/24 dev outside; ip address add {HOST6}/64 dev outside nodad"
        )
        for command in (
            "link set eth0 up",
            f"address add {_OUTSIDE4}/24 dev eth0",
            f"address add {_OUTSIDE6}/64 dev eth0 nodad",
        ):
            _run("ip", "-n", name, *command.split())
        yield name
    finally:
        _run("ip", "netns", "delete", name)


def answering(host: StagingHost, ports: Sequence[int]) -> set[str]:
    """Return the host's `address:port` that answer from outside, for both IP versions."""
    asked = [f"{address}:{port}" for address in (HOST4, HOST6) for port in ports]
    probe = (sys.executable, "-m", "tests.network.probe", "reach", f"{_OUTSIDE4},{_OUTSIDE6}")
    with add_namespace(host) as name:
        return set(_run("ip", "netns", "exec", name, *probe, *asked).split())


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
