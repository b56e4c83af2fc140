"""Keep a host from changing a cluster that another host has led since.

A host that was down does not know of a later leader. The managers of the swarm do: the leader
labels its node with the serial of its leadership before it rolls services out.
"""

import time
from typing import Any

from infisical_iac.agent.membership import inspect_nodes
from infisical_iac.agent.runner import Failure, Runner
from infisical_iac.agent.shared_state import ROOT

NO_MAJORITY = Failure(
    "command",
    "the Swarm has no majority",
    "start Docker on most of its managers (`systemctl start docker`)",
)
_LABEL = "infisical.led"
# After a boot, the swarm is unlocked and its managers find each other.
_MAJORITY_SECONDS = 300


def _read_serial(runner: Runner) -> int:
    """Return the serial under which this host leads; 0 if another one does."""
    text = (runner.text(f"{ROOT}/led") or "").strip()
    return int(text) if text.isdecimal() else 0


def claim(runner: Runner) -> None:
    """Tell the managers that this host leads. Raises RuntimeError with a Failure."""
    serial = _read_serial(runner)
    id = runner.run(["docker", "info", "--format", "{{.Swarm.NodeID}}"]).text.strip()
    own = next((each for each in inspect_nodes(runner) if each.get("ID") == id), None)
    if serial and own and _label(own) != serial:
        label = f"{_LABEL}={serial}"
        runner.must_run(["docker", "node", "update", "--label-add", label, own["ID"]])


def refuse_former(runner: Runner) -> None:
    """Raise RuntimeError with a Failure if another host has led since this one did.

    It waits a while for a majority of the managers.
    """
    end = time.monotonic() + _MAJORITY_SECONDS
    while not (nodes := inspect_nodes(runner)):
        if time.monotonic() >= end:
            raise RuntimeError(NO_MAJORITY)
        time.sleep(1)
    serial = _read_serial(runner)
    if not serial or any(_label(each) > serial for each in nodes):
        raise RuntimeError(
            Failure(
                "refused.former_leader",
                "another host has led the cluster since",
                "`infisical-iac apply` discards this change",
            )
        )


def _label(node: dict[str, Any]) -> int:
    text = ((node.get("Spec") or {}).get("Labels") or {}).get(_LABEL, "")
    return int(text) if text.isdecimal() else 0
