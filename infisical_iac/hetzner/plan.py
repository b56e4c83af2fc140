"""Plan the changes of `infisical-iac server`, by walking all kinds of resources.

Each difference between the desired and the actual state is a change in the plan, with the function
that makes it. No existing resource is replaced.

Resources of earlier versions, whose label does not name their deployment, are adopted. Names and
attachments show to which deployment a resource belongs. A doubtful resource is not adopted:
`infisical-iac server list` still lists it. Kinds of resources that were added later have always
carried both labels, so they need no adoption.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from hcloud import APIException, Client

from infisical_iac.core.errors import Refused
from infisical_iac.core.own_repository import settings_file
from infisical_iac.hetzner import api, edge, parts, production, server
from infisical_iac.hetzner.desired import (
    DesiredDeployment,
    derive_desired,
    name_data_volume,
    read_settings,
)
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
    change,
)
from infisical_iac.hetzner.server import CloudServer, list_servers

# All kinds of resources, in the order in which they are made.
KINDS: Sequence[type[Resource]] = sorted(
    (*parts.KINDS, *server.KINDS, *edge.KINDS), key=lambda kind: kind.made
)


def observe(*, reads: bool = False, adopts: bool = False, timeout: float = 0) -> CloudDeployment:
    """Return the deployment, with its desired and its actual state.

    Args:
        reads: whether the command only reads; unadopted resources are no error then.
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
    """Return notes on differences that this run leaves, with remedies."""
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
        f"setting {name!r}: the server {desired.name} has {actual}, not {should}: `infisical-iac "
        f"server replace{which}` moves Infisical to a server that has it"
        for name, (actual, should) in settings.items()
        if actual and actual != should
    ]


def make_change(change: PlannedChange) -> None:
    """Make a change. Raises UserError with the name of the resource."""
    with api.translate_errors(f"change {change.what}"):
        change.make()


# The collections with resources of earlier versions; the servers of a deployment share some.
_SHARED = ("firewalls", "networks", "load_balancers")
_LISTED = (
    *("servers", "volumes", "primary_ips", *_SHARED),
    *("certificates", "placement_groups", "ssh_keys"),
)
_Adoption = tuple[tuple[str, Any], PlannedChange]


def find_adoptable(
    client: Client, desired: DesiredDeployment
) -> dict[tuple[str, Any], PlannedChange]:
    """Return the changes that adopt the deployment's resources with only the old label.

    Keys are collection and id. Raises UserError.
    """
    with api.translate_errors("list unadopted resources"):
        return dict(_Adopter(client, desired).adopt())


def describe_adoptable(found: Mapping[tuple[str, Any], PlannedChange]) -> str:
    """Return a sentence on the resources with only the old label, and the command for them."""
    first = next(iter(found.values())).what
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    carry, them = ("carry", "them") if more else ("carries", "it")
    return (
        f"the {first}{more} {carry} only the label {api.SELECTOR}, because an earlier version made "
        f"{them}: `{api.ADOPT}` shows what it would adopt for this deployment, and asks"
    )


def list_unadopted(client: Client) -> list[str]:
    """Return kind and name of all resources that no deployment has adopted. Raises UserError."""
    with api.translate_errors("list unadopted resources"):
        return [
            f"{api.title_of(collection)} {each.name}"
            for collection, found in _list_all(client).items()
            for each in found
            if api.is_unadopted(each.labels)
        ]


def _list_all(client: Client) -> dict[str, list[Any]]:
    return {each: getattr(client, each).get_all(label_selector=api.SELECTOR) for each in _LISTED}


class _Adopter:
    """The resources of all versions of this project at Hetzner, as seen from a deployment."""

    def __init__(self, client: Client, desired: DesiredDeployment) -> None:
        self._client = client
        self._desired = desired
        self._name = desired.name
        self._there = _list_all(client)
        self._others = frozenset(self._name_others())
        self._servers: dict[int, Any] = {}

    def adopt(self) -> Iterator[_Adoption]:
        """Yield the adoptions; servers come first, as they identify their parts."""
        yield from self._adopt_servers()
        yield from self._adopt_parts()
        yield from self._adopt_shared()
        yield from self._adopt_records()

    def _find_unadopted(self, collection: str) -> list[Any]:
        found = self._there[collection]
        return [
            each for each in found if api.assess(each.labels, self._name) is api.Standing.UNADOPTED
        ]

    def _label(
        self, collection: str, found: Any, *, name: str = "", replaces: bool = False
    ) -> _Adoption:
        """Return the adoption of a resource; a nameless one gets a `name` too."""
        has = found.labels or {}
        complete = api.labels(self._name) | ({api.REPLACES: self._name} if replaces else {})
        new = {key: text for key, text in complete.items() if has.get(key) != text}
        detail = ", ".join(f"{key}={text}" for key, text in new.items())
        what = f"{api.title_of(collection)} {found.name}"
        if collection == "rrsets":
            what, update = f"{what} {found.type}", found.update_rrset
        else:
            update = partial(found.update, name=name) if name else found.update
        make = partial(update, labels=has | new)
        return (collection, found.id), change("~", what, f"labelled {detail}", make)

    def _name_others(self) -> Iterator[str]:
        """Yield the names of other deployments, as far as resources show them."""
        for found in self._there.values():
            for each in found:
                has = each.labels or {}
                owner = has.get(api.DEPLOYMENT) or has.get(api.CLUSTER)
                if owner and owner != self._name:
                    yield owner
        named = [each for collection in _SHARED for each in self._find_unadopted(collection)]
        volumes = {str(each.name) for each in self._there["volumes"]}
        for each in self._find_unadopted("servers"):
            # A server that replaces another one has no resources of its own.
            if api.CLUSTER not in (each.labels or {}) and not (
                each.name == f"{self._name}-next"
                and name_data_volume(str(each.name)) not in volumes
            ):
                named.append(each)
        yield from (str(each.name) for each in named if each.name != self._name)

    def _adopt_servers(self) -> Iterator[_Adoption]:
        family = self._name
        for each in self._there["servers"]:
            standing, name = api.assess(each.labels, family), str(each.name)
            if standing is api.Standing.OWN:
                self._servers[each.id] = each
            if standing is not api.Standing.UNADOPTED or name in self._others:
                continue
            replaces = name == f"{family}-next"
            if name == family or replaces or api.CLUSTER in (each.labels or {}):
                self._servers[each.id] = each
                yield self._label("servers", each, replaces=replaces)
        for each in self._servers.values():
            if each.name == f"{family}-next":
                yield from self._adopt_temporary(each)

    def _adopt_temporary(self, server: Any) -> Iterator[_Adoption]:
        """Yield the unlabelled addresses of a server that replaces another one."""
        for each in self._client.primary_ips.get_all():
            if each.assignee_id == server.id and each.auto_delete and not each.labels:
                name = f"{server.name}-{each.type}"
                yield self._label("primary_ips", each, name=name, replaces=True)

    def _adopt_parts(self) -> Iterator[_Adoption]:
        """Yield volumes and addresses: on our servers, or unattached and named after one."""
        names = {each.name for each in self._desired.servers} | {self._name}
        names |= {str(each.name) for each in self._servers.values()}
        names -= self._others
        for collection in ("volumes", "primary_ips"):
            for each in self._find_unadopted(collection):
                is_address = collection == "primary_ips"
                on = each.assignee_id if is_address else each.server and each.server.id
                is_named = any(_is_named(str(each.name), name, each.id) for name in names)
                if on in self._servers if on else is_named:
                    of_next = [f"{self._name}-next-{version}" for version in ("ipv4", "ipv6")]
                    yield self._label(collection, each, replaces=each.name in of_next)

    def _adopt_shared(self) -> Iterator[_Adoption]:
        one, family = self._desired.first, self._name
        for collection in _SHARED:
            for each in self._find_unadopted(collection):
                if each.name == family:
                    yield self._label(collection, each)
        for each in self._find_unadopted("placement_groups"):
            # The group may also have other servers.
            is_ours = {*(each.servers or [])} <= self._servers.keys()
            if each.name in (one.group, family) and is_ours:
                yield self._label("placement_groups", each)
        texts = {key.text for key in one.keys if key.text}
        for each in self._find_unadopted("ssh_keys"):
            is_others = any(str(each.name).startswith(f"{other}-") for other in self._others)
            if " ".join(str(each.public_key).split()[:2]) in texts and not is_others:
                yield self._label("ssh_keys", each)
        for each in self._find_unadopted("certificates"):
            if each.name == self._desired.certificate_name:
                yield self._label("certificates", each)

    def _adopt_records(self) -> Iterator[_Adoption]:
        one = self._desired.first
        if not one.zone:
            return
        try:
            found = self._client.zones.get(one.zone).get_rrset_all(name=one.record)
        except APIException as error:
            if error.code != "not_found":
                raise
            return
        for each in found:
            if each.type in ("A", "AAAA") and api.is_unadopted(each.labels):
                yield self._label("rrsets", each)


def _is_named(name: str, server: str, id: int) -> bool:
    ends = ("data", f"data-{id}", "ipv4", "ipv6", "next-ipv4", "next-ipv6")
    return name in [f"{server}-{end}" for end in ends]
