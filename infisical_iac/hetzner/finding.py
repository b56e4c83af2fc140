"""The production server, or the servers of a cluster, found by their labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from hcloud.servers import BoundServer

from infisical_iac.hetzner import api
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.have import Common, servers
from infisical_iac.hetzner.names import server_address
from infisical_iac.hetzner.private_changes import private_address


def production(name: str) -> dict[str, Any]:
    """Where the server is, as pyinfra's data have it, and where its data volume is.

    Args:
        name: which one, where there are several; the setting server_name if that is set.

    Raises HetznerError where there is none, or none that can be told from others.
    """
    client = api.client()
    server = only(servers(client), name)
    data = {"ssh_hostname": server_address(server)}
    with told("look at the server's volume"):
        for volume in server.volumes or []:
            if api.is_ours(volume.labels):
                data["data_volume"] = str(volume.linux_device)
    return data


def only(found: Sequence[BoundServer], name: str) -> BoundServer:
    """The one that is meant."""
    if not found:
        raise HetznerError(
            f"no server at Hetzner Cloud has the label {api.SELECTOR}: make one by `infisical-iac "
            "server create`, or set INFISICAL_HOST"
        )
    named = [each for each in found if each.name == name]
    if len(found) > 1 and not named:
        names = ", ".join(sorted(str(each.name) for each in found))
        raise HetznerError(
            f"{len(found)} servers at Hetzner Cloud have the label {api.SELECTOR} ({names}): set "
            "server_name to the one that is meant, or INFISICAL_HOST"
        )
    return named[0] if named else found[0]


def cluster(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The servers of a cluster, managers first: names, and where each is as pyinfra's data have it.

    Args:
        name: which one, where there are several; the setting server_name if that is set.

    Raises HetznerError where there is none, or none that can be told from others.
    """
    client = api.client()
    found = [each for each in servers(client) if api.CLUSTER in (each.labels or {})]
    names = sorted({(each.labels or {})[api.CLUSTER] for each in found})
    if not found or (name and name not in names):
        raise HetznerError(
            f"no server at Hetzner Cloud has the labels {api.SELECTOR} and {api.CLUSTER}"
            f"{f'={name}' if name else ''}: make a cluster by `infisical-iac server create`, or "
            "name its hosts in INFISICAL_HOSTS or the setting 'hosts'"
        )
    if not name and len(names) > 1:
        raise HetznerError(
            f"several clusters are at Hetzner Cloud ({', '.join(names)}): set server_name to the "
            "one that is meant"
        )
    family = name or names[0]
    with told("look at the network and the volumes of the cluster"):
        common = Common(client, network=client.networks.get_by_name(family))
        volumes = client.volumes.get_all(label_selector=api.SELECTOR)
    holders = ((each.server.id if each.server else None, each) for each in volumes)
    devices = {id: str(volume.linux_device) for id, volume in holders if id}
    mine = [each for each in found if (each.labels or {})[api.CLUSTER] == family]
    return [(str(each.name), _data(each, common, devices)) for each in sorted(mine, key=_place)]


def _data(server: BoundServer, common: Common, devices: Mapping[int, str]) -> dict[str, Any]:
    device, private = devices.get(int(server.id or 0)), private_address(server, common)
    return {
        "ssh_hostname": server_address(server),
        **({"cluster_address": private} if private else {}),
        **({"data_volume": device} if device else {}),
    }


def _place(server: BoundServer) -> tuple[bool, int, str]:
    """Where it comes in the inventory: the number at the end of its name is one of its parts."""
    number = str(server.name).rpartition("-")[2]
    is_manager = (server.labels or {}).get(api.ROLE) == "manager"
    return (not is_manager, int(number) if number.isdigit() else 1, str(server.name))
