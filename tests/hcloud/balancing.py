"""Networks, Load Balancers and certificates, and the documented effects of requests on them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, ip_address
from typing import TYPE_CHECKING

from tests.hcloud.shapes import BALANCERS, LOCATIONS, Data, Refused, balancer_type

if TYPE_CHECKING:
    from tests.hcloud.cloud import Cloud

_Acting = Callable[["Cloud", Data, Data], None]
_PORTS = range(1, 65536)


def create_network(cloud: Cloud, given: Data) -> tuple[int, Data]:
    """Answer a POST to /networks."""
    for subnet in given["subnets"]:
        if not IPv4Network(subnet["ip_range"]).subnet_of(IPv4Network(given["ip_range"])):
            raise Refused(422, "invalid_input", "invalid input in field 'subnets'")
        if subnet["network_zone"] not in {each["network_zone"] for each in LOCATIONS.values()}:
            raise Refused(422, "invalid_input", "invalid input in field 'network_zone'")
    made = cloud.add("networks", **given, servers=[], load_balancers=[], routes=[])
    made |= {"protection": {"delete": False}, "expose_routes_to_vswitch": False}
    return 201, {"network": made}


def create_certificate(cloud: Cloud, given: Data) -> tuple[int, Data]:
    """Answer a POST to /certificates for a managed certificate."""
    zones = [each["name"] for each in cloud.kinds["zones"].values()]
    for name in given["domain_names"]:
        if not any(name == zone or name.endswith(f".{zone}") for zone in zones):
            raise Refused(422, "invalid_input", f"{name} is in no zone at Hetzner DNS")
    action = cloud.action("create_certificate")
    made = cloud.add("certificates", **given, certificate=None, fingerprint=None, used_by=[])
    made |= {"not_valid_before": None, "not_valid_after": None, "actions": [action["id"]]}
    return 201, {"certificate": seen_certificate(cloud, made), "action": action}


def seen_certificate(cloud: Cloud, found: Data) -> Data:
    """Return a certificate as the API shows it: issued once its action has ended."""
    action = cloud.actions[found["actions"][-1]]
    issuance = {"running": "pending", "success": "completed", "error": "failed"}[action["status"]]
    error = {"code": "dns_zone_not_found", "message": "no zone"} if issuance == "failed" else None
    status = {"issuance": issuance, "renewal": "unavailable", "error": error}
    return {**{key: found[key] for key in found if key != "actions"}, "status": status}


def create_load_balancer(cloud: Cloud, given: Data) -> tuple[int, Data]:
    """Answer a POST to /load_balancers."""
    if given["load_balancer_type"] not in BALANCERS:
        raise Refused(422, "invalid_input", "invalid input in field 'load_balancer_type'")
    services = given.pop("services", [])
    number = len(cloud.kinds["load_balancers"]) + 50
    made = cloud.add("load_balancers", **given)
    made |= {
        "load_balancer_type": balancer_type(given["load_balancer_type"]),
        "location": LOCATIONS[given["location"]],
        "public_net": {
            "enabled": True,
            "ipv4": {"ip": f"203.0.113.{number}", "dns_ptr": "static.example.net"},
            "ipv6": {"ip": f"2001:db8:1::{number}", "dns_ptr": ""},
        },
        "private_net": [],
        "services": [],
        "targets": [],
        "protection": {"delete": False},
    }
    for each in services:
        _add_service(cloud, made, each)
    action = cloud.action("create_load_balancer")
    return 201, {"load_balancer": seen_balancer(cloud, made), "action": action}


def seen_balancer(cloud: Cloud, found: Data) -> Data:
    """Return a Load Balancer as the API shows it, with the health of each server and port."""

    def status(server: int, port: int) -> Data:
        is_healthy = server in cloud.healthy
        more = {} if is_healthy else {"detail": "layer4_no_connection"}
        return {"listen_port": port, "status": "healthy" if is_healthy else "unhealthy", **more}

    ports = [each["listen_port"] for each in found["services"]]
    targets = [
        {**each, "health_status": [status(each["server"]["id"], port) for port in ports]}
        for each in found["targets"]
    ]
    return {**found, "targets": targets}


def _add_service(cloud: Cloud, balancer: Data, given: Data) -> None:
    given = _service(cloud, given)
    if any(each["listen_port"] == given["listen_port"] for each in balancer["services"]):
        raise Refused(422, "source_port_already_used")
    balancer["services"].append(given)


def _service(cloud: Cloud, given: Data) -> Data:
    if given["protocol"] not in ("tcp", "https") or given["destination_port"] not in _PORTS:
        raise Refused(422, "invalid_input", "invalid input in field 'services'")
    check = given["health_check"]
    if not (3 <= check["interval"] <= 60 and 1 <= check["timeout"] <= check["interval"]):
        raise Refused(422, "invalid_input", "invalid input in field 'health_check'")
    http: Data = {"cookie_name": "HCLBSTICKY", "cookie_lifetime": 300, "timeout_idle": 60}
    http |= {"certificates": [], "redirect_http": False, "sticky_sessions": False}
    http |= given.get("http", {})
    if given["protocol"] == "https" and not http["certificates"]:
        raise Refused(422, "invalid_input", "https takes a certificate")
    for each in http["certificates"]:
        if each not in cloud.kinds["certificates"]:
            raise Refused(404, "not_found", "certificate not found")
    check = {**check, "http": {"response": "", "tls": False, **check["http"]}}
    more = {"http": http} if given["protocol"] != "tcp" else {}
    return {**given, "health_check": check, **more}


def _update_service(cloud: Cloud, balancer: Data, given: Data) -> None:
    _delete_service(cloud, balancer, given)
    _add_service(cloud, balancer, given)


def _delete_service(cloud: Cloud, balancer: Data, given: Data) -> None:
    port, services = given["listen_port"], balancer["services"]
    if all(each["listen_port"] != port for each in services):
        raise Refused(404, "not_found", "service not found")
    balancer["services"] = [each for each in services if each["listen_port"] != port]


def _add_target(cloud: Cloud, balancer: Data, given: Data) -> None:
    server = cloud.kinds["servers"][given["server"]["id"]]
    if any(each["server"]["id"] == server["id"] for each in balancer["targets"]):
        raise Refused(422, "target_already_defined")
    if given["use_private_ip"] and not balancer["private_net"]:
        raise Refused(422, "load_balancer_not_attached_to_network")
    if given["use_private_ip"] and not server["private_net"]:
        raise Refused(422, "server_not_attached_to_network")
    balancer["targets"].append(given)


def _remove_target(cloud: Cloud, balancer: Data, given: Data) -> None:
    id = given["server"]["id"]
    balancer["targets"] = [each for each in balancer["targets"] if each["server"]["id"] != id]


def _join(kind: str) -> _Acting:
    def act(cloud: Cloud, member: Data, given: Data) -> None:
        network, ip = cloud.kinds["networks"][given["network"]], given["ip"]
        others = [
            each["ip"]
            for some in ("servers", "load_balancers")
            for one in cloud.kinds[some].values()
            for each in one["private_net"]
        ]
        if member["private_net"]:
            raise Refused(422, f"{kind}_already_attached")
        if ip in others or ip_address(ip) not in IPv4Network(network["ip_range"]):
            raise Refused(422, "ip_not_available")
        place = {"network": network["id"], "ip": ip, "alias_ips": [], "mac_address": "86:00:00"}
        member["private_net"] = [place]

    return act


def _reverse(cloud: Cloud, balancer: Data, given: Data) -> None:
    for each in (balancer["public_net"]["ipv4"], balancer["public_net"]["ipv6"]):
        if each["ip"] == given["ip"]:
            each["dns_ptr"] = given["dns_ptr"]
            return
    raise Refused(404, "not_found", "ip not found")


def _type(cloud: Cloud, balancer: Data, given: Data) -> None:
    balancer["load_balancer_type"] = balancer_type(given["load_balancer_type"])


def _retry(cloud: Cloud, certificate: Data, given: Data) -> None:
    certificate["actions"].append(cloud.action("issue_certificate")["id"])


ACTIONS: dict[tuple[str, str], _Acting] = {
    ("servers", "attach_to_network"): _join("server"),
    ("load_balancers", "attach_to_network"): _join("load_balancer"),
    ("load_balancers", "add_service"): _add_service,
    ("load_balancers", "update_service"): _update_service,
    ("load_balancers", "delete_service"): _delete_service,
    ("load_balancers", "add_target"): _add_target,
    ("load_balancers", "remove_target"): _remove_target,
    ("load_balancers", "change_dns_ptr"): _reverse,
    ("load_balancers", "change_type"): _type,
    ("certificates", "retry"): _retry,
}


def let_go(cloud: Cloud, server: int) -> None:
    """Remove a deleted server from networks and Load Balancers."""
    for balancer in cloud.kinds["load_balancers"].values():
        _remove_target(cloud, balancer, {"server": {"id": server}})


def is_used(cloud: Cloud, certificate: int) -> bool:
    """Return whether a Load Balancer has a certificate."""
    return any(
        certificate in service.get("http", {}).get("certificates", [])
        for balancer in cloud.kinds["load_balancers"].values()
        for service in balancer["services"]
    )
