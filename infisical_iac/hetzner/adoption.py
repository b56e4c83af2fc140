"""Take over what versions before this one made: its label does not say for which deployment.

Whose it is, is told by names and by what it is attached to. Where these leave a doubt, it is left
out: `infisical-iac server list` goes on showing it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hcloud import APIException, Client

from infisical_iac.hetzner.change import Change, change
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.fleet import Fleet, certificate_name
from infisical_iac.hetzner.ownership import (
    CLUSTER,
    DEPLOYMENT,
    KINDS,
    REPLACES,
    SELECTOR,
    Standing,
    assess,
    is_unadopted,
    labels,
)

_SHARED = ("firewalls", "networks", "load_balancers")
_LISTED = (*_SHARED, "servers", "volumes", "primary_ips", "placement_groups", "ssh_keys")


@dataclass(frozen=True)
class Adoptable:
    """A resource that carries the old label alone; `labels` are what it gets beside its own."""

    kind: str
    resource: Any
    labels: Mapping[str, str]
    name: str = ""

    @property
    def key(self) -> tuple[str, Any]:
        """Kind and id."""
        return self.kind, self.resource.id

    @property
    def what(self) -> str:
        """Kind and name, for people."""
        type = f" {self.resource.type}" if self.kind == "rrsets" else ""
        return f"{KINDS[self.kind]} {self.resource.name}{type}"

    def change(self) -> Change:
        """Return the change that adopts it."""
        has = self.resource.labels or {}
        new = {name: text for name, text in self.labels.items() if has.get(name) != text}
        detail = ", ".join(f"{name}={text}" for name, text in new.items())
        return change("~", self.what, f"labelled {detail}", lambda: self._adopt(has | new))

    def _adopt(self, wanted: dict[str, str]) -> None:
        if self.kind == "rrsets":
            self.resource.update_rrset(labels=wanted)
        elif self.name:
            self.resource.update(name=self.name, labels=wanted)
        else:
            self.resource.update(labels=wanted)


@dataclass
class _Project:
    """All that this project's versions made in a project at Hetzner, by kind."""

    want: Fleet
    there: Mapping[str, list[Any]]
    others: frozenset[str] = frozenset()
    servers: dict[int, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return self.want.first.family

    def unadopted(self, kind: str) -> list[Any]:
        found = self.there[kind]
        return [e for e in found if assess(e.labels, self.family) is Standing.UNADOPTED]


def look_for_adoptable(client: Client, want: Fleet) -> list[Adoptable]:
    """Return what carries the old label alone and is of the deployment. Raises HetznerError."""
    with told("look for what no deployment has adopted"):
        there = {
            kind: getattr(client, kind).get_all(label_selector=SELECTOR)
            for kind in (*_LISTED, "certificates")
        }
        project = _Project(want, there)
        project.others = frozenset(_name_others(project))
        found = [*_look_for_servers(project, client), *_look_for_parts(project)]
        return [*found, *_look_for_shared(project), *_look_for_records(client, want)]


def _name_others(project: _Project) -> Iterator[str]:
    """Yield the names of other deployments, as far as anything shows that there are such."""
    for found in project.there.values():
        for each in found:
            has = each.labels or {}
            if owner := has.get(DEPLOYMENT) or has.get(CLUSTER):
                yield from (owner for _ in "1" if owner != project.family)
    named = [each for kind in _SHARED for each in project.unadopted(kind)]
    volumes = {str(each.name) for each in project.there["volumes"]}
    for each in project.unadopted("servers"):
        # One that is about to take another's place has nothing of its own.
        if CLUSTER not in (each.labels or {}) and not (
            each.name == f"{project.family}-next" and f"{each.name}-data" not in volumes
        ):
            named.append(each)
    yield from (str(each.name) for each in named if each.name != project.family)


def _look_for_servers(project: _Project, client: Client) -> Iterator[Adoptable]:
    family = project.family
    for each in project.there["servers"]:
        standing, name = assess(each.labels, family), str(each.name)
        if standing is Standing.OWN:
            project.servers[each.id] = each
        if standing is not Standing.UNADOPTED or name in project.others:
            continue
        replacement = name == f"{family}-next"
        if name != family and not replacement and CLUSTER not in (each.labels or {}):
            continue
        project.servers[each.id] = each
        more = {REPLACES: family} if replacement else {}
        yield Adoptable("servers", each, labels(family) | more)
    for each in project.servers.values():
        if each.name == f"{family}-next":
            yield from _look_for_temporary(each, client, family)


def _look_for_temporary(server: Any, client: Client, family: str) -> Iterator[Adoptable]:
    """Yield the addresses that a server which replaces another was made with, without labels."""
    for each in client.primary_ips.get_all():
        if each.assignee_id == server.id and each.auto_delete and not each.labels:
            wanted = labels(family) | {REPLACES: family}
            yield Adoptable("primary_ips", each, wanted, f"{server.name}-{each.type}")


def _look_for_parts(project: _Project) -> Iterator[Adoptable]:
    """Yield volumes and addresses: on our servers, or on none and named after one of ours."""
    names = {node.name for node in project.want.nodes} | {project.family}
    names |= {str(each.name) for each in project.servers.values()}
    names -= project.others
    for kind in ("volumes", "primary_ips"):
        for each in project.unadopted(kind):
            on = each.assignee_id if kind == "primary_ips" else each.server and each.server.id
            is_named = any(_is_named(str(each.name), of, each.id) for of in names)
            if on in project.servers if on else is_named:
                of_next = each.name in [f"{project.family}-next-{v}" for v in ("ipv4", "ipv6")]
                more = {REPLACES: project.family} if of_next else {}
                yield Adoptable(kind, each, labels(project.family) | more)


def _is_named(name: str, server: str, id: int) -> bool:
    ends = ("data", f"data-{id}", "ipv4", "ipv6", "next-ipv4", "next-ipv6")
    return name in [f"{server}-{end}" for end in ends]


def _look_for_shared(project: _Project) -> Iterator[Adoptable]:
    one, family = project.want.first, project.family
    for kind in _SHARED:
        for each in project.unadopted(kind):
            if each.name == family:
                yield Adoptable(kind, each, labels(family))
    for each in project.unadopted("placement_groups"):
        # One may stand in a group with servers of others.
        if each.name in (one.group, family) and {*(each.servers or [])} <= project.servers.keys():
            yield Adoptable("placement_groups", each, labels(family))
    texts = {key.text for key in one.keys if key.text}
    for each in project.unadopted("ssh_keys"):
        is_others = any(str(each.name).startswith(f"{other}-") for other in project.others)
        if " ".join(str(each.public_key).split()[:2]) in texts and not is_others:
            yield Adoptable("ssh_keys", each, labels(family))
    for each in project.unadopted("certificates"):
        if each.name == certificate_name(project.want):
            yield Adoptable("certificates", each, labels(family))


def _look_for_records(client: Client, want: Fleet) -> Iterator[Adoptable]:
    one = want.first
    if not one.zone:
        return
    try:
        found = client.zones.get(one.zone).get_rrset_all(name=one.record)
    except APIException as error:
        if error.code != "not_found":
            raise
        return
    for each in found:
        if each.type in ("A", "AAAA") and is_unadopted(each.labels):
            yield Adoptable("rrsets", each, labels(one.family))
