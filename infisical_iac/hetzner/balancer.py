"""What there is of a Load Balancer, compared with what is wanted. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hcloud.certificates import BoundCertificate
from hcloud.load_balancers import (
    BoundLoadBalancer,
    LoadBalancerService,
    LoadBalancerServiceHttp,
)
from hcloud.networks import BoundNetwork

HEALTHY = "healthy"
# Of https, what this project chooses; the rest is as Hetzner has it.
_CHOSEN = ("certificates", "redirect_http", "sticky_sessions")


def form(service: LoadBalancerService) -> dict[str, Any]:
    """What is compared of a service: what this project says of it, certificates by their ids."""
    payload = service.to_payload()
    http = {name: each for name, each in (payload.get("http") or {}).items() if name in _CHOSEN}
    return _told({**payload, "http": http})


def _told(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, which the API tells of and a request leaves out."""
    deep = {key: _told(each) if isinstance(each, dict) else each for key, each in payload.items()}
    return {key: each for key, each in deep.items() if each}


def with_certificate(
    service: LoadBalancerService, certificate: BoundCertificate | None
) -> LoadBalancerService:
    """A service as it is asked for; one for https ends it with `certificate`."""
    if service.http is None:
        return service
    return LoadBalancerService(
        protocol=service.protocol,
        listen_port=service.listen_port,
        destination_port=service.destination_port,
        proxyprotocol=service.proxyprotocol,
        health_check=service.health_check,
        http=LoadBalancerServiceHttp(
            redirect_http=service.http.redirect_http,
            sticky_sessions=service.http.sticky_sessions,
            certificates=[certificate] if certificate else [],
        ),
    )


def wrong(
    wanted: Sequence[LoadBalancerService], there: Sequence[LoadBalancerService]
) -> Iterator[tuple[str, LoadBalancerService]]:
    """What to do with which services: those that go first, for one may have another's port."""
    has = {each.listen_port: each for each in there}
    ports = {each.listen_port for each in wanted}
    yield from (("-", each) for each in there if each.listen_port not in ports)
    for each in wanted:
        if each.listen_port not in has:
            yield "+", each
        elif form(each) != form(has[each.listen_port]):
            yield "~", each


def targets(balancer: BoundLoadBalancer) -> dict[int, str]:
    """The servers that it sends to, by id, each with how it finds them: the worst of its checks."""
    found = {}
    for each in balancer.targets or []:
        if each.server is not None:
            told = [str(status.status) for status in each.health_status or []] or ["unknown"]
            found[int(each.server.id or 0)] = next((s for s in told if s != HEALTHY), HEALTHY)
    return found


def is_serving(balancer: BoundLoadBalancer | None) -> bool:
    """Whether it finds a node well, so that who asks it is answered."""
    return balancer is not None and HEALTHY in targets(balancer).values()


def addresses(balancer: BoundLoadBalancer) -> dict[str, str]:
    """Its public addresses, by `ipv4` and `ipv6`."""
    net = balancer.public_net
    both = {"ipv4": net and net.ipv4 and net.ipv4.ip, "ipv6": net and net.ipv6 and net.ipv6.ip}
    return {version: str(ip).partition("/")[0] for version, ip in both.items() if ip}


def private_address(balancer: BoundLoadBalancer | None, network: BoundNetwork | None) -> str:
    """Its address in a network, empty if it has none there."""
    found = (balancer.private_net or []) if balancer else []
    ours = (each for each in found if network and each.network.id == network.id)
    return next((str(each.ip) for each in ours), "")
