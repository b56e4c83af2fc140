"""Remove Infisical from a single host, for `destroy`."""

from dataclasses import dataclass
from typing import Self

from pyinfra.api.host import Host

from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class HostRemoval:
    """The removal of Infisical from the current host, a single one.

    Attributes:
        name: the name that the user has to type.
        called: the owner of that name, such as `the host's`.
        kept: a sentence on what is kept without `--volumes`.
        address: the host's address, if it differs from the name.
    """

    name: str
    called: str = "the host's"
    kept: str = "Data and keys are kept."
    address: str = ""

    @classmethod
    def of(cls, host: Host, inventory: str) -> Self:
        """Return the removal from the `host` of an inventory."""
        address = str(host.data.get("ssh_hostname") or "")
        return cls(host.name, address="" if address == host.name else address)

    def list_deployed(self) -> str:
        """Return what is deployed, one line each."""
        return run(script("destroy", "inspect"), doing="list what is deployed")

    def back_up(self, directory: str) -> str:
        """Back up database and keys, and return where the backup is. Raises a UserError."""
        run(script("destroy", "backup", directory), doing="take a backup first")
        return "the host"

    def remove(self, *, volumes: bool) -> None:
        """Remove the stack. Raises CommandFailed."""
        run(script("destroy", "everything" if volumes else "stack"), doing="remove Infisical")
