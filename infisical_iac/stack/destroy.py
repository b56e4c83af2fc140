"""Do the work of `destroy` on a host that has Infisical for itself."""

from dataclasses import dataclass

from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class HostRemoval:
    """The stack of the current host.

    Attributes:
        name: what is to be typed; `called` whose name it is.
        kept: what is kept without `--volumes`, as a sentence.
        address: where it is, if that is not its name.
    """

    name: str
    called: str = "the host's"
    kept: str = "Data and keys are kept."
    address: str = ""

    def look(self) -> str:
        """Return what is there, a line each."""
        return run(script("destroy", "look"), doing="see what is there")

    def back_up(self, directory: str) -> str:
        """Put database and keys into a directory. Raises CommandFailed."""
        run(script("destroy", "backup", directory), doing="take a backup first")
        return "the host"

    def take_away(self, *, volumes: bool) -> None:
        """Take the stack away. Raises CommandFailed."""
        run(script("destroy", "everything" if volumes else "stack"), doing="take it away")
