"""What the commands for the server share: settings, client, what is there, how to log in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infisical_iac import production
from infisical_iac.hetzner import api, host_key, known_hosts, prices
from infisical_iac.hetzner import remote as first_contact
from infisical_iac.hetzner.adoption import Adoptable, look_for_adoptable
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.changes import changes
from infisical_iac.hetzner.desired import Wanted, read_settings
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.fleet import Fleet, fleet
from infisical_iac.hetzner.ownership import ADOPT, SELECTOR
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.remote import Login
from infisical_iac.hetzner.resource import Common, Have, look, look_at_common, members
from infisical_iac.item import Item

# Upon a server that is through with its first boot and has a host key of its own.
READY = {"infisical-iac-ready": "yes"}
# Upon a server of a cluster that is on its way out: nothing of it is needed any more.
LEAVING = {"infisical-iac-leaving": "yes"}
_DATA = Path("group_data")
_ALIVE_SECONDS = 10


@dataclass(frozen=True)
class Session:
    """What is wanted and what is there of one server; `key` is the file to log in with."""

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

    @property
    def is_leaving(self) -> bool:
        """Whether another server is about to take its place in a cluster."""
        server = self.have.server
        return server is not None and LEAVING.items() <= (server.labels or {}).items()

    def getting_ready(self, *, timeout: float) -> Iterator[Change]:
        """The wait for a server that is not through with its first boot, in seconds at most."""
        server = self.have.server
        if server is None or not is_ready(server.labels):
            what = "waited for, then known by a host key of its own"
            item = Item("~", f"server {self.want.name}", what)
            yield Change(item, lambda: self._make_ready(timeout))

    def _make_ready(self, timeout: float) -> None:
        server = self.have.server
        assert server is not None
        first_contact.ready(self.login(self.have.address), timeout=timeout)
        server.update(labels={**(server.labels or {}), **READY})


@dataclass(frozen=True)
class Everything:
    """All servers at this moment, with what they share.

    Attributes:
        nodes: a session for each server that is wanted, in their order.
        surplus: for each that is there beside them, of the same deployment.
        adoptable: what carries the label of the version before alone.
    """

    want: Fleet
    common: Common
    nodes: tuple[Session, ...]
    surplus: tuple[Session, ...]
    adoptable: tuple[Adoptable, ...]

    @property
    def only(self) -> Session:
        """The server on its own, or the first of a cluster."""
        return self.nodes[0]

    @property
    def prices(self) -> Prices:
        """What things cost."""
        return self.only.prices

    def changes(self, *, timeout: float) -> list[Change]:
        """All that differs; `timeout` bounds the wait for each new server, in seconds.

        Raises HetznerError for what can't be made so, and while a node's replacement is under way.
        """
        if leaving := [each.want.name for each in self.nodes if each.is_leaving]:
            raise HetznerError(
                f"a replacement of {leaving[0]} has not ended: `infisical-iac server replace "
                f"{leaving[0]}` ends it"
            )
        by_name = {each.want.name: each for each in self.nodes}
        made = changes(
            self.want,
            self.common,
            {name: each.have for name, each in by_name.items()},
            self.prices,
            self.only.user_data,
            lambda name: by_name[name].alive(),
        )
        waits = (change for each in self.nodes for change in each.getting_ready(timeout=timeout))
        return [*made, *waits]


def is_ready(labels: dict[str, str] | None) -> bool:
    """Whether a server's labels tell that it is through with its first boot."""
    return READY.items() <= (labels or {}).items()


def begun(*, reads: bool = False, adopts: bool = False) -> Everything:
    """Look at everything. Raises a UserError for wrong settings, or what can't be looked at.

    Args:
        reads: whether nothing is going to be changed: what nobody has adopted is no error then.
        adopts: whether that is what is going to be changed.
    """
    settings = read_settings(_DATA)
    given = production.given(_DATA / "hetzner.py")
    want = fleet(settings, ssh_port=int(given.get("ssh_port") or 22))
    client = api.client(None if reads else want.first.family, adopts=adopts)
    adoptable = tuple(look_for_adoptable(client, want))
    common = look_at_common(client, want, frozenset(each.key for each in adoptable))
    costs = prices.read(client)

    def session(node: Wanted) -> Session:
        return Session(node, look(common, node), costs, given.get("ssh_key"))

    nodes = tuple(map(session, want.nodes))
    names = {node.name for node in want.nodes}
    others = (name for name in members(common) if name not in names)
    surplus = tuple(session(replace(want.first, name=name, private="")) for name in others)
    if adoptable and not (reads or adopts):
        raise HetznerError(f"{tell_adoptable(adoptable)}; nothing was done")
    return Everything(want, common, nodes, surplus, adoptable)


def tell_adoptable(found: Sequence[Adoptable]) -> str:
    """Return a sentence on what carries the old label alone, and the command for it."""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    carry, them = ("carry", "them") if more else ("carries", "it")
    return (
        f"the {found[0].what}{more} {carry} the label {SELECTOR} alone, as an earlier version "
        f"made {them}: `{ADOPT}` shows what it takes over for this deployment, and asks"
    )


def make(change: Change) -> None:
    """Make a change. Raises HetznerError with what it was about."""
    with told(f"bring about {change.item.what}"):
        change.make()
