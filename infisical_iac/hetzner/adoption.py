"""Adopt resources of earlier versions, whose label does not name their deployment.

Names and attachments show to which deployment a resource belongs. A doubtful resource is not
adopted: `infisical-iac server list` still lists it. Kinds of resources that were added later
have always carried both labels, so this module does not handle them.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from hcloud import APIException, Client

from infisical_iac.hetzner import api
from infisical_iac.hetzner.desired import DesiredDeployment, name_data_volume
from infisical_iac.hetzner.resource import PlannedChange, change

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
        f"the {first}{more} {carry} only the label {api.SELECTOR}, as an earlier version "
        f"made {them}: `{api.ADOPT}` shows what it would adopt for this deployment, and asks"
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
