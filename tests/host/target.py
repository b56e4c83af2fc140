"""What is verified: the host of an inventory, its settings and its workspace.

pyinfra's own command line merges inventory and `group_data/`. It turns a whole process over to
gevent, so it does that in one of its own: `python -m tests.host.target <inventory>`.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_iac import settings
from infisical_iac.errors import UserError
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace

ROOT = Path(__file__).resolve().parents[2]


class TargetError(UserError):
    """There is no one host to verify, or it can't be reached."""


@dataclass(frozen=True)
class Target:
    """The host, with the data that pyinfra has for it."""

    name: str
    settings: settings.Settings
    workspace: Workspace
    data: dict[str, Any] = field(repr=False)


def read(inventory: str) -> Target:
    """The target that an inventory file, or a host name such as `@local`, stands for.

    Raises a UserError if there is none, if it names several, or if its data are wrong.
    """
    if "@" not in inventory and not Path(inventory).is_file():
        raise TargetError(f"there is no inventory {inventory}; see those in inventory/")
    command = [sys.executable, "-m", "tests.host.target", str(_absolute(inventory))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TargetError(f"{inventory}: {reason}")
    hosts = json.loads(done.stdout)
    if len(hosts) != 1:
        raise TargetError(f"{inventory} names {len(hosts)} hosts; verify them one at a time")
    [(name, data)] = hosts.items()
    checked = settings.load(data)
    return Target(name, checked, load(ROOT / checked.workspace_file), data)


def _absolute(inventory: str) -> str | Path:
    return inventory if "@" in inventory else Path(inventory).resolve()


def _print_hosts(inventory: str) -> None:
    from pyinfra.api.exceptions import PyinfraError
    from pyinfra.api.state import State
    from pyinfra.context import ctx_state
    from pyinfra_cli.inventory import make_inventory

    with ctx_state.use(State()):
        try:
            hosts = make_inventory(inventory, cwd=str(ROOT))
        except PyinfraError as error:
            sys.exit(str(error))
    print(json.dumps({host.name: host.data.dict() for host in hosts}))


if __name__ == "__main__":
    _print_hosts(sys.argv[1])
