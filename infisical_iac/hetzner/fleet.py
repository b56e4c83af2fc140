"""All servers that should be there, and what stands before them. Pure."""

from dataclasses import dataclass, replace
from ipaddress import ip_network

from hcloud.load_balancers import (
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerServiceHttp,
)

from infisical_iac.hetzner.desired import Wanted, wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.settings import Settings

MANAGERS = 3
_STATUS = "/api/status"
# Addresses in the private network: the first is Hetzner's own gateway, the servers' come after it.
_FIRST = 10
# Seconds between the checks and for an answer, and how often a check is made again: a node that is
# down is sent nothing after 15 seconds.
_INTERVAL, _TIMEOUT, _RETRIES = 5, 3, 2


@dataclass(frozen=True)
class Balancer:
    """The Load Balancer before a cluster.

    Attributes:
        private: its address in the private network.
        services: what it listens to, and how it sees that a node is well.
        host_name: what people reach it by.
        terminates: whether https ends at it, with a certificate that is issued for it; else at
            Caddy on the nodes.
    """

    type: str
    private: str
    services: tuple[LoadBalancerService, ...]
    host_name: str
    terminates: bool


@dataclass(frozen=True)
class Fleet:
    """All servers, one or those of a cluster; `network` is the range of their private network."""

    nodes: tuple[Wanted, ...]
    network: str = ""
    balancer: Balancer | None = None

    @property
    def first(self) -> Wanted:
        """Of what they share, each has the same."""
        return self.nodes[0]

    @property
    def versions(self) -> tuple[str, ...]:
        """The kinds of addresses that people reach it by; a Load Balancer has both."""
        return ("ipv4", "ipv6") if self.balancer else self.first.versions


def fleet(settings: Settings, *, ssh_port: int = 22) -> Fleet:
    """What the settings want. Raises HetznerError for what can't be made so."""
    one = wanted(settings, ssh_port=ssh_port)
    if settings.topology == "single":
        return Fleet((one,))
    balancer = _balancer(settings, one) if settings.balancer_address else None
    shared = replace(
        one,
        group=one.group or one.family,
        # Behind a balancer, the name leads to that and back.
        host_name="" if balancer else one.host_name,
    )
    nodes = (node(shared, number, settings) for number in range(1, settings.servers + 1))
    return Fleet(tuple(nodes), settings.server_network, balancer)


def certificate_name(want: Fleet) -> str:
    """Return what the balancer's certificate is called, empty where none is wanted."""
    if want.balancer is None or not want.balancer.terminates:
        return ""
    return f"{want.first.family}-{want.balancer.host_name}"


def node(shared: Wanted, number: int, settings: Settings) -> Wanted:
    """A node of the cluster; the first has the name of a server on its own, which becomes it."""
    return replace(
        shared,
        name=shared.family if number == 1 else f"{shared.family}-{number}",
        role="manager" if number <= MANAGERS else "worker",
        private=str(ip_network(settings.server_network)[_FIRST + number]),
    )


def _balancer(settings: Settings, one: Wanted) -> Balancer:
    if not one.host_name:
        raise HetznerError(
            "setting 'site_url': a Load Balancer needs a name that leads to it: set one such as "
            "https://secrets.example.com"
        )
    terminates = settings.ingress == "none"
    if terminates and not one.zone:
        raise HetznerError(
            "setting 'server_dns_zone': with ingress \"none\" the Load Balancer has a certificate "
            "issued, which Hetzner does for zones at Hetzner DNS only: set it, or let Caddy have a "
            "certificate (ingress, tls_certificate)"
        )
    return Balancer(
        type=settings.balancer_type,
        private=settings.balancer_address,
        services=_terminating(settings, one) if terminates else _passing(one),
        host_name=one.host_name,
        terminates=terminates,
    )


def _passing(one: Wanted) -> tuple[LoadBalancerService, ...]:
    """To Caddy on the nodes, which is told the client's address by the PROXY protocol.

    Whether a node is well is asked without TLS: which name a check has in its handshake, Hetzner
    does not say. Caddy passes it on, so that it tells of Infisical too.
    """
    return tuple(
        LoadBalancerService(
            protocol="tcp",
            listen_port=port,
            destination_port=port,
            proxyprotocol=True,
            health_check=_check(80, one.host_name),
        )
        for port in (443, 80)
    )


def _terminating(settings: Settings, one: Wanted) -> tuple[LoadBalancerService, ...]:
    """To Infisical on the nodes, in clear; port 80 is the balancer's own, which leads to https."""
    return (
        LoadBalancerService(
            protocol="https",
            listen_port=443,
            destination_port=settings.http_port,
            proxyprotocol=False,
            http=LoadBalancerServiceHttp(redirect_http=True, sticky_sessions=False),
            health_check=_check(settings.http_port, one.host_name),
        ),
    )


def _check(port: int, name: str) -> LoadBalancerHealthCheck:
    return LoadBalancerHealthCheck(
        protocol="http",
        port=port,
        interval=_INTERVAL,
        timeout=_TIMEOUT,
        retries=_RETRIES,
        http=LoadBalancerHealthCheckHttp(
            domain=name, path=_STATUS, status_codes=["200"], tls=False
        ),
    )
