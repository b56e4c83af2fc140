"""Prove from the host that Infisical's outbound proxy opens tunnels."""

from typing import Any
from urllib.parse import urlsplit

from infisical_iac.agent.servers import TunnelAnswer, open_tunnels
from infisical_iac.core.agent import ask, look, question
from infisical_iac.core.change import Row, UpToDate
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import deployed_question
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import given, proof
from infisical_iac.instance.network import PROXY_PASSWORD, ProxyAddress
from infisical_iac.instance.settings import GivenSecret

# This name is in no DNS (RFC 2606): a request for it proves the login, and reaches nobody.
NOBODY = "infisical-iac.invalid:443"
# The answers of a web server to the method CONNECT, which it does not know.
_NO_PROXY = (400, 405, 501)


@planned_operation
def answering(settings: Settings) -> Commands:
    """Test that the proxy opens tunnels, unless the running Infisical already uses it.

    Raises RunFailed with the reason and the remedy; the containers stay as they are then.
    """
    if settings.instance.proxy is None:
        yield UpToDate("no proxy is set")
        return
    yield from decide(settings, settings.instance.proxy, look(deployed_question()))


def decide(settings: Settings, proxy: ProxyAddress, deployed: DeployedInfisical) -> Commands:
    """Decide whether to test the proxy, by the Infisical that is deployed."""
    direct = proxy.variables(settings.instance.no_proxy)["NO_PROXY"]
    desired = {"HTTPS_PROXY": proxy.url(), "NO_PROXY": direct}
    if proof.is_deployed(settings, deployed, desired, password_of(settings), by_tls=False):
        yield UpToDate(f"Infisical uses the proxy {proxy.place} already")
        return
    yield step(prove, settings)


def prove(settings: Settings, password: str = "") -> None:
    """Open tunnels through the proxy from the current host, and close them again.

    Args:
        password: a password to use instead of the host's or the one given to this run.

    Raises RunFailed with the reason and the remedy.
    """
    if why := find_trouble(settings, password):
        raise RunFailed(why, code="run.proxy")


def find_trouble(settings: Settings, password: str = "") -> str:
    """Return why Infisical can't use the proxy, with the remedy; empty if it can.

    Arguments as for `prove`. Raises CommandFailed if the host can't run the test.
    """
    proxy = settings.instance.proxy
    assert proxy is not None
    login = login_of(settings, password)
    assert login is not None
    found = ask(question(open_tunnels, proxy=login, targets=[NOBODY, *targets(settings)]))
    if found.step:
        return describe_failure(proxy, found.step, found.reason)
    return next(filter(None, (describe(proxy, each) for each in found.answers)), "")


def targets(settings: Settings) -> list[str]:
    """Return the hosts, with ports, that Infisical reaches through the proxy."""
    instance = settings.instance
    urls = [urlsplit(each) for _, each in instance.addresses if each.startswith("https://")]
    places = {each.hostname: f"{each.hostname}:{each.port or 443}" for each in urls}
    return [place for name, place in places.items() if name and not instance.is_direct(name)]


def password_of(settings: Settings) -> list[GivenSecret]:
    """Return the password of the proxy, as a list of one; empty without a login."""
    return [each for each in settings.instance.secrets if each.variable == PROXY_PASSWORD]


def login_of(settings: Settings, password: str = "") -> dict[str, Any] | None:
    """Return place, user and password of the proxy for the agent; None without one.

    Args:
        password: as for `prove`.
    """
    proxy = settings.instance.proxy
    if proxy is None:
        return None
    word = next((given.locate(each, password) for each in password_of(settings)), None)
    return {"place": proxy.place, "user": proxy.user, "password": word}


def row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the proxy; none if there is none."""
    proxy = settings.instance.proxy
    if proxy is None:
        return []
    return [proof.row("Proxy", lambda: find_trouble(settings), f"{proxy.place} answers")]


def describe_failure(proxy: ProxyAddress, step: str, reason: str) -> str:
    """Return a sentence on a step of `open_tunnels` that failed, with the remedy."""
    what = f"setting 'outbound_proxy': {proxy.place}"
    match step:
        case "password":
            return (
                f"the host has no password of the proxy {proxy.place} yet: give it to "
                "`infisical-iac apply`"
            )
        case "resolve":
            return (
                f"setting 'outbound_proxy': the host can't resolve {proxy.host}: correct the name"
            )
        case "answer":
            return f"{what} is no HTTP proxy ({reason}): write the port of the proxy"
    return (
        f"{what} can't be reached from the host ({reason}): check host and port, and whether the "
        "proxy lets this host in"
    )


def describe(proxy: ProxyAddress, answer: TunnelAnswer) -> str:
    """Return a sentence on an answer without a tunnel; empty for one with a tunnel."""
    what = f"setting 'outbound_proxy': {proxy.place}"
    reason = answer.reason.rstrip(".")
    shown = f"{answer.status} {reason}".rstrip()
    if answer.status == 407 and not proxy.user:
        return (
            f"{what} asks for a login ({shown}): write its user and an @ before the host, and give "
            f"{PROXY_PASSWORD} to the next run"
        )
    if answer.status == 407:
        return (
            f"{what} refuses the login of {proxy.user!r} ({shown}): check the user and "
            f"{PROXY_PASSWORD}, and run again; `infisical-iac keys rotate proxy` replaces a stored "
            "password"
        )
    if answer.status in _NO_PROXY:
        return (
            f"{what} answers as a web server, not as a proxy ({shown}): write the port of the proxy"
        )
    if answer.target != NOBODY and not 200 <= answer.status < 300:
        return (
            f"{what} makes no connection to {answer.target} ({shown}): allow it at the proxy, or "
            "add the host to no_proxy"
        )
    return ""
