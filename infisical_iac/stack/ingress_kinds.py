"""Define the kinds of ingress: the values of the setting `ingress`."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.host.model import MachineState
from infisical_iac.stack import paths

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings

IngressName = Literal["caddy", "traefik", "none"]

# The URLs of Let's Encrypt's directories; "internal" is Caddy's own authority.
DIRECTORIES = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
INTERNAL = "internal"
# The port on the loopback where Caddy answers with the revision of its running Caddyfile.
REVISION_PORT = 2019
# Caddy's port on Traefik's network, and Infisical's address on the network that it shares with
# Caddy.
PORT = 8080
UPSTREAM = "infisical-behind-caddy:8080"
# All containers on the proxy's network can connect to Caddy, so it recognises requests of the proxy
# by this header. Its value is a key on the host, and Compose writes it into the label.
SECRET_HEADER = "X-Infisical-Edge"
EDGE_SECRET = "edge_secret"
_MIDDLEWARES = "traefik.http.middlewares.infisical"
_REQUEST_HEADERS = f"{_MIDDLEWARES}-headers.headers.customrequestheaders"
SECRET_LABEL = f"{_REQUEST_HEADERS}.{SECRET_HEADER}"
# The name of the entry point for http in Dokploy's configuration of Traefik.
_HTTP = "web"
# Domains that no public authority certifies (RFC 6761, RFC 6762, RFC 8375, reserved by ICANN).
_PRIVATE = re.compile(r"[^.]+|.*\.(internal|local|localhost|test|example|invalid|lan|home\.arpa)")
_TRAEFIK, _NETWORK = "dokploy-traefik", "dokploy-network"
# The rate limit of one address on the login paths: calls per minute, and the burst.
_LOGINS, _BURST = 60, 30
# Headers of the answers that Traefik itself gives.
_RESPONSE_HEADERS = {
    "contenttypenosniff": "true",
    "referrerpolicy": "no-referrer",
    "stsseconds": "31536000",
}


class IngressKind:
    """A kind of ingress. To add one, write a subclass, and add it to KINDS and to IngressName.

    Attributes:
        name: the value of the setting.
        runs_caddy: whether all requests from outside reach Infisical through a Caddy of the stack.
        is_public: whether clients connect to that Caddy directly: it holds the ports 80 and 443 of
            the host, has the certificate, and sees the clients' addresses.
        behind_proxy: the name, for comments and answers, of a proxy in Docker in front of that
            Caddy; empty if there is none. The proxy has the certificate and the lists of networks,
            connects to Caddy over a network of its own, and sends SECRET_HEADER.
        secret_label: the label of Caddy's container from which the proxy reads EDGE_SECRET.
        proxies: the networks from which the proxy connects to Infisical.
        more_keys: the names of keys that it needs, separated by blanks: EDGE_SECRET behind a proxy.
            agent/keys.py checks the form of each, and writes those whose names begin with `edge_`
            for Compose, in capitals.
        engine_owner: the manager of the Docker that it needs; empty for this project.
    """

    name: ClassVar[IngressName]
    runs_caddy: ClassVar[bool] = True
    is_public: ClassVar[bool] = False
    behind_proxy: ClassVar[str] = ""
    secret_label: ClassVar[str] = ""
    proxies: ClassVar[tuple[str, ...]] = ()
    more_keys: ClassVar[str] = ""
    engine_owner: ClassVar[str] = ""

    @classmethod
    def describe(cls, services: Mapping[str, Any]) -> str:
        """Return this kind's name if a Compose file was made for it, else an empty text.

        Recognise the file by a feature that no other kind has. Return another word for a file in
        which an earlier release arranged this kind differently.
        """
        raise NotImplementedError

    @classmethod
    def labels(cls, settings: "Settings") -> dict[str, str]:
        """Return the labels of Caddy's container, except `secret_label`."""
        return {}

    @classmethod
    def proxy_network(cls, settings: "Settings") -> str:
        """Return the Docker network of proxy and Caddy; empty without a proxy in front of it."""
        return ""

    @classmethod
    def refuse(cls, settings: "Settings", machine: MachineState) -> None:
        """Raise SettingsError, or Refused, if the ingress can't work on the host."""
        if not cls.is_public and settings.stack.tls_certificate:
            raise SettingsError(
                f"setting 'tls_certificate': with ingress {cls.name!r} your own proxy "
                "serves the certificate: give it to that proxy, and leave the setting empty",
                code="settings.unused_certificate",
            )

    @classmethod
    def unfit_for_cluster(cls, settings: "Settings") -> str:
        """Return a sentence on why this kind can't serve a cluster; empty if it can."""
        return ""

    @classmethod
    def _https(cls, settings: "Settings") -> SplitResult:
        """Return the parsed site_url. Raises SettingsError unless it is https at port 443."""
        url = urlsplit(settings.stack.site_url)
        if url.scheme != "https":
            raise SettingsError(
                f"setting 'ingress': {cls.name!r} serves https, but site_url is "
                f"{settings.stack.site_url}: set site_url to the host's name such as "
                "https://secrets.example.com, or ingress to 'none'",
                code="settings.no_https",
            )
        if url.port not in (None, 443):
            raise SettingsError(
                f"setting 'site_url': {cls.name!r} serves port 443, not that of "
                f"{settings.stack.site_url}: leave the port out",
                code="settings.https_port",
            )
        return url


class CaddyIngress(IngressKind):
    """The stack's Caddy, with a certificate from an authority, or the user's own."""

    name = "caddy"
    is_public = True
    # Caddy connects over the loopback, which Docker's bridges rewrite to their own address.
    proxies = ("127.0.0.0/8", "172.16.0.0/12")

    @classmethod
    def describe(cls, services: Mapping[str, Any]) -> str:
        is_ours = services.get("caddy", {}).get("network_mode") == "host"
        return cls.name if is_ours else ""

    @classmethod
    def refuse(cls, settings: "Settings", machine: MachineState) -> None:
        super().refuse(settings, machine)
        url = cls._https(settings)
        if settings.stack.http_port == REVISION_PORT:
            raise SettingsError(
                f"setting 'http_port': Caddy itself uses {REVISION_PORT}: choose another port",
                code="settings.port_in_use",
            )
        _refuse_authority(settings, url.hostname or "")
        for port, who in machine.web.items():
            if _is_dokploys(who, machine):
                # Dokploy's Docker is in a Swarm, and the firewall would close the Swarm's ports.
                closes = machine.swarm and settings.host.firewall == "on"
                too = " and firewall to 'off'" if closes else ""
                raise Refused(
                    f"Dokploy's Traefik holds port {port} of the host: set ingress to "
                    f"'traefik'{too} to serve Infisical through it",
                    code="refused.dokploy",
                    part="Ingress",
                )
            raise Refused(
                f"port {port} of the host is held by {who}: stop it, or set ingress to 'none' and "
                "let it pass requests on (`infisical-iac docs ingress`)",
                code="refused.port_held",
                part="Ingress",
            )

    @classmethod
    def unfit_for_cluster(cls, settings: "Settings") -> str:
        if settings.stack.tls_certificate or settings.stack.acme_ca == INTERNAL:
            return ""
        return (
            "setting 'acme_ca': to validate a name, an authority connects to any one of the "
            "cluster's hosts, but only the one that ordered the certificate can answer: set "
            f"tls_certificate and tls_key, or acme_ca to {INTERNAL!r}, or ingress to 'none' behind "
            "a load balancer that has the certificate"
        )


class TraefikIngress(IngressKind):
    """Dokploy's Traefik, which finds the stack's Caddy by its labels."""

    name = "traefik"
    behind_proxy = "Traefik"
    secret_label = SECRET_LABEL
    # Docker chooses the addresses of Caddy's network, and no other container is in it.
    proxies = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    more_keys = EDGE_SECRET
    engine_owner = "Dokploy's"

    @classmethod
    def describe(cls, services: Mapping[str, Any]) -> str:
        if "traefik.enable" in services.get("caddy", {}).get("labels", ()):
            return cls.name
        # In the files of earlier releases, also kept ones, Traefik connects to Infisical directly.
        is_former = "caddy" not in services and "labels" in services["infisical"]
        return f"{cls.name} without Caddy" if is_former else ""

    @classmethod
    def labels(cls, settings: "Settings") -> dict[str, str]:
        """Return the labels of Caddy's container, except `secret_label`.

        The names of all routers and middlewares begin with `infisical`.
        """
        return dict(
            (
                ("traefik.enable", "true"),
                ("traefik.docker.network", cls.proxy_network(settings)),
                ("traefik.http.services.infisical.loadbalancer.server.port", str(PORT)),
                *_middlewares(settings),
                *_routers(settings),
            )
        )

    @classmethod
    def proxy_network(cls, settings: "Settings") -> str:
        return settings.stack.traefik_network

    @classmethod
    def refuse(cls, settings: "Settings", machine: MachineState) -> None:
        super().refuse(settings, machine)
        cls._https(settings)
        if settings.stack.traefik_network not in machine.networks:
            raise Refused(
                f"setting 'traefik_network': Docker has no network "
                f"{settings.stack.traefik_network} on the host: install Dokploy first, or set "
                "ingress to 'caddy'",
                code="refused.no_proxy_network",
                part="Ingress",
            )

    @classmethod
    def unfit_for_cluster(cls, settings: "Settings") -> str:
        return (
            "setting 'ingress': 'traefik' is Dokploy's, whose Swarm is not this project's: set "
            "it to 'caddy' or 'none' for a cluster, or topology to 'single'"
        )


_BARE_SERVICES = {"infisical", "postgres", "redis"}


class NoIngress(IngressKind):
    """No ingress of this project: the user's own proxy, a tunnel, or a Load Balancer."""

    name = "none"
    runs_caddy = False

    @classmethod
    def describe(cls, services: Mapping[str, Any]) -> str:
        is_bare = not services.keys() - _BARE_SERVICES and "labels" not in services["infisical"]
        return cls.name if is_bare else ""

    @classmethod
    def refuse(cls, settings: "Settings", machine: MachineState) -> None:
        for setting in ("ui_networks", "machine_networks"):
            if settings.value_of(setting):
                raise SettingsError(
                    f"setting {setting!r}: with ingress 'none' only your own proxy can keep others "
                    "out: configure it there, and leave the setting empty",
                    code="settings.not_enforced",
                )
        super().refuse(settings, machine)
        # If site_url is https, its port is most likely held by the user's proxy.
        opened = {each.port for each in settings.host.allowed_ports if each.protocol == "tcp"}
        if (
            settings.host.firewall == "on"
            # In somebody else's Swarm the firewall can't be on; another check refuses that.
            and not (machine.swarm and settings.cluster.topology == "single")
            and settings.stack.site_url.startswith("https:")
            and 443 in machine.web.keys() - opened
        ):
            raise Refused(
                f"port 443 of the host is held by {machine.web[443]}, and with ingress 'none' the "
                'firewall closes it: open it by allowed_ports = ({"port": 80}, {"port": 443}), or '
                "for your own network only",
                code="refused.port_closed",
                part="Firewall",
            )


KINDS: Mapping[str, type[IngressKind]] = {
    each.name: each for each in (CaddyIngress, TraefikIngress, NoIngress)
}


def _refuse_authority(settings: "Settings", name: str) -> None:
    if settings.stack.tls_certificate or settings.stack.acme_ca not in DIRECTORIES:
        return
    if is_private(name):
        raise SettingsError(
            f"setting 'acme_ca': Let's Encrypt certifies no name such as {name}: set acme_ca to "
            f"{INTERNAL!r}, or tls_certificate and tls_key to a certificate of your own",
            code="settings.private_name",
        )


def is_private(name: str) -> bool:
    """Return whether no public authority certifies a name."""
    return bool(_PRIVATE.fullmatch(name)) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_dokploys(who: str, machine: MachineState) -> bool:
    """Return whether Dokploy's Traefik holds a port, as a container or a Swarm service."""
    swarms = who == "dockerd" and _NETWORK in machine.networks
    return who.startswith(f"container {_TRAEFIK}") or swarms


def _middlewares(settings: "Settings") -> Iterator[tuple[str, str]]:
    at = _MIDDLEWARES
    yield f"{at}-https.redirectscheme.scheme", "https"
    yield f"{at}-https.redirectscheme.permanent", "true"
    yield f"{at}-logins.ratelimit.average", str(_LOGINS)
    yield f"{at}-logins.ratelimit.period", "1m"
    yield f"{at}-logins.ratelimit.burst", str(_BURST)
    for name, value in _RESPONSE_HEADERS.items():
        yield f"{at}-headers.headers.{name}", value
    for name, networks in (
        ("people", settings.stack.ui_networks),
        ("machines", settings.stack.machine_networks),
        ("readers", _readers(settings)),
    ):
        if networks:
            yield f"{at}-{name}.ipallowlist.sourcerange", ",".join(dict.fromkeys(networks))


def _readers(settings: "Settings") -> tuple[str, ...]:
    """Return the networks that may read secrets: people and services use the same paths."""
    both = settings.stack.ui_networks and settings.stack.machine_networks
    return (*settings.stack.machine_networks, *settings.stack.ui_networks) if both else ()


def _routers(settings: "Settings") -> Iterator[tuple[str, str]]:
    host = f"Host(`{urlsplit(settings.stack.site_url).hostname}`)"
    at = "traefik.http.routers.infisical"
    yield f"{at}-http.rule", host
    yield f"{at}-http.entrypoints", _HTTP
    yield f"{at}-http.middlewares", "infisical-https"
    yield f"{at}-http.service", "infisical"
    chosen = list(
        _router_parts(bool(settings.stack.ui_networks), bool(settings.stack.machine_networks))
    )
    for place, (name, condition, middlewares) in enumerate(chosen):
        router = f"{at}-{name}"
        used = (f"infisical-{each}" for each in ("headers", *middlewares))
        yield f"{router}.rule", f"{host} && {condition}" if condition else host
        yield f"{router}.priority", str(1000 - place)
        yield f"{router}.entrypoints", settings.stack.traefik_entrypoint
        yield f"{router}.tls.certresolver", settings.stack.traefik_resolver
        yield f"{router}.middlewares", ",".join(used)
        yield f"{router}.service", "infisical"


def _router_parts(ui: bool, machines: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, condition and own middlewares of each router, by descending priority."""
    reads = f"(Method(`GET`) || Method(`HEAD`)) && PathRegexp(`{paths.SECRETS}`)"
    has_token = f"HeaderRegexp(`Authorization`, `{paths.identity_token()}`)"
    people = ("people",) if ui else ()
    yield "status", f"PathRegexp(`{paths.STATUS}`)", ()
    logs_in = ("machines", "logins") if machines else ("logins",)
    yield "identities", f"PathRegexp(`{paths.IDENTITIES}`)", logs_in
    if machines:
        yield "services", f"{has_token} && {reads}", ("machines",)
        yield "tokens", has_token, ("machines", *people)
    if ui:
        yield "reads", reads, ("readers",) if machines else ()
    yield "logins", f"PathRegexp(`{paths.LOGINS}`)", (*people, "logins")
    yield "all", "", people
