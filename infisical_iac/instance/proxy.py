"""Ask the proxy that Infisical reaches others by, from the host."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import yaml
from pyinfra.context import host

from infisical_iac.core.change import Row, UpToDate
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.facts import Fact
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.instance import given
from infisical_iac.instance.network import PROXY_PASSWORD, ProxyAddress

# No DNS server knows this name (RFC 2606): asking for it proves the login, and reaches nobody.
NOBODY = "infisical-iac.invalid:443"
# The answers of a web server to the method CONNECT, which it does not know.
_NO_PROXY = (400, 405, 501)
_VARIABLES = ("HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class ProxyState:
    """The proxy of the deployed container.

    Attributes:
        variables: its variables, with a place holder for the password.
        has_password: whether the host has a password for it.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    has_password: bool = False


class Proxied(Fact[ProxyState]):
    """Read the ProxyState from the Compose file and the keys on the host."""

    def command(self) -> str:
        return script("proxy", "state")

    def process(self, output: list[str]) -> ProxyState:
        password, *text = output
        services = (yaml.safe_load("\n".join(text)) or {}).get("services", {})
        found = services.get("infisical", {})
        variables = {
            name: str(found["environment"][name])
            for name in _VARIABLES
            if name in found.get("environment", {})
        }
        # A cluster's container gets an address with a login from its entrypoint.
        for line in "\n".join(map(str, found.get("entrypoint", ()))).splitlines():
            name, _, value = line.strip().partition("=")
            if name == "HTTP_PROXY":
                variables["HTTPS_PROXY"] = value
        return ProxyState(variables, password == "password")


@dataclass(frozen=True)
class TunnelAnswer:
    """The answer of a proxy to a request for a tunnel to `target`, a host and port.

    Attributes:
        step: the step that failed: password, resolve, connect or answer; empty for an answer.
        status: the status of its answer.
        reason: the reason that the host or the proxy gives.
    """

    target: str
    step: str = ""
    status: int = 0
    reason: str = ""


@planned_operation
def answering(settings: Settings) -> Commands:
    """Ask the proxy for tunnels, unless the running Infisical has the same one.

    Raises RunFailed with the reason and the remedy; the containers stay as they are then.
    """
    proxy = settings.instance.proxy
    yield from decide(settings, host.get_fact(Proxied) if proxy else ProxyState())


def decide(settings: Settings, there: ProxyState) -> Commands:
    """Decide whether to ask the proxy, by the one that is deployed."""
    proxy = settings.instance.proxy
    if proxy is None:
        yield UpToDate("no proxy is set")
        return
    direct = proxy.variables(settings.instance.no_proxy)["NO_PROXY"]
    address = there.variables.get("HTTPS_PROXY", "")
    same = address in [proxy.url(f"{prefix}{PROXY_PASSWORD}{end}") for prefix, end in _HOLDERS]
    if (
        same
        and there.variables.get("NO_PROXY") == direct
        and (there.has_password or not proxy.user)
    ):
        yield UpToDate(f"Infisical reaches others by {proxy.place} already")
        return
    yield step(prove, settings)


# Around the password's variable, in compose.yaml and in stack.yaml.
_HOLDERS = (("${", ":-}"), ("$$", ""))


def prove(settings: Settings, password: str = "") -> None:
    """Ask the proxy for tunnels from the current host, which are closed again.

    Args:
        password: another password than the host's, or the one given to this run.

    Raises RunFailed with the reason and the remedy.
    """
    if why := find_trouble(settings, password):
        raise RunFailed(why, code="run.proxy")


def find_trouble(settings: Settings, password: str = "") -> str:
    """Return why Infisical can't use the proxy, with the remedy; empty if it can.

    Arguments as of `prove`. Raises CommandFailed if the host can't ask it.
    """
    proxy = settings.instance.proxy
    assert proxy is not None
    place = {"host": proxy.host, "port": proxy.port, "targets": [NOBODY, *targets(settings)]}
    asked = {**place, **(login_of(settings, password) or {})}
    said = run(script("proxy", "ask"), doing="ask the proxy", stdin=json.dumps(asked))
    answers = [TunnelAnswer(**each) for each in json.loads(said)]
    return next(filter(None, (describe(proxy, each) for each in answers)), "")


def targets(settings: Settings) -> list[str]:
    """Return the hosts, with ports, that the settings have Infisical reach by the proxy."""
    instance = settings.instance
    urls = [urlsplit(each) for _, each in instance.addresses if each.startswith("https://")]
    places = {each.hostname: f"{each.hostname}:{each.port or 443}" for each in urls}
    return [place for name, place in places.items() if name and not instance.is_direct(name)]


def login_of(settings: Settings, password: str = "") -> dict[str, str] | None:
    """Return place, user and password of the proxy for a script on the host; None without one.

    Args:
        password: as of `prove`. The script reads the host's if both are empty.
    """
    proxy = settings.instance.proxy
    if proxy is None:
        return None
    known = [each for each in settings.instance.secrets if each.variable == PROXY_PASSWORD]
    word = password or next(map(given.value_of, known), "")
    return {"place": proxy.place, "user": proxy.user, "password": word}


def row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the proxy; none if there is none."""
    proxy = settings.instance.proxy
    if proxy is None:
        return []
    try:
        trouble = find_trouble(settings)
    except UserError as error:
        trouble = str(error)
    return [Row("Proxy", trouble or f"{proxy.place} answers", ok=not trouble)]


def describe(proxy: ProxyAddress, answer: TunnelAnswer) -> str:
    """Return a sentence on an answer that lets Infisical not use the proxy; empty if it can."""
    what = f"setting 'outbound_proxy': {proxy.place}"
    reason = answer.reason.rstrip(".")
    match answer.step:
        case "password":
            return f"the host has no password of {proxy.place} yet: `infisical-iac apply` takes it"
        case "resolve":
            return (
                f"setting 'outbound_proxy': the host finds no address of {proxy.host}: correct it"
            )
        case "connect":
            return (
                f"{what} can't be reached from the host ({reason}): check host and port, and "
                "whether the proxy lets this host in"
            )
        case "answer":
            return f"{what} is no HTTP proxy ({reason}): write the port of one"
    shown = f"{answer.status} {reason}".rstrip()
    if answer.status == 407 and not proxy.user:
        return (
            f"{what} asks for a login ({shown}): write its user and an @ before the host, and give "
            f"{PROXY_PASSWORD} to the next run"
        )
    if answer.status == 407:
        return (
            f"{what} refuses the login of {proxy.user!r} ({shown}): check the user and "
            f"{PROXY_PASSWORD}, and run again; a kept password is replaced by `infisical-iac keys "
            "rotate proxy`"
        )
    if answer.status in _NO_PROXY:
        return f"{what} answers as a web server, not as a proxy ({shown}): write the port of one"
    if answer.target != NOBODY and not 200 <= answer.status < 300:
        return (
            f"{what} makes no connection to {answer.target} ({shown}): allow it at the proxy, or "
            "add the host to no_proxy"
        )
    return ""
