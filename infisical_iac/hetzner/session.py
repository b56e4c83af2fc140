"""What the commands for the server share: settings, client, what is there, how to log in."""

from dataclasses import dataclass
from pathlib import Path

from infisical_iac import connection
from infisical_iac.hetzner import api, first_contact, host_key, known_hosts, prices
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.changes import changes
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.first_contact import Login
from infisical_iac.hetzner.have import Have, look
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.wanted import Wanted, read_settings, wanted
from infisical_iac.item import Item

# Upon a server that is through with its first boot and has a host key of its own.
READY = {"infisical-iac-ready": "yes"}
_DATA = Path("group_data")
_ALIVE_SECONDS = 10


@dataclass(frozen=True)
class Session:
    """What is wanted and what is there, at this moment; `key` is the file to log in with."""

    want: Wanted
    have: Have
    prices: Prices
    key: str | None

    def login(self, address: str) -> Login:
        """How to log in at an address."""
        return Login(address, self.want.ssh_port, self.key, known_hosts.FILE)

    def user_data(self, address: str) -> str:
        """What cloud-init is told, with a host key that is known for `address` from then on."""
        key = host_key.made()
        known_hosts.keep(known_hosts.FILE, address, self.want.ssh_port, key.public)
        return host_key.user_data(key, ssh_port=self.want.ssh_port)

    def alive(self) -> bool:
        """Whether the server lets in at this moment, by a new connection."""
        server = self.have.server
        if server is None or not is_ready(server.labels):
            return False
        try:
            with first_contact.connected(self.login(self.have.address), timeout=_ALIVE_SECONDS):
                return True
        except HetznerError:
            return False

    def changes(self, *, timeout: float) -> list[Change]:
        """All that differs; `timeout` bounds the wait for a new server, in seconds."""
        found = list(changes(self.want, self.have, self.prices, self.user_data, self.alive))
        server = self.have.server
        if server is None or not is_ready(server.labels):
            what = "waited for, then known by a host key of its own"
            item = Item("~", f"server {self.want.name}", what)
            found.append(Change(item, lambda: self._make_ready(timeout)))
        return found

    def _make_ready(self, timeout: float) -> None:
        server = self.have.server
        assert server is not None
        first_contact.ready(self.login(self.have.address), timeout=timeout)
        server.update(labels={**(server.labels or {}), **READY})


def is_ready(labels: dict[str, str] | None) -> bool:
    """Whether a server's labels tell that it is through with its first boot."""
    return READY.items() <= (labels or {}).items()


def begun() -> Session:
    """Look at everything. Raises a UserError for wrong settings, or what can't be looked at."""
    settings = read_settings(_DATA)
    given = connection.given(_DATA / "hetzner.py")
    want = wanted(settings, ssh_port=int(given.get("ssh_port") or 22))
    client = api.client()
    have = look(client, want)
    return Session(want, have, prices.read(client), given.get("ssh_key"))


def make(change: Change) -> None:
    """Make a change. Raises HetznerError with what it was about."""
    with told(f"bring about {change.item.what}"):
        change.make()
