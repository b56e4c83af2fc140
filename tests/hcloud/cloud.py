"""The resources of one project at Hetzner Cloud, and the effects of requests."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.hcloud import balancing
from tests.hcloud.shapes import (
    LOCATIONS,
    TYPES,
    Data,
    Refused,
    common_fields,
    pricing,
    rules,
    server_type,
)

# The kinds of resources that a single server has, and those that only a cluster has.
KINDS = ("servers", "volumes", "primary_ips", "firewalls", "placement_groups", "ssh_keys", "zones")
CLUSTER_KINDS = ("networks", "load_balancers", "certificates")


@dataclass
class Cloud:
    """Hold the resources of a project.

    Attributes:
        slow: how often an action is polled before it ends.
        failing: commands of actions that fail, each once.
        limits: the largest number of resources by kind.
        boot: called with each new server and its user data.
        addresses: the IPv4 addresses, in the order in which servers get them.
        network: the IPv6 network of each server, with `{}` for the server's number.
        healthy: the ids of the servers that Load Balancers find healthy.
    """

    slow: int = 0
    failing: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    boot: Callable[[Data, str], None] = lambda *_: None
    addresses: list[str] = field(default_factory=list)
    network: str = "2001:db8:0:{}::/64"
    healthy: set[int] = field(default_factory=set)
    kinds: dict[str, dict[int, Data]] = field(
        default_factory=lambda: {k: {} for k in (*KINDS, *CLUSTER_KINDS)}
    )
    actions: dict[int, Data] = field(default_factory=dict)
    rrsets: dict[tuple[str, str], Data] = field(default_factory=dict)
    _ids: Any = field(default_factory=lambda: count(1001))

    def only(self, kind: str) -> Data:
        """Return the only resource of a kind."""
        (found,) = self.kinds[kind].values()
        return found

    def add(self, kind: str, **given: Any) -> Data:
        """Add a resource without the API."""
        id = next(self._ids)
        made = self.kinds[kind][id] = {**common_fields(id, given), **given}
        return made

    def action(self, command: str, *resources: Data) -> Data:
        """Return a new action."""
        id = next(self._ids)
        fails = command in self.failing
        self.failing.discard(command)
        self.actions[id] = {
            "id": id,
            "command": command,
            "status": "running",
            "progress": 0,
            "started": "2026-11-26T05:00:00+00:00",
            "finished": None,
            "error": None,
            "resources": [{"id": each["id"], "type": "server"} for each in resources],
            "left": self.slow,
            "fails": fails,
        }
        return self.poll(id)

    def poll(self, id: int) -> Data:
        """Return the current state of an action, which each poll advances."""
        found = self.actions.get(id)
        if found is None:
            raise Refused(404, "not_found")
        if found["left"] > 0:
            found["left"] -= 1
        elif found["fails"]:
            error = {"code": "action_failed", "message": "Action failed"}
            found |= {"status": "error", "progress": 100, "error": error}
        else:
            found |= {"status": "success", "progress": 100}
        return {key: value for key, value in found.items() if key not in ("left", "fails")}

    def create(self, kind: str, given: Data) -> tuple[int, Data]:
        """Answer a POST to a collection."""
        if len(self.kinds[kind]) >= self.limits.get(kind, 99):
            raise Refused(403, "resource_limit_exceeded")
        if any(each["name"] == given["name"] for each in self.kinds[kind].values()):
            raise Refused(409, "uniqueness_error", "name is already used")
        made: tuple[int, Data] = getattr(self, f"_create_{kind}")(given)
        return made

    def _create_ssh_keys(self, given: Data) -> tuple[int, Data]:
        there = self.kinds["ssh_keys"].values()
        if any(each["public_key"] == given["public_key"] for each in there):
            raise Refused(409, "uniqueness_error", "SSH key with the same fingerprint exists")
        mark = hashlib.md5(given["public_key"].encode()).hexdigest()
        return 201, {"ssh_key": self.add("ssh_keys", fingerprint=mark, **given)}

    def _create_firewalls(self, given: Data) -> tuple[int, Data]:
        made = self.add("firewalls", **{**given, "rules": rules(given["rules"]), "applied_to": []})
        return 201, {"firewall": made, "actions": []}

    def _create_placement_groups(self, given: Data) -> tuple[int, Data]:
        made = self.add("placement_groups", **given, servers=[])
        return 201, {"placement_group": made, "action": self.action("create_placement_group")}

    def _create_primary_ips(self, given: Data) -> tuple[int, Data]:
        location = LOCATIONS[given["location"]]
        made = self._address(**{**given, "location": location})
        return 201, {"primary_ip": made, "action": self.action("create_primary_ip")}

    def _address(self, **given: Any) -> Data:
        number = len(self.kinds["primary_ips"]) + 1
        is_ipv4 = given["type"] == "ipv4"
        ip = self.addresses.pop(0) if is_ipv4 else self.network.format(number)
        more = {"ip": ip, "dns_ptr": [], "blocked": False, "protection": {"delete": False}}
        return self.add(
            "primary_ips", **{"assignee_id": None, "assignee_type": "server", **more, **given}
        )

    def _create_volumes(self, given: Data) -> tuple[int, Data]:
        if given["size"] < 10:
            raise Refused(422, "invalid_input", "size is too small")
        made = self.add("volumes", **{**given, "location": LOCATIONS[given["location"]]})
        made |= {"server": None, "status": "available", "format": None}
        made |= {"protection": {"delete": False}}
        made |= {"linux_device": f"/dev/disk/by-id/scsi-0HC_Volume_{made['id']}"}
        return 201, {"volume": made, "action": self.action("create_volume"), "next_actions": []}

    def _create_servers(self, given: Data) -> tuple[int, Data]:
        if given["server_type"] not in TYPES or given["location"] not in LOCATIONS:
            raise Refused(422, "invalid_input", "invalid input in field 'server_type'")
        made = self.add("servers", name=given["name"], labels=given["labels"])
        made |= {"status": "initializing", "locked": False, "backup_window": None, "volumes": []}
        made |= {"server_type": server_type(given["server_type"]), "private_net": []}
        made |= {"location": LOCATIONS[given["location"]], "public_net": {"firewalls": []}}
        for version in ("ipv4", "ipv6"):
            self._connect(made, version, given["public_net"])
        for id in given.get("volumes", []):
            self.kinds["volumes"][id]["server"] = made["id"]
        for each in given.get("firewalls", []):
            self.guard(self.kinds["firewalls"][each["firewall"]], made)
        if group := given.get("placement_group"):
            self.kinds["placement_groups"][group]["servers"].append(made["id"])
        made["status"] = "running"
        self.boot(self.show("servers", made), given.get("user_data", ""))
        return 201, {
            "server": self.show("servers", made),
            "action": self.action("create_server", made),
            "next_actions": [self.action("start_server", made)],
            "root_password": None,
        }

    def _connect(self, server: Data, version: str, net: Data) -> None:
        if not net[f"enable_{version}"]:
            return
        if id := net.get(version):
            address = self.kinds["primary_ips"][id]
            if address["assignee_id"]:
                raise Refused(409, "primary_ip_assigned")
        else:
            address = self._address(
                type=version,
                name=f"primary_ip-{next(self._ids)}",
                auto_delete=True,
                location=server["location"],
            )
        address["assignee_id"] = server["id"]

    def _create_networks(self, given: Data) -> tuple[int, Data]:
        return balancing.create_network(self, given)

    def _create_load_balancers(self, given: Data) -> tuple[int, Data]:
        return balancing.create_load_balancer(self, given)

    def _create_certificates(self, given: Data) -> tuple[int, Data]:
        return balancing.create_certificate(self, given)

    def guard(self, wall: Data, server: Data) -> None:
        """Apply a firewall to a server."""
        wall["applied_to"].append({"type": "server", "server": {"id": server["id"]}})

    def show(self, kind: str, found: Data) -> Data:
        """Return a resource as the API shows it: a server with its attachments."""
        if kind == "load_balancers":
            return balancing.seen_balancer(self, found)
        if kind == "certificates":
            return balancing.seen_certificate(self, found)
        if kind != "servers":
            return found
        mine = [e for e in self.kinds["primary_ips"].values() if e["assignee_id"] == found["id"]]
        net: Data = {"ipv4": None, "ipv6": None, "floating_ips": [], "firewalls": []}
        for each in mine:
            ip = {"id": each["id"], "ip": each["ip"], "blocked": False, "dns_ptr": ""}
            net[each["type"]] = ip if each["type"] == "ipv4" else {**ip, "dns_ptr": []}
        volumes = [e["id"] for e in self.kinds["volumes"].values() if e["server"] == found["id"]]
        return {**found, "public_net": net, "volumes": volumes}

    def pricing(self) -> Data:
        """Return the prices."""
        return pricing()
