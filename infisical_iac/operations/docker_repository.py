"""Docker's own apt repository, with its signing key pinned."""

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.facts.files import Paths
from infisical_iac.host.machine import MachineState

# Published in Docker's installation manual for Debian and Ubuntu.
FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
_REPOSITORY = "https://download.docker.com/linux"
_KEY = "/etc/apt/keyrings/docker.asc"
_LIST = "/etc/apt/sources.list.d/docker.list"


@telling_operation
def present(machine: MachineState) -> Commands:
    """Trust Docker's key, if its fingerprint is the known one, for Docker's repository."""
    states = host.get_fact(Paths, paths=[_KEY, _LIST])
    if _KEY in states and File(_LIST, f"{_line(machine)}\n").matches(states.get(_LIST)):
        host.noop("Docker's apt repository is there")
        return
    journal.item("+", "Docker's apt repository", _REPOSITORY)
    yield step(_add, machine)


def _add(machine: MachineState) -> None:
    run(
        script("docker-ce", f"{_REPOSITORY}/{machine.os}/gpg", FINGERPRINT, _line(machine)),
        doing='add Docker\'s apt repository (`docker_source = "distro"` does without it)',
    )


def _line(machine: MachineState) -> str:
    source = f"{_REPOSITORY}/{machine.os} {machine.codename} stable"
    return f"deb [arch={machine.architecture} signed-by={_KEY}] {source}"
