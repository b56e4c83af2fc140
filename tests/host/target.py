"""Return the hosts of an inventory, with their settings and project file.

pyinfra's own command line merges inventory and `group_data/`. It patches the process with gevent,
so this module runs in a process of its own: `python -m tests.host.target <inventory>`.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_iac.core import bundle, settings
from infisical_iac.core.errors import UserError
from infisical_iac.core.own_repository import require_inventory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace

_SECONDS = 10


class TargetError(UserError):
    """The inventory has neither one host nor one cluster, or its hosts can't be reached."""


@dataclass(frozen=True)
class Target:
    """A host, with the data that pyinfra has for it."""

    name: str
    settings: settings.Settings
    workspace: Workspace
    data: dict[str, Any] = field(repr=False)

    @property
    def is_in_cluster(self) -> bool:
        """Return whether the host is a node of a cluster."""
        return self.settings.cluster.topology == "swarm"

    @property
    def answers(self) -> bool:
        """Return whether an SSH server answers; always true for the machine of the tests."""
        if "ssh_hostname" not in self.data:
            return True
        address = (self.data["ssh_hostname"], self.data.get("ssh_port", 22))
        try:
            with socket.create_connection(address, timeout=_SECONDS) as connection:
                connection.settimeout(_SECONDS)
                return connection.recv(3) == b"SSH"
        except OSError:
            return False


def read(inventory: str) -> list[Target]:
    """Return the targets of an inventory file, or of a host name such as `@local`.

    There are several only for a cluster. Raises a UserError if there is no target, if several hosts
    are not one cluster, or if their data are wrong.
    """
    require_inventory(inventory)
    # These checks come first: the working directory may have a package `tests` of its own.
    path = os.pathsep.join(filter(None, (str(bundle.ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "tests.host.target", inventory]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TargetError(f"{inventory}: {reason}")
    hosts = json.loads(done.stdout)
    found = [_target(name, data) for name, data in hosts.items()]
    if len(found) != 1 and not (found and all(each.is_in_cluster for each in found)):
        raise TargetError(f"{inventory} names {len(hosts)} hosts; verify them one at a time")
    return found


def _target(name: str, data: dict[str, Any]) -> Target:
    checked = settings.load(data)
    return Target(name, checked, load(Path(checked.workspace.workspace_file)), data)


def _print_hosts(inventory: str) -> None:
    from pyinfra.api.exceptions import PyinfraError
    from pyinfra.api.state import State
    from pyinfra.context import ctx_state
    from pyinfra_cli.inventory import make_inventory

    with ctx_state.use(State()):
        try:
            hosts = make_inventory(inventory, cwd=str(Path.cwd()))
        except PyinfraError as error:
            sys.exit(str(error))
    print(json.dumps({host.name: host.data.dict() for host in hosts}))


if __name__ == "__main__":
    _print_hosts(sys.argv[1])
