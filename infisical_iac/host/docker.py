"""Install Docker and Compose, and configure the engine before its first start."""

import json
from collections.abc import Mapping

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.core import apt, files, units
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.files import File, Paths, PathState
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.host import foreign_engine
from infisical_iac.host.foreign_engine import not_ours
from infisical_iac.host.machine import DAEMON_FILE as CONFIG
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known

# Published in Docker's installation manual for Debian and Ubuntu.
FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
_REPOSITORY = "https://download.docker.com/linux"
_KEY = "/etc/apt/keyrings/docker.asc"
_LIST = "/etc/apt/sources.list.d/docker.list"


@planned_operation
def present(machine: MachineState) -> Commands:
    """Add Docker's repository, after comparing the fingerprint of its key with the known one."""
    there = host.get_fact(Paths, paths=[_KEY, _LIST])
    yield from decide(machine, there)


def decide(machine: MachineState, there: Mapping[str, PathState]) -> Commands:
    """Decide whether to add Docker's repository, by the actual state `there` of its files."""
    if _KEY in there and File(_LIST, f"{_line(machine)}\n").matches(there.get(_LIST)):
        yield UpToDate("Docker's apt repository is there")
        return
    yield Change("+", "Docker's apt repository", _REPOSITORY)
    yield step(_add, machine)


def _add(machine: MachineState) -> None:
    run(
        script("docker-ce", f"{_REPOSITORY}/{machine.os}/gpg", FINGERPRINT, _line(machine)),
        doing='add Docker\'s apt repository (`docker_source = "distro"` does without it)',
    )


def _line(machine: MachineState) -> str:
    source = f"{_REPOSITORY}/{machine.os} {machine.codename} stable"
    return f"deb [arch={machine.architecture} signed-by={_KEY}] {source}"


# The configuration of our engine. What can be set for a container is set there.
DAEMON = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "5"},
    "userland-proxy": False,
    "no-new-privileges": True,
    "default-ulimits": {"core": {"Name": "core", "Hard": 0, "Soft": 0}},
}


def daemon(*, in_swarm: bool = False) -> str:
    """Return the text of daemon.json, without `live-restore` on a cluster: Swarm refuses it."""
    return json.dumps({**DAEMON, "live-restore": False} if in_swarm else DAEMON, indent=2) + "\n"


def packages(machine: MachineState, source: str) -> list[str]:
    """Return the names of the engine's and Compose's packages on `machine`, from `source`."""
    if source == "docker-ce":
        return ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
    assert machine.system
    return [*machine.system.docker]


@deploy("Docker")
def docker(known: Known) -> None:
    """Install and configure the engine, unless somebody else manages it."""
    if why := not_ours(known.settings, known.machine):
        foreign_engine.left(why=why, name="Leave the engine as it is")
        return
    source, timeout = known.settings.host.docker_source, known.settings.host.apt_timeout
    config = files.File(CONFIG, daemon(in_swarm=known.site.in_swarm))
    reloads = known.site.reload_engine(config, files.File(CONFIG, daemon()))
    if not reloads:
        files.contents(files=[config], name="Configure the Docker engine")
    if source == "docker-ce":
        apt.packages(names=["gnupg"], name="Install GnuPG for the key's check", timeout=timeout)
        present(machine=known.machine, name="Add Docker's own apt repository")
    names = packages(known.machine, source)
    apt.packages(names=names, name="Install Docker", timeout=timeout)
    known.site.rejoin_engine()
    units.running(
        units=["docker.service"],
        config={} if reloads else {"docker.service": [CONFIG]},
        packages={"docker.service": names[:1]},
        act=known.site.engine_act,
        name="Keep Docker running",
    )
