"""The production server, or the servers of a cluster, found by the labels of their deployment."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hcloud import Client
from hcloud.servers import BoundServer

from infisical_iac.hetzner import api
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.names import server_address
from infisical_iac.hetzner.ownership import (
    ADOPT,
    CLUSTER,
    DEPLOYMENT,
    REPLACES,
    ROLE,
    SELECTOR,
    Standing,
    assess,
    require,
)
from infisical_iac.hetzner.private_changes import private_address
from infisical_iac.hetzner.resource import Common, servers
from infisical_iac.production import HOST_DEPLOYMENT, HOST_REFUSES


class Name(NamedTuple):
    """The deployment's name: the setting server_name; `is_set` tells it from the default."""

    text: str
    is_set: bool = True


def production(name: Name) -> tuple[str, dict[str, Any]]:
    """Return the server's name, and where it and its data volume are, as pyinfra's data have it.

    Raises HetznerError where there is none of this deployment.
    """
    client = api.client()
    server = only(servers(client), name)
    device = _devices(client, name.text).get(int(server.id or 0))
    data = {"ssh_hostname": server_address(server), **_marks([server], name)}
    return str(server.name), {**data, **({"data_volume": device} if device else {})}


def only(found: Sequence[BoundServer], name: Name) -> BoundServer:
    """Return the server of a deployment. Raises HetznerError for none, saying what is there."""
    if not found:
        raise HetznerError(
            f"no server at Hetzner Cloud has the label {SELECTOR}: make one by `infisical-iac "
            "server create`, or set INFISICAL_HOST"
        )
    _refuse_doubt(found, name, variable="INFISICAL_HOST")
    mine = [each for each in found if _is_of(each, name)]
    named = [each for each in mine if each.name == name.text]
    if named:
        return named[0]
    if any((each.labels or {}).get(REPLACES) == name.text for each in mine):
        raise HetznerError(
            f"a replacement of {name.text} has not ended: `infisical-iac server replace` ends it"
        )
    raise HetznerError(
        f"no server {name.text} of the deployment {name.text} is at Hetzner Cloud, what is there "
        f"is {_told(found)}: set server_name in group_data/hetzner.py to the one that is meant, "
        "make one by `infisical-iac server create`, or set INFISICAL_HOST"
    )


def cluster(name: Name) -> list[tuple[str, dict[str, Any]]]:
    """Return a cluster's servers, managers first: names, and pyinfra's data of each.

    Raises HetznerError where there is none of this deployment.
    """
    client = api.client()
    found = [each for each in servers(client) if CLUSTER in (each.labels or {})]
    _refuse_doubt(found, name, variable="INFISICAL_HOSTS")
    mine = [
        each for each in found if _is_of(each, name) and (each.labels or {})[CLUSTER] == name.text
    ]
    if not mine:
        there = f", what is there is {_told(found)}" if found else ""
        raise HetznerError(
            f"no server at Hetzner Cloud has the labels {SELECTOR} and {CLUSTER}={name.text}"
            f"{there}: make a cluster by `infisical-iac server create`, set server_name to the one "
            "that is meant, or name its hosts in INFISICAL_HOSTS or the setting 'hosts'"
        )
    with told("look at the network of the cluster"):
        network = client.networks.get_by_name(name.text)
    if network and assess(network.labels, name.text) is not Standing.UNADOPTED:
        require(f"network {name.text}", network.labels, name.text)
    common, devices = Common(client, name.text, network=network), _devices(client, name.text)
    marks = _marks(mine, name)
    return [
        (str(each.name), {**_data(each, common, devices), **marks})
        for each in sorted(mine, key=_place)
    ]


def _is_of(server: BoundServer, name: Name) -> bool:
    return assess(server.labels, name.text) in (Standing.OWN, Standing.UNADOPTED)


def _refuse_doubt(found: Sequence[BoundServer], name: Name, *, variable: str) -> None:
    """Raise HetznerError where several deployments are there and no setting says which is meant."""
    if name.is_set:
        return
    has = {str(each.name): each.labels or {} for each in found}
    owners = sorted(
        {
            labels.get(DEPLOYMENT) or labels.get(CLUSTER) or own
            for own, labels in has.items()
            if REPLACES not in labels
        }
    )
    if len(owners) > 1:
        raise HetznerError(
            f"{len(owners)} deployments are at Hetzner Cloud ({', '.join(owners)}): set "
            f"server_name to the one that is meant, or {variable}"
        )


def _told(found: Sequence[BoundServer]) -> str:
    return ", ".join(sorted(str(each.name) for each in found))


def _marks(found: Sequence[BoundServer], name: Name) -> dict[str, str]:
    old = [each for each in found if assess(each.labels, name.text) is Standing.UNADOPTED]
    if not old:
        return {HOST_DEPLOYMENT: name.text}
    return {
        HOST_DEPLOYMENT: name.text,
        HOST_REFUSES: f"the server {old[0].name} at Hetzner Cloud carries the label {SELECTOR} "
        f"and none of its deployment, as an earlier version made it: `{ADOPT}` takes it over",
    }


def _devices(client: Client, deployment: str) -> dict[int, str]:
    """Return where the data volume is on each server, by the server's id."""
    with told("look at the volumes"):
        found = client.volumes.get_all(label_selector=SELECTOR)
    return {
        int(each.server.id or 0): str(each.linux_device)
        for each in found
        if each.server
        and assess(each.labels, deployment) in (Standing.OWN, Standing.UNADOPTED)
        # One that was set aside, and attached again by hand, is no server's data.
        and not str(each.name).endswith(f"-data-{each.id}")
    }


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
    is_manager = (server.labels or {}).get(ROLE) == "manager"
    return (not is_manager, int(number) if number.isdigit() else 1, str(server.name))
