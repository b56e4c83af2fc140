"""Find the servers at Hetzner Cloud by their labels, for pyinfra's inventory."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hcloud import Client
from hcloud.networks import BoundNetwork
from hcloud.servers import BoundServer

from infisical_iac.core.connection import HOST_DEPLOYMENT, HOST_REFUSES
from infisical_iac.core.errors import UserError
from infisical_iac.hetzner import api
from infisical_iac.hetzner.desired import name_data_volume
from infisical_iac.hetzner.parts import private_address, server_address
from infisical_iac.hetzner.server import list_servers

_Host = tuple[str, dict[str, Any]]


class DeploymentName(NamedTuple):
    """The deployment's name: the setting server_name; `is_set` is false for the default."""

    text: str
    is_set: bool = True


def find_server(name: DeploymentName) -> _Host:
    """Return the server's name, and pyinfra's data with its address and data volume.

    Raises UserError if this deployment has none.
    """
    client = api.connect()
    server = _choose(list_servers(client), name)
    devices = _list_devices(client, name, [server])
    return str(server.name), _data(server, None, devices, [server], name)


def find_cluster(name: DeploymentName) -> list[_Host]:
    """Return a cluster's servers, managers first: names, and pyinfra's data of each.

    Raises UserError if this deployment has none.
    """
    client = api.connect()
    found = [each for each in list_servers(client) if api.CLUSTER in (each.labels or {})]
    _refuse_doubt(found, name, variable="INFISICAL_HOSTS")
    ours = [each for each in found if _is_of(each, name)]
    ours = [each for each in ours if (each.labels or {})[api.CLUSTER] == name.text]
    if not ours:
        there = f", but there is {_join_names(found)}" if found else ""
        raise UserError(
            f"no server at Hetzner Cloud has the labels {api.SELECTOR} and "
            f"{api.CLUSTER}={name.text}{there}: make a cluster by `infisical-iac server create`, "
            "set server_name to the intended one, or name its hosts in INFISICAL_HOSTS or the "
            "setting 'hosts'",
            code="error.no_cluster",
        )
    with api.translate_errors("read the network of the cluster"):
        network = client.networks.get_by_name(name.text)
    if network and api.assess(network.labels, name.text) is not api.Standing.UNADOPTED:
        api.require_own(f"network {name.text}", network.labels, name.text)
    devices = _list_devices(client, name, ours)
    return [
        (str(each.name), _data(each, network, devices, ours, name))
        for each in sorted(ours, key=_rank)
    ]


def _choose(found: Sequence[BoundServer], name: DeploymentName) -> BoundServer:
    """Return the server of a deployment. Raises UserError with the others if it is missing."""
    if not found:
        raise UserError(
            f"no server at Hetzner Cloud has the label {api.SELECTOR}: make one by `infisical-iac "
            "server create`, or set INFISICAL_HOST",
            code="error.no_server",
        )
    _refuse_doubt(found, name, variable="INFISICAL_HOST")
    ours = [each for each in found if _is_of(each, name)]
    named = [each for each in ours if each.name == name.text]
    if named:
        return named[0]
    if any((each.labels or {}).get(api.REPLACES) == name.text for each in ours):
        raise UserError(
            f"a replacement of {name.text} has not ended: `infisical-iac server replace` ends it",
            code="error.unfinished",
        )
    raise UserError(
        f"no server {name.text} of the deployment {name.text} is at Hetzner Cloud, but there is "
        f"{_join_names(found)}: set server_name in group_data/hetzner.py to the intended one, make "
        "one by `infisical-iac server create`, or set INFISICAL_HOST",
        code="error.other_server",
    )


def _is_of(resource: Any, name: DeploymentName) -> bool:
    return api.assess(resource.labels, name.text) in (api.Standing.OWN, api.Standing.UNADOPTED)


def _refuse_doubt(found: Sequence[BoundServer], name: DeploymentName, *, variable: str) -> None:
    """Raise UserError if there are several deployments and no setting selects one."""
    if name.is_set:
        return
    has = {str(each.name): each.labels or {} for each in found}
    owners = sorted(
        {
            labels.get(api.DEPLOYMENT) or labels.get(api.CLUSTER) or own
            for own, labels in has.items()
            if api.REPLACES not in labels
        }
    )
    if len(owners) > 1:
        raise UserError(
            f"{len(owners)} deployments are at Hetzner Cloud ({', '.join(owners)}): set "
            f"server_name to the intended one, or set {variable}",
            code="error.several_deployments",
        )


def _join_names(found: Sequence[BoundServer]) -> str:
    return ", ".join(sorted(str(each.name) for each in found))


def _list_devices(
    client: Client, name: DeploymentName, servers: Sequence[BoundServer]
) -> dict[int, str]:
    """Return the device of the data volume on each server, by the server's id."""
    # A further volume has another name; so has one that was set aside, then attached manually.
    names = {int(each.id or 0): name_data_volume(str(each.name)) for each in servers}
    with api.translate_errors("list the volumes"):
        found = client.volumes.get_all(label_selector=api.SELECTOR)
    return {
        int(each.server.id or 0): str(each.linux_device)
        for each in found
        if each.server and _is_of(each, name) and names.get(int(each.server.id or 0)) == each.name
    }


def _data(
    server: BoundServer,
    network: BoundNetwork | None,
    devices: Mapping[int, str],
    all_servers: Sequence[BoundServer],
    name: DeploymentName,
) -> dict[str, Any]:
    """Return pyinfra's data of a server; one unadopted server refuses changes on all."""
    data: dict[str, Any] = {"ssh_hostname": server_address(server), HOST_DEPLOYMENT: name.text}
    if private := private_address(server, network):
        data["cluster_address"] = private
    if device := devices.get(int(server.id or 0)):
        data["data_volume"] = device
    standings = ((each, api.assess(each.labels, name.text)) for each in all_servers)
    for each in [each for each, standing in standings if standing is api.Standing.UNADOPTED][:1]:
        data[HOST_REFUSES] = (
            f"the server {each.name} at Hetzner Cloud carries the label {api.SELECTOR} but no "
            f"label of its deployment, because an earlier version made it: `{api.ADOPT}` adopts it"
        )
    return data


def _rank(server: BoundServer) -> tuple[bool, int, str]:
    """Return the sort key of a server in the inventory, with the number at the end of its name."""
    number = str(server.name).rpartition("-")[2]
    is_manager = (server.labels or {}).get(api.ROLE) == "manager"
    return (not is_manager, int(number) if number.isdigit() else 1, str(server.name))
