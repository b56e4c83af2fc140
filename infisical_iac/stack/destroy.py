"""Do the work of `destroy` on a host that has Infisical for itself."""

from dataclasses import dataclass
from typing import Self

from pyinfra.api.host import Host

from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class HostRemoval:
    """Take Infisical away from a host that has it for itself, which is the current one.

    Attributes:
        name: what is to be typed; `called` whose name it is.
        kept: what is kept without `--volumes`, as a sentence.
        address: where it is, if that is not its name.
    """

    name: str
    called: str = "the host's"
    kept: str = "Data and keys are kept."
    address: str = ""

    @classmethod
    def of(cls, host: Host, inventory: str) -> Self:
        """Return what takes it away from the host that a command works on, of an inventory."""
        address = str(host.data.get("ssh_hostname") or "")
        return cls(host.name, address="" if address == host.name else address)

    def look(self) -> str:
        """Return what is there, a line each."""
        return run(script("destroy", "look"), doing="see what is there")

    def back_up(self, directory: str) -> str:
        """Put database and keys into a directory, and return where that is. Raises a UserError."""
        run(script("destroy", "backup", directory), doing="take a backup first")
        return "the host"

    def take_away(self, *, volumes: bool) -> None:
        """Take the stack away. Raises CommandFailed."""
        run(script("destroy", "everything" if volumes else "stack"), doing="take it away")
