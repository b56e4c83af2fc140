"""The server itself, the firewall in front of it, and its first boot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hcloud import Client
from hcloud.firewalls import BoundFirewall, FirewallResource, FirewallRule
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

from infisical_iac.core.errors import Refused, UserError
from infisical_iac.hetzner import api, remote
from infisical_iac.hetzner.parts import (
    CloudVolume,
    PlacementGroup,
    PrimaryIps,
    PrivateNetwork,
    SshKeys,
    private_address,
)
from infisical_iac.hetzner.remote import Login
from infisical_iac.hetzner.resource import (
    Changes,
    CloudDeployment,
    Price,
    ServerResource,
    SharedResource,
    change,
)
from infisical_iac.host.openings import Opening

# The label of a server after its first boot, with a host key of its own.
READY = {"infisical-iac-ready": "yes"}
# The label of a cluster's server that is being removed.
LEAVING = {"infisical-iac-leaving": "yes"}


def list_servers(client: Client) -> list[BoundServer]:
    """Return all servers that this project made, of all deployments."""
    with api.translate_errors("list the servers"):
        return client.servers.get_all(label_selector=api.SELECTOR)


def has_labels(server: BoundServer | None, expected: Mapping[str, str]) -> bool:
    """Return whether a server exists and carries all of these labels."""
    return server is not None and expected.items() <= (server.labels or {}).items()


class CloudFirewall(SharedResource):
    """The firewall at Hetzner Cloud, with the same rules as the host's own."""

    collection, made, deleted = "firewalls", 20, 70
    found: BoundFirewall | None = None

    def find(self) -> None:
        self.found = self.deployment.find_by_name(self.collection, self.desired.name)

    def diff(self) -> Changes:
        what, rules = f"firewall {self.desired.name}", _rules(self.desired.first.openings)
        wall = self.found
        if wall is None:
            if rules:
                yield change("+", what, _summarize(rules), partial(self._create, rules))
        elif not rules:
            yield change("-", what, "setting 'firewall' is off", self._delete)
        elif sorted(map(_form, rules)) != sorted(map(_form, there := wall.rules or [])):

            def put(rules: list[FirewallRule]) -> None:
                api.wait_for(*wall.set_rules(rules))

            yield change(
                "~",
                what,
                _summarize(rules),
                lambda: _try_change(lambda: put(rules), lambda: put(there), self._is_alive),
            )

    def _is_alive(self) -> bool:
        return any(node[CloudServer].is_alive() for node in self.deployment.nodes)

    def _create(self, rules: list[FirewallRule]) -> None:
        name = self.desired.name
        made = self.client.firewalls.create(
            name,
            rules=rules,
            labels=api.labels(name),  # type: ignore[arg-type]  # the library's annotation is wrong
        )
        api.wait_for(*(made.actions or []))
        self.found = made.firewall

    def guards(self, server: BoundServer) -> bool:
        """Return whether the firewall exists and is applied to a server."""
        applied = (self.found.applied_to or []) if self.found else []
        return any(each.server is not None and each.server.id == server.id for each in applied)

    def apply_to(self, server: BoundServer, is_alive: Callable[[], bool]) -> None:
        """Apply the firewall to a server; undo that if this machine can no longer log in."""
        assert self.found is not None
        wall, on = self.found, [_target(server)]
        _try_change(
            lambda: api.wait_for(*wall.apply_to_resources(on)),
            lambda: api.wait_for(*wall.remove_from_resources(on)),
            is_alive,
        )

    def _delete(self) -> None:
        """Remove the firewall from the servers and delete it; the API refuses if others use it."""
        assert self.found is not None
        servers = [node.server for node in self.deployment.nodes if node.server]
        if on := [_target(each) for each in servers if self.guards(each)]:
            api.wait_for(*self.found.remove_from_resources(on))
        self.found.delete()
        self.found = None


def _rules(openings: Iterable[Opening]) -> list[FirewallRule]:
    """Return the rules that open the same ports as the host's own firewall."""
    return [
        FirewallRule(
            direction=FirewallRule.DIRECTION_IN,
            protocol=opening.protocol,
            port=port,
            source_ips=list(opening.networks),
            description=opening.description,
        )
        for opening in openings
        for port in (map(str, opening.ports) if opening.ports else (None,))
    ]


def _form(rule: FirewallRule) -> tuple[Any, ...]:
    """Return the parts of a rule that are compared."""
    networks = sorted(rule.source_ips), sorted(rule.destination_ips)
    return rule.direction, rule.protocol, str(rule.port or ""), *networks


def _summarize(rules: Sequence[FirewallRule]) -> str:
    each = (f"{rule.protocol} {rule.port}" if rule.port else str(rule.protocol) for rule in rules)
    return "lets in " + ", ".join(dict.fromkeys(each))


def _target(server: BoundServer) -> FirewallResource:
    return FirewallResource(type=FirewallResource.TYPE_SERVER, server=server)


def _try_change(
    make: Callable[[], None], undo: Callable[[], None], is_alive: Callable[[], bool]
) -> None:
    """Make a change; undo it and raise UserError if logins fail after it."""
    was_alive = is_alive()
    make()
    if was_alive and not is_alive():
        undo()
        raise Refused(
            "these rules would lock this machine out, so the previous ones are back: add your own "
            "network to the setting 'ssh_networks'",
            code="refused.lockout",
        )


class CloudServer(ServerResource):
    """The server, with its attachments and labels."""

    collection, made, deleted, listed = "servers", 70, 40, 1

    def find(self) -> None:
        self.node.server = self.deployment.find_by_name(self.collection, self.desired.name)

    @property
    def found(self) -> BoundServer:
        """The server, which must exist."""
        assert self.node.server is not None
        return self.node.server

    @property
    def is_ready(self) -> bool:
        """True after the server's first boot."""
        return has_labels(self.node.server, READY)

    @property
    def is_leaving(self) -> bool:
        """True if another server is about to take this server's place in a cluster."""
        return has_labels(self.node.server, LEAVING)

    @property
    def is_as_desired(self) -> bool:
        """True if a new server would be of the same type, with the same image."""
        image = self.found.image and self.found.image.name
        there = self.found.server_type and self.found.server_type.name
        return there == self.desired.type and image in (self.desired.image, None)

    @property
    def login(self) -> Login:
        return self.login_at(self.node[PrimaryIps].login_address)

    def login_at(self, address: str) -> Login:
        """Return how to log in at an address."""
        return Login(address, self.desired.ssh_port, self.deployment.ssh_key)

    def is_alive(self) -> bool:
        """Return whether the server accepts a new connection now."""
        return self.is_ready and remote.is_alive(self.login)

    def diff(self) -> Changes:
        """Yield the changes of the server. Raises UserError if its volume is on another one."""
        name, server = self.desired.name, self.node.server
        if server is None:
            yield change("+", f"server {name}", self.summary, self._create)
        else:
            yield from self._diff_attached(server)
            place = self._place()
            if not has_labels(server, place):
                detail = f"{self.desired.role} of the cluster {self.desired.deployment}"
                yield change("~", f"server {name}", detail, partial(self.add_labels, place))
        network, private = self.deployment[PrivateNetwork], self.desired.private
        if private and not private_address(server, network.found):
            detail = f"in the private network as {private}"
            yield change("~", f"server {name}", detail, self._join)
        if self.desired.backups and not (server and server.backup_window):
            yield change("+", f"backups of {name}", str(self._price_of_backups()), self._back_up)

    @property
    def summary(self) -> str:
        """The type, place, image and price of a new server."""
        desired = self.desired
        price = self.deployment.prices.server(desired.type, desired.location)
        return f"{desired.type} in {desired.location} with {desired.image}, {price}"

    def price(self) -> Iterable[Price]:
        yield self.deployment.prices.server(self.desired.type, self.desired.location)
        if self.desired.backups:
            yield self._price_of_backups()

    @classmethod
    def describe(cls, found: Any, servers: Mapping[Any, str]) -> tuple[str, str, str]:
        net = found.public_net
        public = [str(each.ip) for each in ((net.ipv4, net.ipv6) if net else ()) if each]
        private = [str(each.ip) for each in found.private_net or []]
        what = [str(found.server_type.name), (found.labels or {}).get(api.ROLE, "")]
        return ", ".join(filter(None, what)), str(found.status), ", ".join([*public, *private])

    def _price_of_backups(self) -> Price:
        return self.deployment.prices.backups(self.desired.type, self.desired.location)

    def _diff_attached(self, server: BoundServer) -> Changes:
        name, volume = self.desired.name, self.node[CloudVolume].found
        if volume and volume.server and volume.server.id != server.id:
            raise UserError(
                f"the volume {volume.name} is attached to another server: a `server replace` has "
                "not ended, or a person moved it; run `infisical-iac server replace`, or detach it"
            )
        if volume and not volume.server and self.desired.volume_gb:
            yield change(
                "~",
                f"volume {volume.name}",
                f"attached to {name}",
                lambda: api.wait_for(volume.attach(server, automount=False)),
            )
        # A missing firewall is created by an earlier change.
        wall = self.deployment[CloudFirewall]
        if self.desired.openings and not wall.guards(server):
            yield change(
                "~",
                f"firewall {self.desired.deployment}",
                f"applied to {name}",
                lambda: wall.apply_to(server, self.is_alive),
            )
        if server.status == "off":
            yield change(
                "~", f"server {name}", "off → running", lambda: api.wait_for(server.power_on())
            )

    def _place(self) -> dict[str, str]:
        desired = self.desired
        return {api.CLUSTER: desired.deployment, api.ROLE: desired.role} if desired.role else {}

    def add_labels(self, more: Mapping[str, str]) -> None:
        """Give the server further labels."""
        self.node.server = self.found.update(labels={**(self.found.labels or {}), **more})

    def _create(self) -> None:
        addresses = self.node[PrimaryIps]
        self.create(self.desired.name, self.user_data(addresses.login_address), addresses.found)

    def user_data(self, address: str) -> str:
        """Return the user data, and add its host key for `address` to known_hosts."""
        return remote.prepare_first_login(self.login_at(address))

    def create(
        self,
        name: str,
        user_data: str,
        addresses: Mapping[str, BoundPrimaryIP],
        *,
        replaces: str = "",
    ) -> None:
        """Make a server and wait until it runs.

        Args:
            addresses: by `ipv4` and `ipv6`.
            replaces: the server that it replaces and whose volume it gets later; empty to attach
                the volume at once.
        """
        desired, shared, volume = self.desired, self.deployment, self.node[CloudVolume].found
        has_volume = volume is not None and desired.volume_gb and not replaces
        wall = shared[CloudFirewall].found
        its_labels = api.labels(desired.deployment) | self._place()
        made = self.client.servers.create(
            name=name,
            server_type=ServerType(name=desired.type),
            image=Image(name=desired.image),
            ssh_keys=[shared[SshKeys].match(key) for key in desired.keys],  # type: ignore[misc]
            volumes=[volume] if volume and has_volume else [],
            automount=False if has_volume else None,
            firewalls=[wall] if wall else [],
            placement_group=shared[PlacementGroup].found,
            user_data=user_data,
            labels=its_labels | ({api.REPLACES: replaces} if replaces else {}),
            location=Location(name=desired.location),
            public_net=ServerCreatePublicNetwork(
                enable_ipv4=desired.ipv4,
                enable_ipv6=desired.ipv6,
                ipv4=addresses.get("ipv4"),
                ipv6=addresses.get("ipv6"),
            ),
        )
        self.node.server = made.server
        api.wait_for(made.action, then=made.next_actions)

    def _join(self) -> None:
        network = self.deployment[PrivateNetwork].found
        assert network is not None
        api.wait_for(self.found.attach_to_network(network, ip=self.desired.private))

    def _back_up(self) -> None:
        api.wait_for(self.found.enable_backup())

    @classmethod
    def removals(cls, deployment: CloudDeployment) -> Changes:
        """Yield the deletion of each server and then of its addresses."""
        for node in deployment.all_nodes:
            if node.server:
                yield cls.removal(node.server)
            for address in node[PrimaryIps].found.values():
                yield PrimaryIps.removal(address, str(address.ip))


class FirstBoot(ServerResource):
    """The first boot of a server, after which it has its own host key."""

    made = 120

    def diff(self) -> Changes:
        if not self.node[CloudServer].is_ready:
            detail = "wait for its first boot, then let it make its own host key"
            yield change("~", f"server {self.desired.name}", detail, self._finish)

    def _finish(self) -> None:
        server = self.node[CloudServer]
        remote.finish_first_boot(server.login, timeout=self.deployment.timeout)
        server.add_labels(READY)


KINDS = (CloudFirewall, CloudServer, FirstBoot)
