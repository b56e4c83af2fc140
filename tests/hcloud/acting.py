"""Apply actions to resources, as the API documents them."""

from collections.abc import Callable

from tests.hcloud import balancing
from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import Data, Refused, rules

_Acting = Callable[[Cloud, Data, Data], None]


def _power(status: str) -> _Acting:
    def act(cloud: Cloud, server: Data, given: Data) -> None:
        server["status"] = status

    return act


def _enable_backup(cloud: Cloud, server: Data, given: Data) -> None:
    server["backup_window"] = "22-02"


def _protect(cloud: Cloud, resource: Data, given: Data) -> None:
    resource["protection"] = given


def _attach(cloud: Cloud, volume: Data, given: Data) -> None:
    if volume["server"]:
        raise Refused(422, "volume_already_attached")
    volume["server"] = given["server"]


def _detach(cloud: Cloud, volume: Data, given: Data) -> None:
    if not volume["server"]:
        raise Refused(422, "service_error", "volume not attached")
    volume["server"] = None


def _resize(cloud: Cloud, volume: Data, given: Data) -> None:
    volume["size"] = given["size"]


def _reverse(cloud: Cloud, address: Data, given: Data) -> None:
    address["dns_ptr"] = [{"ip": given["ip"], "dns_ptr": given["dns_ptr"]}]


def _assign(cloud: Cloud, address: Data, given: Data) -> None:
    server = cloud.kinds["servers"][given["assignee_id"]]
    others = cloud.kinds["primary_ips"].values()
    if address["assignee_id"]:
        raise Refused(409, "primary_ip_assigned")
    if server["status"] != "off":
        raise Refused(422, "server_not_stopped")
    if any(e["assignee_id"] == server["id"] and e["type"] == address["type"] for e in others):
        raise Refused(409, "server_has_ipv4")
    address["assignee_id"] = server["id"]


def _unassign(cloud: Cloud, address: Data, given: Data) -> None:
    if not address["assignee_id"]:
        raise Refused(422, "primary_ip_not_assigned")
    if cloud.kinds["servers"][address["assignee_id"]]["status"] != "off":
        raise Refused(422, "server_not_stopped")
    address["assignee_id"] = None


def _rules(cloud: Cloud, wall: Data, given: Data) -> None:
    wall["rules"] = rules(given["rules"])


def _apply(cloud: Cloud, wall: Data, given: Data) -> None:
    for each in given["apply_to"]:
        cloud.guard(wall, cloud.kinds["servers"][each["server"]["id"]])


def _remove(cloud: Cloud, wall: Data, given: Data) -> None:
    ids = [each["server"]["id"] for each in given["remove_from"]]
    wall["applied_to"] = [each for each in wall["applied_to"] if each["server"]["id"] not in ids]


ACTIONS: dict[tuple[str, str], _Acting] = {
    ("servers", "poweron"): _power("running"),
    ("servers", "poweroff"): _power("off"),
    ("servers", "shutdown"): _power("off"),
    ("servers", "enable_backup"): _enable_backup,
    ("volumes", "change_protection"): _protect,
    ("volumes", "attach"): _attach,
    ("volumes", "detach"): _detach,
    ("volumes", "resize"): _resize,
    ("primary_ips", "change_dns_ptr"): _reverse,
    ("primary_ips", "assign"): _assign,
    ("primary_ips", "unassign"): _unassign,
    ("firewalls", "set_rules"): _rules,
    ("firewalls", "apply_to_resources"): _apply,
    ("firewalls", "remove_from_resources"): _remove,
    **balancing.ACTIONS,
}


def delete(cloud: Cloud, kind: str, id: int) -> tuple[int, Data]:
    """Answer a DELETE of a resource."""
    found = cloud.kinds[kind][id]
    if (found.get("protection") or {}).get("delete"):
        raise Refused(423, "protected", "the resource is delete protected")
    if kind == "firewalls" and found["applied_to"]:
        raise Refused(422, "resource_in_use", "firewall is still in use")
    if found.get("assignee_id") or (kind == "volumes" and found["server"]):
        raise Refused(422, "must_be_unassigned", "it is assigned")
    if kind == "certificates" and balancing.is_used(cloud, id):
        raise Refused(422, "resource_in_use", "certificate is still in use")
    if kind == "servers":
        _let_go(cloud, id)
    del cloud.kinds[kind][id]
    if kind in ("servers", "load_balancers"):
        return 200, {"action": cloud.action(f"delete_{kind.removesuffix('s')}")}
    return 204, {}


def _let_go(cloud: Cloud, id: int) -> None:
    balancing.let_go(cloud, id)
    for volume in cloud.kinds["volumes"].values():
        volume["server"] = None if volume["server"] == id else volume["server"]
    for wall in cloud.kinds["firewalls"].values():
        wall["applied_to"] = [e for e in wall["applied_to"] if e["server"]["id"] != id]
    for group in cloud.kinds["placement_groups"].values():
        group["servers"] = [each for each in group["servers"] if each != id]
    for address in [*cloud.kinds["primary_ips"].values()]:
        if address["assignee_id"] == id:
            address["assignee_id"] = None
            if address["auto_delete"]:
                del cloud.kinds["primary_ips"][address["id"]]
