"""The resources that a server needs: SSH keys, group, network, addresses and volume."""

from collections.abc import Iterable, Mapping
from functools import partial
from ipaddress import ip_network
from typing import Any

from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.placement_groups import BoundPlacementGroup
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.servers import BoundServer
from hcloud.ssh_keys import BoundSSHKey
from hcloud.volumes import BoundVolume

from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.hetzner.api import labels, wait_for
from infisical_iac.hetzner.desired import PublicKey
from infisical_iac.hetzner.resource import (
    Changes,
    CloudDeployment,
    PlannedChange,
    Price,
    ServerResource,
    SharedResource,
    change,
)


class SshKeys(SharedResource):
    """The SSH keys of new servers; Hetzner stores each key only once per project."""

    collection, made, deleted = "ssh_keys", 10, 90

    def find(self) -> None:
        """Find all keys, as a server may use one that another deployment or a person uploaded."""
        self.found = self.client.ssh_keys.get_all()

    def match(self, key: PublicKey) -> BoundSSHKey | None:
        """Return the key at Hetzner Cloud, no matter who uploaded it."""
        for each in self.found:
            if key.text and " ".join(str(each.public_key).split()[:2]) == key.text:
                return each
            if not key.text and each.name == key.name:
                return each
        return None

    def diff(self) -> Changes:
        """Yield the missing keys; none once all servers exist.

        Raises UserError if no key is set, or one can't be found.
        """
        complete = all(node.server is not None for node in self.deployment.nodes)
        keys = self.desired.first.keys
        if not keys and not complete:
            raise SettingsError(
                "setting 'server_ssh_keys' is empty: nobody could log in; put the path of your "
                "public key there, such as ~/.ssh/id_ed25519.pub",
                code="settings.no_ssh_key",
            )
        for key in keys:
            if complete or self.match(key):
                continue
            if not key.text:
                raise SettingsError(
                    f"setting 'server_ssh_keys': no key named {key.name} is at Hetzner Cloud; "
                    "write the path of a public key, such as ~/.ssh/id_ed25519.pub",
                    code="settings.unknown_ssh_key",
                )
            yield change("+", f"SSH key {key.name}", "", partial(self._create, key))

    def _create(self, key: PublicKey) -> None:
        taken = {each.name for each in self.found}
        ours = f"{self.desired.name}-{key.name}"
        names = (ours, *(f"{key.name}-{number}" for number in range(99)))
        name = next(each for each in names if each not in taken)
        made = self.client.ssh_keys.create(name, key.text, labels=labels(self.desired.name))
        self.found.append(made)


class PlacementGroup(SharedResource):
    """The placement group, whose servers run on different machines."""

    collection, made, deleted = "placement_groups", 30, 80
    found: BoundPlacementGroup | None = None

    def find(self) -> None:
        """Find the group, even if somebody else made it."""
        if group := self.desired.first.group:
            self.found = self.client.placement_groups.get_by_name(group)

    def diff(self) -> Changes:
        if (group := self.desired.first.group) and self.found is None:
            yield change("+", f"placement group {group}", "spread", partial(self._create, group))

    def _create(self, group: str) -> None:
        made = self.client.placement_groups.create(
            group, type="spread", labels=labels(self.desired.name)
        )
        wait_for(made.action)
        self.found = made.placement_group

    @classmethod
    def removals(cls, deployment: CloudDeployment) -> Changes:
        """Yield the deletion of each group without other servers."""
        ours = {node.server.id for node in deployment.all_nodes if node.server}
        for group in deployment.list_owned(cls.collection):
            if not {*(group.servers or [])} - ours:
                yield cls.removal(group)


class PrivateNetwork(SharedResource):
    """The private network of a cluster."""

    collection, made, deleted = "networks", 40, 60
    found: BoundNetwork | None = None

    def find(self) -> None:
        if self.desired.first.role:
            self.found = self.deployment.find_by_name(self.collection, self.desired.name)

    def diff(self) -> Changes:
        """Yield the network if it is missing. Raises UserError for one with another range."""
        name, desired = self.desired.name, self.desired.network
        if not desired:
            return
        if self.found is None:
            yield change("+", f"network {name}", desired, self._create)
        elif self.found.ip_range != desired:
            there = self.found.ip_range
            raise UserError(
                f"servers have addresses in the range {there} of the network {name}: "
                f'set server_network to "{there}"',
                code="error.network_range",
            )

    def _create(self) -> None:
        name, desired = self.desired.name, self.desired.network
        location = self.client.locations.get_by_name(self.desired.first.location)
        subnet = NetworkSubnet(
            desired,
            type=NetworkSubnet.TYPE_CLOUD,
            network_zone=location.network_zone if location else None,
        )
        self.found = self.client.networks.create(
            name, desired, subnets=[subnet], labels=labels(name)
        )


def private_address(resource: Any, network: BoundNetwork | None) -> str:
    """Return the address of a server or Load Balancer in a network, empty if it has none there."""
    found = (resource.private_net or []) if resource else []
    ours = (each for each in found if network and each.network.id == network.id)
    return next((str(each.ip) for each in ours), "")


class PrimaryIps(ServerResource):
    """The public addresses of a server, by `ipv4` and `ipv6`."""

    collection, made, deleted = "primary_ips", 50, 50

    def find(self) -> None:
        """Find both addresses, even one that is not desired."""
        self.found: dict[str, BoundPrimaryIP] = {}
        for version in ("ipv4", "ipv6"):
            address = self.deployment.find_by_name(self.collection, self._name(version))
            if address is not None:
                self.found[version] = address

    @property
    def login_address(self) -> str:
        """The address for SSH: IPv4 if there is one, empty for no address."""
        found = self.found.get("ipv4") or self.found.get("ipv6")
        return host_address(found) if found else ""

    def diff(self) -> Changes:
        """Yield the missing addresses. Raises UserError if an existing server lacks one."""
        for version in self.desired.versions:
            if version in self.found:
                continue
            name = self._name(version)
            if self.node.server is not None:
                raise UserError(
                    f"the server {self.desired.name} exists without its primary {version}: make "
                    f"{name} with the server off, or set server_{version} to False"
                )
            detail = str(self._price(version))
            yield change("+", f"primary IP {name}", detail, partial(self._create, version))

    def price(self) -> Iterable[Price]:
        return map(self._price, self.desired.versions)

    def create(self, version: str, name: str, labels: dict[str, str], *, goes: bool) -> Any:
        """Make an address and return it; with `goes`, it is deleted with its server."""
        made = self.client.primary_ips.create(
            type=version,
            name=name,
            location=Location(name=self.desired.location),
            assignee_type="server",
            auto_delete=goes,
            labels=labels,
        )
        wait_for(made.action)
        return made.primary_ip

    def _create(self, version: str) -> None:
        its_labels = labels(self.desired.deployment)
        self.found[version] = self.create(version, self._name(version), its_labels, goes=False)

    def _name(self, version: str) -> str:
        return f"{self.desired.name}-{version}"

    def _price(self, version: str) -> Price:
        return self.deployment.prices.address(version, self.desired.location)

    @classmethod
    def removals(cls, deployment: CloudDeployment) -> Changes:
        """Yield the deletion of unassigned addresses; the others are deleted with their servers."""
        nodes = deployment.all_nodes
        known = {each.id for node in nodes for each in node[cls].found.values()}
        for each in deployment.list_owned(cls.collection):
            if each.id not in known:
                yield cls.removal(each, str(each.ip))


class ReverseDns(ServerResource):
    """The reverse DNS names of a server's addresses."""

    made = 75

    def diff(self) -> Changes:
        addresses, name = self.node[PrimaryIps].found, self.desired.host_name

        def point(version: str) -> None:
            address = addresses[version]
            wait_for(address.change_dns_ptr(host_address(address), name))

        for version in self.desired.versions if name else ():
            if version not in addresses or _reverse_name(addresses[version]) != name:
                what = f"reverse DNS of the {version} address"
                yield change("~", what, name, partial(point, version))


def _reverse_name(address: BoundPrimaryIP) -> str:
    entries: Iterable[Any] = address.dns_ptr or []
    ip = host_address(address)
    return next((str(each["dns_ptr"]) for each in entries if each["ip"] == ip), "")


def host_address(address: BoundPrimaryIP) -> str:
    """Return the host's address; in an IPv6 network, that is the first one."""
    if address.type == "ipv4":
        return str(address.ip)
    return str(ip_network(str(address.ip))[1])


def server_address(server: BoundServer) -> str:
    """Return a server's address for SSH: IPv4 if it has one, else its first IPv6 address.

    Raises UserError for a server without an address.
    """
    net = server.public_net
    if net and net.ipv4:
        return str(net.ipv4.ip)
    if net and net.ipv6:
        return str(ip_network(str(net.ipv6.ip))[1])
    raise UserError(f"the server {server.name} has no public address: give it one")


class CloudVolume(ServerResource):
    """The volume with a server's data, protected from deletion."""

    collection, made, deleted, listed, is_data = "volumes", 60, 100, 2, True
    found: BoundVolume | None = None

    def find(self) -> None:
        name = self.desired.volume_name
        self.found = self.deployment.find_by_name(self.collection, name)

    def diff(self) -> Changes:
        """Yield differences in size and protection. Raises UserError for an unusable volume."""
        name, size, volume = self.desired.volume_name, self.desired.volume_gb, self.found
        if not size:
            return
        price = self.deployment.prices.volume(size)
        if volume is None:
            if self.node.server is not None:
                raise UserError(
                    f"the server {self.desired.name} exists without a volume: back up, make a "
                    "new server with one, and restore there, or set server_volume_gb to 0"
                )
            yield change("+", f"volume {name}", f"{size} GB, {price}", self._create)
        else:
            there, place = int(volume.size or 0), volume.location
            if place and place.name != self.desired.location:
                raise UserError(
                    f"the volume {name} is in {place.name} and can't be moved: set server_location "
                    f"to {place.name}",
                    code="error.location",
                )
            if there < size:
                detail = f"{there} → {size} GB, {price}"
                yield change("~", f"volume {name}", detail, lambda: wait_for(volume.resize(size)))
        protection = volume.protection if volume else None
        if not (protection and protection["delete"]):
            yield change("~", f"volume {name}", "protected from deletion", self._protect)

    def price(self) -> Iterable[Price]:
        size = self.desired.volume_gb
        return [self.deployment.prices.volume(size)] if size else []

    def _create(self) -> None:
        # Without a file system: the deploy makes one, and recognizes its own volume by that.
        made = self.client.volumes.create(
            size=self.desired.volume_gb,
            name=self.desired.volume_name,
            labels=labels(self.desired.deployment),  # type: ignore[arg-type]  # wrongly annotated
            location=Location(name=self.desired.location),
        )
        wait_for(made.action, then=made.next_actions)
        self.found = made.volume

    def _protect(self) -> None:
        assert self.found is not None
        wait_for(self.found.change_protection(delete=True))

    @property
    def name_aside(self) -> str:
        """The name that the volume has once it is set aside."""
        assert self.found is not None
        return f"{self.desired.volume_name}-{self.found.id}"

    def set_aside(self) -> None:
        """Detach the volume and free its name; a replaced node's data are kept, never deleted."""
        assert self.found is not None
        if self.found.server:
            wait_for(self.found.detach())
        self.found.update(name=self.name_aside)

    @classmethod
    def describe(cls, found: Any, servers: Mapping[Any, str]) -> tuple[str, str, str]:
        on = servers.get(found.server.id, f"server {found.server.id}") if found.server else ""
        return f"{found.size} GB", str(found.status), on or "no server"

    @classmethod
    def removal(cls, found: Any, detail: str = "") -> PlannedChange:
        """Return the change that deletes a volume with all data, its protection included."""

        def delete() -> None:
            if found.protection and found.protection["delete"]:
                wait_for(found.change_protection(delete=False))
            found.reload()
            if found.server:
                wait_for(found.detach())
            found.delete()

        return change("-", f"volume {found.name}", f"{found.size} GB, with all data", delete)


KINDS = (SshKeys, PlacementGroup, PrivateNetwork, PrimaryIps, ReverseDns, CloudVolume)
