"""Read the listening sockets of the host."""

from typing import NamedTuple

from tests.host.connection import Host


class Socket(NamedTuple):
    """A listening TCP socket; `owners` names its processes as `ss` prints them."""

    address: str
    port: int
    owners: str

    @property
    def is_loopback(self) -> bool:
        """Return whether only the host itself can reach the socket."""
        return self.address.startswith("127.") or self.address in ("[::1]", "[::ffff:127.0.0.1]")


def listening(host: Host) -> list[Socket]:
    """Return all listening TCP sockets of the host."""
    lines = host.check_output("ss --no-header --listening --tcp --numeric --processes").splitlines()
    found = []
    for line in lines:
        _, _, _, local, _, *owners = line.split()
        address, _, port = local.rpartition(":")
        found.append(Socket(address, int(port), " ".join(owners)))
    return found
