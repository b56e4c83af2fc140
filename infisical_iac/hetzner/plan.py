"""Plan the changes of `infisical-iac server`, by walking all kinds of resources.

Each difference between the desired and the actual state is a change of the plan, which can make
itself. No existing resource is replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from hcloud import Client

from infisical_iac.core.errors import Refused
from infisical_iac.core.own_repository import settings_file
from infisical_iac.hetzner import api, edge, parts, production, server
from infisical_iac.hetzner.adoption import describe_adoptable, find_adoptable
from infisical_iac.hetzner.desired import derive_desired, read_settings
from infisical_iac.hetzner.edge import DnsRecords
from infisical_iac.hetzner.parts import CloudVolume, PrimaryIps, host_address
from infisical_iac.hetzner.resource import (
    Changes,
    CloudDeployment,
    CloudNode,
    ListedResource,
    PlannedChange,
    Price,
    Prices,
    Resource,
    ServerResource,
)
from infisical_iac.hetzner.server import CloudServer, list_servers

# All kinds of resources, in the order in which they are made.
KINDS: Sequence[type[Resource]] = sorted(
    (*parts.KINDS, *server.KINDS, *edge.KINDS), key=lambda kind: kind.made
)


def observe(*, reads: bool = False, adopts: bool = False, timeout: float = 0) -> CloudDeployment:
    """Return the deployment, with its desired and its actual state.

    Args:
        reads: whether the command changes nothing; unadopted resources are not an error then.
        adopts: whether the command adopts resources.
        timeout: the most seconds to wait for a new server.

    Raises a UserError for wrong settings, or resources that can't be read.
    """
    file = settings_file()
    settings = read_settings(file)
    given = production.read_connection(file)
    desired = derive_desired(settings, ssh_port=int(given.get("ssh_port") or 22))
    client = api.connect(None if reads else desired.name, adopts=adopts)
    adoptable = find_adoptable(client, desired)
    with api.translate_errors("read the prices"):
        # The library has no method for prices.
        prices = Prices(client.request(method="GET", url="/pricing")["pricing"])
    ssh_key = given.get("ssh_key")
    deployment = CloudDeployment(client, desired, KINDS, prices, adoptable, ssh_key, timeout)
    names = {each.name for each in desired.servers}
    with api.translate_errors("read the servers"):
        deployment.surplus = [
            CloudNode(deployment, replace(desired.first, name=name, private=""))
            for name in _list_members(deployment)
            if name not in names
        ]
    if adoptable and not (reads or adopts):
        raise Refused(
            f"{describe_adoptable(adoptable)}; nothing was done", code="refused.unadopted"
        )
    return deployment


def _list_members(deployment: CloudDeployment) -> list[str]:
    """Return the names of all servers of the deployment, except those that replace others."""
    return sorted(
        str(each.name)
        for each in list_servers(deployment.client)
        if deployment.owns("servers", each) and api.REPLACES not in (each.labels or {})
    )


def plan_changes(deployment: CloudDeployment) -> list[PlannedChange]:
    """Return all changes, in the order in which they are made.

    Raises UserError for a difference that can't be changed, and during a node's replacement.
    """
    for node in deployment.nodes:
        if node[CloudServer].is_leaving:
            name = node.desired.name
            raise Refused(
                f"a replacement of {name} has not ended: `infisical-iac server replace {name}` "
                "ends it",
                code="refused.unfinished",
            )
    return [*_walk(deployment)]


def _walk(deployment: CloudDeployment) -> Changes:
    of_servers = groupby(KINDS, key=lambda kind: issubclass(kind, ServerResource))
    for is_of_server, kinds in of_servers:
        group = [*kinds]
        # All resources of one server come before those of the next one.
        for owner in deployment.nodes if is_of_server else [deployment]:
            for kind in group:
                yield from owner[kind].diff()


def plan_removal(deployment: CloudDeployment, *, with_data: bool) -> list[PlannedChange]:
    """Return the deletions of the deployment's resources; of its volumes only `with_data`.

    Raises UserError during a replacement.
    """
    name = deployment.desired.first.name
    with api.translate_errors("read whether a replacement is under way"):
        replacing = api.selector(deployment.desired.name, **{api.REPLACES: name})
        is_replaced = bool(deployment.client.servers.get_all(label_selector=replacing))
    if is_replaced:
        raise Refused(
            f"a replacement of {name} has not ended: `infisical-iac server replace` ends it, or "
            "goes back with --undo",
            code="refused.unfinished",
        )
    return [
        change
        for kind in sorted(KINDS, key=lambda kind: kind.deleted)
        if kind.deleted and (with_data or not kind.is_data)
        for change in kind.removals(deployment)
    ]


def list_volumes(deployment: CloudDeployment) -> list[str]:
    """Return the names of all volumes of the deployment, also those that were set aside."""
    found = (str(each.name) for each in deployment.list_owned(CloudVolume.collection))
    return sorted(found, key=lambda name: (len(name), name))


def list_resources(client: Client) -> list[ListedResource]:
    """Return the resources of all deployments, of the kinds that are listed. Raises UserError."""
    found: dict[type[Resource], list[Any]] = {}
    for kind in sorted(KINDS, key=lambda kind: kind.listed):
        if kind.listed:
            with api.translate_errors(f"list the {api.title_of(kind.collection)}s"):
                resources = getattr(client, kind.collection)
                found[kind] = resources.get_all(label_selector=api.SELECTOR)
    servers = {each.id: str(each.name) for each in found[CloudServer]}
    return [_row(kind, each, servers) for kind, listed in found.items() for each in listed]


def _row(kind: type[Resource], found: Any, servers: Mapping[Any, str]) -> ListedResource:
    what, status, where = kind.describe(found, servers)
    location = getattr(found, "location", None)
    place = str(location.name) if location else ""
    of = str((found.labels or {}).get(api.DEPLOYMENT, ""))
    return ListedResource(
        api.title_of(kind.collection), str(found.name), what, place, status, where, of
    )


def forget_host_keys(deployment: CloudDeployment) -> None:
    """Remove the host keys of all servers from known_hosts, after their deletion."""
    for node in deployment.all_nodes:
        for address in node[PrimaryIps].found.values():
            node[CloudServer].login_at(host_address(address)).forget()


def sum_prices(deployment: CloudDeployment) -> Price:
    """Return the price of all desired resources, including existing ones."""
    found = (price for each in deployment.resources for price in each.price())
    return deployment.prices.total(found)


def collect_notes(deployment: CloudDeployment) -> list[str]:
    """Return notes on differences that this run does not change, with remedies."""
    desired = deployment.desired
    notes = [note for node in deployment.nodes for note in _note_replacements(node)]
    if deployment.adoptable:
        notes.append(f"{describe_adoptable(deployment.adoptable)}; until then nothing is changed")
    for node in deployment.surplus:
        name = node.desired.name
        notes.append(
            f"the server {name} exceeds the setting 'servers', and stays: delete it in the console "
            "once the cluster can do without it"
            if desired.first.role
            else f"the server {name} belongs to this deployment too, which should only have "
            f"{desired.first.name}: it stays; delete it in the console if it is not needed"
        )
    if deployment[DnsRecords].is_awaiting_balancer:
        notes.append(
            f"the records of {desired.first.record} in {desired.first.zone} point elsewhere: they "
            "change once the balancer finds a node healthy, so run again after `apply`"
        )
    return notes


def _note_replacements(node: CloudNode) -> list[str]:
    there, desired = node.server, node.desired
    if there is None:
        return []
    which = f" {desired.name}" if desired.role else ""
    settings = {
        "server_type": (there.server_type and there.server_type.name, desired.type),
        "server_location": (there.location and there.location.name, desired.location),
    }
    return [
        f"setting {name!r}: the server {desired.name} has {actual}, not {should}: "
        f"`infisical-iac server replace{which}` moves to one that has"
        for name, (actual, should) in settings.items()
        if actual and actual != should
    ]


def make_change(change: PlannedChange) -> None:
    """Make a change. Raises UserError with the name of the resource."""
    with api.translate_errors(f"change {change.what}"):
        change.make()
