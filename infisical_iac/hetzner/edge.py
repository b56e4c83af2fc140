"""The public edge of a deployment: Load Balancer, certificate, and DNS records."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any

from hcloud import APIException
from hcloud.actions import BoundAction
from hcloud.certificates import BoundCertificate
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    BoundLoadBalancer,
    LoadBalancerAlgorithm,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations import Location
from hcloud.zones import BoundZone, BoundZoneRRSet, ZoneRecord

from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.hetzner import api
from infisical_iac.hetzner.desired import DesiredBalancer
from infisical_iac.hetzner.parts import PrimaryIps, PrivateNetwork, host_address, private_address
from infisical_iac.hetzner.resource import (
    Changes,
    CloudDeployment,
    CloudNode,
    PlannedChange,
    Price,
    SharedResource,
    change,
)

HEALTHY = "healthy"
# The fields of https that this project sets; the others keep Hetzner's defaults.
_CHOSEN = ("certificates", "redirect_http", "sticky_sessions")
_RECORD_TYPES = {"ipv4": "A", "ipv6": "AAAA"}
# Seconds; short, so that resolvers soon see a new address.
_TTL = 300


class ManagedCertificates(SharedResource):
    """The balancer's certificate, issued and renewed by Hetzner."""

    collection, made, deleted = "certificates", 80, 30

    def find(self) -> None:
        """Find all certificates of the deployment, also those from when it was a cluster."""
        issued = self.client.certificates.get_all(label_selector=api.SELECTOR)
        self.found: dict[str, BoundCertificate] = {
            str(each.name): each for each in issued if self.deployment.owns(self.collection, each)
        }

    @property
    def desired_one(self) -> BoundCertificate | None:
        """The desired certificate, if it exists."""
        return self.found.get(self.desired.certificate_name)

    def diff(self) -> Changes:
        if not (name := self.desired.certificate_name):
            return
        what, there = f"certificate {name}", self.desired_one
        if there is None:
            yield change("+", what, "", self._issue)
        elif there.status and there.status.issuance == "failed":
            error = there.status.error
            reason = error.message if error else "no reason given"
            detail = f"issuing it failed ({reason}) → requested again"
            yield change("~", what, detail, lambda: api.wait_for(there.retry_issuance()))
        elif there.status and there.status.issuance == "pending":
            running = partial(there.get_actions, status=["running"])
            yield change("~", what, "wait until it is issued", lambda: api.wait_for(*running()))

    def _issue(self) -> None:
        name, balancer = self.desired.certificate_name, self.desired.balancer
        assert balancer is not None
        made = self.client.certificates.create_managed(
            name, [balancer.host_name], labels=api.labels(self.desired.name)
        )
        api.wait_for(made.action)
        self.found[name] = made.certificate


class FormerCertificates(SharedResource):
    """Certificates for former names, which the balancer no longer uses."""

    made = 100

    def diff(self) -> Changes:
        if not self.desired.network:
            return
        for name, there in self.deployment[ManagedCertificates].found.items():
            if name != self.desired.certificate_name and api.is_own(
                there.labels, self.desired.name
            ):
                yield ManagedCertificates.removal(there)


class LoadBalancer(SharedResource):
    """The Load Balancer before a cluster."""

    collection, made, deleted, listed = "load_balancers", 90, 20, 3
    found: BoundLoadBalancer | None = None

    def find(self) -> None:
        if self.desired.first.role:
            self.found = self.deployment.find_by_name(self.collection, self.desired.name)

    def diff(self) -> Changes:
        """Yield the balancer, or its differences. Raises UserError for one in another location."""
        desired, there, location = self.desired.balancer, self.found, self.desired.first.location
        if desired is None:
            return
        price = self.deployment.prices.balancer(desired.type, location)
        if there is None:
            detail = f"{desired.type} in {location}, {price}"
            yield change("+", self._title, detail, self._create)
        else:
            if there.location and there.location.name != location:
                place = there.location.name
                raise UserError(
                    f"the {self._title} is in {place} and can't be moved: set server_location to "
                    f"{place}, or delete the {self._title} in the console",
                    code="error.location",
                )
            if there.load_balancer_type and there.load_balancer_type.name != desired.type:
                to = LoadBalancerType(name=desired.type)
                detail = f"{there.load_balancer_type.name} → {desired.type}, {price}"
                yield self._act(detail, lambda it: it.change_type(to))
            yield from self._diff_services(there)
        yield from self._diff_network(desired)
        yield from self._diff_targets()
        yield from self._diff_names(desired)

    def price(self) -> Iterable[Price]:
        if balancer := self.desired.balancer:
            yield self.deployment.prices.balancer(balancer.type, self.desired.first.location)

    @classmethod
    def describe(cls, found: Any, servers: Mapping[Any, str]) -> tuple[str, str, str]:
        health = [*target_health(found).values()]
        healthy = f"{health.count(HEALTHY)} of {len(health)} healthy"
        addresses = ", ".join(public_addresses(found).values())
        return str(found.load_balancer_type.name), healthy, addresses

    @property
    def addresses(self) -> dict[str, str]:
        """The balancer's public addresses, by `ipv4` and `ipv6`; none before it is made."""
        return public_addresses(self.found) if self.found else {}

    @property
    def _title(self) -> str:
        return f"Load Balancer {self.desired.name}"

    def _act(self, detail: str, act: Callable[[BoundLoadBalancer], BoundAction]) -> PlannedChange:
        """Return a change of the balancer; the balancer may be created by an earlier change."""

        def make() -> None:
            assert self.found is not None
            api.wait_for(act(self.found))

        return change("~", self._title, detail, make)

    def _create(self) -> None:
        assert self.desired.balancer is not None
        made = self.client.load_balancers.create(
            self.desired.name,
            LoadBalancerType(name=self.desired.balancer.type),
            algorithm=LoadBalancerAlgorithm(type="least_connections"),
            services=[*self._services().values()],
            labels=api.labels(self.desired.name),
            location=Location(name=self.desired.first.location),
        )
        api.wait_for(made.action)
        self.found = made.load_balancer

    def _services(self) -> dict[int | None, LoadBalancerService]:
        """Return the desired services by port; one for https has the certificate."""
        assert self.desired.balancer is not None
        certificate = self.deployment[ManagedCertificates].desired_one
        found = (_with_certificate(each, certificate) for each in self.desired.balancer.services)
        return {each.listen_port: each for each in found}

    def _diff_services(self, there: BoundLoadBalancer) -> Changes:
        desired, services = self._services(), there.services or []
        actual = {each.listen_port: each for each in services}
        # Deletions come first, as a new service may have the port of a former one.
        for each in services:
            if each.listen_port not in desired:
                former = LoadBalancerService(listen_port=each.listen_port)
                detail = f"port {each.listen_port}: removed"
                yield self._act(detail, lambda it, each=former: it.delete_service(each))  # type: ignore[misc]
        for port, each in desired.items():
            if port in actual and _form(each) == _form(actual[port]):
                continue
            detail = f"port {port}: {each.protocol} to {each.destination_port}"
            yield self._act(detail, partial(self._put_service, port, is_new=port not in actual))

    def _put_service(
        self, port: int | None, balancer: BoundLoadBalancer, *, is_new: bool
    ) -> BoundAction:
        # The service's certificate may have been issued since the plan.
        service = self._services()[port]
        return balancer.add_service(service) if is_new else balancer.update_service(service)

    def _diff_network(self, desired: DesiredBalancer) -> Changes:
        network = self.deployment[PrivateNetwork]
        there = private_address(self.found, network.found)
        if there and there != desired.private:
            raise UserError(
                f"the {self._title} has the address {there} in the private network, but the nodes "
                f"accept only {desired.private}: detach it from the network in the console, and "
                "run again"
            )

        def attach(balancer: BoundLoadBalancer) -> BoundAction:
            assert network.found is not None
            return balancer.attach_to_network(network.found, ip=desired.private)

        if not there:
            yield self._act(f"in the private network as {desired.private}", attach)

    def _diff_targets(self) -> Changes:
        def add(node: CloudNode, balancer: BoundLoadBalancer) -> BoundAction:
            target = LoadBalancerTarget(type="server", server=node.server, use_private_ip=True)
            return balancer.add_target(target)

        nodes, right = self.deployment.nodes, set()
        ids = {node.server.id for node in nodes if node.server}
        for each in (self.found.targets or []) if self.found else []:
            if each.server and each.server.id in ids and each.use_private_ip:
                right.add(each.server.id)
                continue
            name = f"server {each.server.id}" if each.server else f"a target of type {each.type}"
            yield self.stop_sending(each, name)
        for node in nodes:
            if node.server is None or node.server.id not in right:
                yield self._act(f"sends to {node.desired.name}", partial(add, node))

    def stop_sending(self, target: LoadBalancerTarget, name: str) -> PlannedChange:
        """Return the change that removes a target, so that it gets no more requests."""
        detail = f"no longer sends to {name}"
        return self._act(detail, lambda balancer: balancer.remove_target(target))

    def _diff_names(self, desired: DesiredBalancer) -> Changes:
        name, net = desired.host_name, self.found and self.found.public_net

        def point(version: str, balancer: BoundLoadBalancer) -> BoundAction:
            return balancer.change_dns_ptr(self.addresses[version], name)

        for version in ("ipv4", "ipv6"):
            there = net and (net.ipv4 if version == "ipv4" else net.ipv6)
            if not there or there.dns_ptr != name:
                detail = f"reverse DNS of its {version} address: {name}"
                yield self._act(detail, partial(point, version))


def _with_certificate(
    service: LoadBalancerService, certificate: BoundCertificate | None
) -> LoadBalancerService:
    if service.http is None:
        return service
    found = copy(service)
    found.http = copy(service.http)
    found.http.certificates = [certificate] if certificate else []
    return found


def _form(service: LoadBalancerService) -> dict[str, Any]:
    """Return the compared fields of a service, which this project sets; certificates as ids."""
    payload = service.to_payload()
    http = {name: each for name, each in (payload.get("http") or {}).items() if name in _CHOSEN}
    return _without_empty({**payload, "http": http})


def _without_empty(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Drop empty fields, which the API returns and a request omits."""
    deep = {
        key: _without_empty(each) if isinstance(each, dict) else each
        for key, each in payload.items()
    }
    return {key: each for key, each in deep.items() if each}


def target_health(balancer: BoundLoadBalancer) -> dict[int, str]:
    """Return the worst health check of each target server, by the server's id."""
    found = {}
    for each in balancer.targets or []:
        if each.server is not None:
            health = [str(status.status) for status in each.health_status or []] or ["unknown"]
            found[int(each.server.id or 0)] = next((s for s in health if s != HEALTHY), HEALTHY)
    return found


def public_addresses(balancer: BoundLoadBalancer) -> dict[str, str]:
    """Return a balancer's public addresses, by `ipv4` and `ipv6`."""
    net = balancer.public_net
    both = {"ipv4": net and net.ipv4 and net.ipv4.ip, "ipv6": net and net.ipv6 and net.ipv6.ip}
    return {version: str(ip).partition("/")[0] for version, ip in both.items() if ip}


class DnsRecords(SharedResource):
    """The address records in the zone: of the balancer if there is one, else of all servers.

    Existing records stay unchanged until the balancer finds a healthy node.
    """

    collection, made, deleted = "rrsets", 110, 10
    zone: BoundZone | None = None

    def find(self) -> None:
        """Find the zone and the records. Raises UserError for a missing zone."""
        self.found: dict[str, BoundZoneRRSet] = {}
        one = self.desired.first
        if not one.zone:
            return
        try:
            self.zone = self.client.zones.get(one.zone)
        except APIException as error:
            if error.code != "not_found":
                raise
            raise SettingsError(
                f"setting 'server_dns_zone': the project has no zone {one.zone}: make it in the "
                "console, or leave the setting empty and set the records at the domain's provider",
                code="settings.unknown_zone",
            ) from None
        for rrset in self.zone.get_rrset_all(name=one.record):
            if rrset.type in _RECORD_TYPES.values():
                name = f"{one.record} {rrset.type} in {one.zone}"
                self.deployment.check_owned(self.collection, rrset, name)
                self.found[str(rrset.type)] = rrset
            elif rrset.type == "CNAME":
                raise UserError(
                    f"{one.record} in {one.zone} is a CNAME, which excludes address records: "
                    "remove it first"
                )

    def diff(self) -> Changes:
        """Yield the records that point elsewhere, once their new target exists."""
        if self.zone is None:
            return
        one = self.desired.first
        for version in self.desired.versions:
            type = _RECORD_TYPES[version]
            values, there = self._values(version), self.found.get(type)
            actual = sorted(str(each.value) for each in (there.records or [])) if there else []
            if (values and values == actual) or (there and self.is_awaiting_balancer):
                continue
            what = f"record {one.record} {type} in {one.zone}"
            make = partial(self._put, version, type)
            yield change("~" if there else "+", what, ", ".join(values), make)

    @property
    def is_awaiting_balancer(self) -> bool:
        """True if records still point elsewhere, as the balancer has found no node healthy."""
        balancer = self.deployment[LoadBalancer]
        health = target_health(balancer.found) if balancer.found else {}
        if self.desired.balancer is None or HEALTHY in health.values():
            return False
        there = {str(each.value) for rrset in self.found.values() for each in rrset.records or []}
        return bool(there - {*balancer.addresses.values()})

    def _values(self, version: str) -> list[str]:
        if self.desired.balancer is not None:
            ip = self.deployment[LoadBalancer].addresses.get(version)
            return [ip] if ip else []
        found = (node[PrimaryIps].found.get(version) for node in self.deployment.nodes)
        return sorted(host_address(each) for each in found if each)

    def _put(self, version: str, type: Any) -> None:
        assert self.zone is not None
        records = [ZoneRecord(value=each) for each in self._values(version)]
        if rrset := self.found.get(type):
            api.wait_for(rrset.set_rrset_records(records))
            return
        made = self.zone.create_rrset(
            name=self.desired.first.record,
            type=type,
            ttl=_TTL,
            labels=api.labels(self.desired.name),
            records=records,
        )
        api.wait_for(made.action)

    @classmethod
    def removals(cls, deployment: CloudDeployment) -> Changes:
        zone, one = deployment[cls].zone, deployment.desired.first
        if zone is None:
            return
        with api.translate_errors("list the records of the deployment"):
            found = zone.get_rrset_all(label_selector=api.selector(one.deployment))
        for each in found:
            what = f"record {each.name} {each.type} in {one.zone}"
            yield change("-", what, "", lambda each=each: api.wait_for(each.delete_rrset().action))  # type: ignore[misc]


KINDS = (ManagedCertificates, FormerCertificates, LoadBalancer, DnsRecords)
