"""Observe the others who use the host's Docker.

`--other-containers` prints it as JSON, for a test of a server that leaves no agent there.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infisical_iac.agent.runner import Runner, observation

_CONFIG = "/etc/docker/daemon.json"
_ROOT = "/var/lib/docker"
_CONTAINER = '{"name":{{json .Names}},"project":{{json (.Label "com.docker.compose.project")}}}'
_OURS = re.compile("infisical[-_]")
# The end of the name of a Swarm's task: <service>.<number>.<id>.
_TASK = re.compile(r"\.[0-9a-z]*\.[0-9a-z]*$")
# Restart policies with which an engine starts a container: always, on-failure, unless-stopped.
_STARTS = ("a", "o", "u")


@dataclass(frozen=True)
class OtherContainers:
    """The others who use the host's Docker.

    Attributes:
        names: the names of the running containers of others, or of their services.
        in_swarm: whether the engine is in a Swarm.
        is_own: whether this project has configured the engine; `names` is empty then.
    """

    names: tuple[str, ...] = ()
    in_swarm: bool = False
    is_own: bool = False

    @property
    def is_shared(self) -> bool:
        """Return whether a host is shared with others, before Infisical is deployed to it."""
        return not self.is_own and (bool(self.names) or self.in_swarm)


def main(arguments: Sequence[str]) -> int:
    """Print the others as one line of JSON; return 0."""
    del arguments
    json.dump(asdict(other_containers(Runner())), sys.stdout)
    print()
    return 0


@observation
def other_containers(runner: Runner) -> OtherContainers:
    """Return the others; none on a host without Docker."""
    config = _read(runner.path(_CONFIG))
    place = config.get("data-root")
    root = runner.path(place if isinstance(place, str) and place else _ROOT)
    in_swarm = (root / "swarm/docker-state.json").exists()
    # No other program writes both of these.
    if config.get("no-new-privileges") is True and config.get("userland-proxy") is False:
        return OtherContainers((), in_swarm, is_own=True)
    listed = runner.run(["docker", "ps", "--format", _CONTAINER])
    found = _running(listed.lines) if listed.status == 0 else _startable(root)
    names = {_TASK.sub("", name) for name in found if not _OURS.match(name)}
    return OtherContainers(tuple(sorted(names)), in_swarm)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _running(lines: Sequence[str]) -> Iterator[str]:
    for found in map(json.loads, lines):
        if not found["project"].startswith("infisical"):
            yield found["name"]


def _startable(root: Path) -> Iterator[str]:
    """Yield the containers that a stopped engine starts later, because of their restart policy."""
    for file in root.glob("containers/*/hostconfig.json"):
        policy = _read(file).get("RestartPolicy") or {}
        name = _read(file.with_name("config.v2.json")).get("Name")
        if str(policy.get("Name", "")).startswith(_STARTS) and name:
            yield str(name).removeprefix("/")
