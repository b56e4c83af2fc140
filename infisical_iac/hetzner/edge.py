"""What differs of the Load Balancer before a cluster."""

from collections.abc import Callable, Mapping

from hcloud.actions import BoundAction
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    BoundLoadBalancer,
    LoadBalancerAlgorithm,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations import Location

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.balancer import addresses, private_address, with_certificate, wrong
from infisical_iac.hetzner.change import Change, Changes, change
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.fleet import Fleet, certificate_name
from infisical_iac.hetzner.ownership import labels
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.resource import Common, Have

# What is done with the balancer, which may not be there before.
_Act = Callable[[BoundLoadBalancer], BoundAction]


def balancer(want: Fleet, common: Common, haves: Mapping[str, Have], prices: Prices) -> Changes:
    """The balancer and what it listens to; `haves` are the nodes that it sends to, by name.

    Raises HetznerError for one at a place where it can't serve.
    """
    wanted, there, location = want.balancer, common.balancer, want.first.location
    if wanted is None:
        return
    price = prices.balancer(wanted.type, location)
    if there is None:
        detail = f"{wanted.type} in {location}, {price}"
        yield change("+", _title(want), detail, lambda: _make(want, common))
    else:
        if there.location and there.location.name != location:
            raise HetznerError(
                f"the {_title(want)} is in {there.location.name}, and can't leave it: set "
                f"server_location to {there.location.name}, or delete it in the console"
            )
        if there.load_balancer_type and there.load_balancer_type.name != wanted.type:
            to = LoadBalancerType(name=wanted.type)
            detail = f"{there.load_balancer_type.name} → {wanted.type}, {price}"
            yield _act(want, common, detail, lambda it: it.change_type(to))
        yield from _services(want, common, there)
    yield from _network(want, common)
    yield from _targets(want, common, haves)
    yield from _reverse(want, common)


def _make(want: Fleet, common: Common) -> None:
    assert want.balancer is not None
    made = common.client.load_balancers.create(
        want.first.family,
        LoadBalancerType(name=want.balancer.type),
        algorithm=LoadBalancerAlgorithm(type="least_connections"),
        services=[*_with_certificate(want, common)],
        labels=labels(want.first.family),
        location=Location(name=want.first.location),
    )
    ended(made.action)
    common.balancer = made.load_balancer


def _with_certificate(want: Fleet, common: Common) -> list[LoadBalancerService]:
    assert want.balancer is not None
    has = common.certificates.get(certificate_name(want))
    return [with_certificate(each, has) for each in want.balancer.services]


def _services(want: Fleet, common: Common, there: BoundLoadBalancer) -> Changes:
    wanted, has = _with_certificate(want, common), there.services or []
    for kind, service in wrong(wanted, has):
        what = f"port {service.listen_port}: {service.protocol} to {service.destination_port}"
        detail = what if kind != "-" else f"port {service.listen_port}: nothing any more"

        def act(
            it: BoundLoadBalancer, kind: str = kind, port: int | None = service.listen_port
        ) -> BoundAction:
            # Whose certificate may have been issued in between.
            if kind == "-":
                return it.delete_service(LoadBalancerService(listen_port=port))
            now = next(e for e in _with_certificate(want, common) if e.listen_port == port)
            return it.add_service(now) if kind == "+" else it.update_service(now)

        yield _act(want, common, detail, act)


def _network(want: Fleet, common: Common) -> Changes:
    assert want.balancer is not None
    wanted = want.balancer.private
    has = private_address(common.balancer, common.network)
    if has and has != wanted:
        raise HetznerError(
            f"the {_title(want)} has the address {has} in the private network, while the nodes let "
            f"in {wanted}: detach it from the network in the console, and run again"
        )
    if not has:

        def act(it: BoundLoadBalancer) -> BoundAction:
            assert common.network is not None
            return it.attach_to_network(common.network, ip=wanted)

        yield _act(want, common, f"in the private network as {wanted}", act)


def _targets(want: Fleet, common: Common, haves: Mapping[str, Have]) -> Changes:
    there = (common.balancer.targets or []) if common.balancer else []
    ids = {have.server.id for have in haves.values() if have.server}
    right = set()
    for each in there:
        if each.server and each.server.id in ids and each.use_private_ip:
            right.add(each.server.id)
            continue
        name = f"server {each.server.id}" if each.server else f"a target of type {each.type}"
        detail = f"sends nothing to {name} any more"
        yield _act(want, common, detail, lambda it, each=each: it.remove_target(each))  # type: ignore[misc]
    for name, have in haves.items():
        if have.server is None or have.server.id not in right:

            def act(it: BoundLoadBalancer, have: Have = have) -> BoundAction:
                target = LoadBalancerTarget(type="server", server=have.server, use_private_ip=True)
                return it.add_target(target)

            yield _act(want, common, f"sends to {name}", act)


def _reverse(want: Fleet, common: Common) -> Changes:
    assert want.balancer is not None
    name, net = want.balancer.host_name, common.balancer and common.balancer.public_net
    for version in ("ipv4", "ipv6"):
        there = net and (net.ipv4 if version == "ipv4" else net.ipv6)
        if there and there.dns_ptr == name:
            continue

        def act(it: BoundLoadBalancer, version: str = version) -> BoundAction:
            return it.change_dns_ptr(addresses(it)[version], name)

        yield _act(want, common, f"reverse DNS of its {version} address: {name}", act)


def _title(want: Fleet) -> str:
    return f"Load Balancer {want.first.family}"


def _act(want: Fleet, common: Common, detail: str, act: _Act) -> Change:
    def make() -> None:
        assert common.balancer is not None
        ended(act(common.balancer))

    return change("~", _title(want), detail, make)
