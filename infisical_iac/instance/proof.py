"""Prove from the host that Infisical can use a server, before it uses it.

The servers are its mail server, its outbound proxy, and the providers of logins.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from infisical_iac.agent.servers import TunnelAnswer, log_in_to_mail, open_tunnels, try_client
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, inspect, question
from infisical_iac.core.change import Row, UpToDate
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import deployed_question
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import authorities, given
from infisical_iac.instance.login import Provider, callback_address, client_secret_of
from infisical_iac.instance.network import PROXY_PASSWORD, ProxyAddress
from infisical_iac.instance.settings import MAIL_PASSWORD, VARIABLES, GivenSecret, Smtp


def is_deployed(
    settings: Settings,
    deployed: DeployedInfisical,
    variables: Mapping[str, str | None],
    secrets: Iterable[GivenSecret],
    *,
    by_tls: bool = True,
) -> bool:
    """Return whether the deployed Infisical uses a server with the configuration of the settings.

    Args:
        variables: its desired variables for the server; None for one that it must not have.
        secrets: its secrets for the server. A new one is proven before the host keeps it.
        by_tls: whether it checks the server's certificate, so that changed authorities count too.
    """
    return (
        all(deployed.variables.get(name) == each for name, each in variables.items())
        and {each.key for each in secrets} <= deployed.given
        and not (by_tls and authorities.has_changed(settings, deployed.authorities))
    )


def row(name: str, find_trouble: Callable[[], str], text: str) -> Row:
    """Return the row of `status` on a server, with `text` for a healthy one."""
    try:
        trouble = find_trouble()
    except UserError as error:
        trouble = str(error)
    return Row(name, trouble or text, ok=not trouble)


@planned_operation
def mail_login(settings: Settings) -> Commands:
    """Prove the login at the mail server, unless the running Infisical already uses it.

    Nothing is sent. Raises RunFailed with the server's reason and the remedy; the containers stay
    as they are then.
    """
    if settings.instance.smtp is None:
        yield UpToDate("no mail server is set")
        return
    yield from decide_mail(settings, settings.instance.smtp, inspect(deployed_question()))


def decide_mail(settings: Settings, smtp: Smtp, deployed: DeployedInfisical) -> Commands:
    """Decide whether to prove the login, by the Infisical that is deployed."""
    desired = dict.fromkeys(VARIABLES) | smtp.variables
    by_tls = smtp.tls != "none"
    if is_deployed(settings, deployed, desired, mail_password(settings), by_tls=by_tls):
        yield UpToDate(f"Infisical sends mail by {smtp.host} already")
        return
    yield step(prove_mail, settings)


def prove_mail(settings: Settings, to: str = "", password: str = "") -> None:
    """Log in to the mail server from the current host; with `to`, send a mail there.

    Args:
        to: the recipient of a test mail. If empty, none is sent; the test only checks that the
            server accepts the administrator as a recipient.
        password: a password to use instead of the host's or the one given to this run.

    Raises RunFailed with the server's reason and the remedy.
    """
    if why := try_mail_login(settings, to, password):
        raise RunFailed(why, code="run.mail")


def try_mail_login(settings: Settings, to: str = "", password: str = "") -> str:
    """Return why the mail server can't be used, with the remedy; empty if it can.

    Arguments as for `prove_mail`. Raises CommandFailed if the host can't run the test.
    """
    smtp = settings.instance.smtp
    assert smtp is not None
    admin = settings.workspace.admin_email
    asked = question(
        log_in_to_mail,
        host=smtp.host,
        port=smtp.port,
        tls=smtp.tls,
        user=smtp.user,
        password=next((given.locate(each, password) for each in mail_password(settings)), None),
        sender=smtp.from_address,
        name=smtp.from_name,
        to=to or admin,
        send=bool(to),
        authorities=authorities.read_authorities(settings),
    )
    found = ask(asked)
    recipient = to or f"{admin} of admin_email"
    return describe_mail_failure(smtp, found.step, found.reason, recipient) if found.step else ""


def mail_row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the mail server; none if there is none."""
    smtp = settings.instance.smtp
    if smtp is None:
        return []
    text = f"{smtp.host}:{smtp.port} accepts the login, as {smtp.from_address}"
    return [row("Mail", lambda: try_mail_login(settings), text)]


def mail_password(settings: Settings) -> list[GivenSecret]:
    """Return the password of the mail server, as a list of one; empty without a login."""
    return [each for each in settings.instance.secrets if each.variable == MAIL_PASSWORD]


def describe_mail_failure(smtp: Smtp, step: str, reason: str, to: str = "") -> str:
    """Return a sentence on a step of `log_in_to_mail` that failed, with the remedy."""
    place = f"{smtp.host}:{smtp.port}"
    match step:
        case "password":
            return (
                f"the host has no password of the mail server {place} yet: give it to "
                "`infisical-iac apply`"
            )
        case "public":
            return (
                f"setting 'smtp': {smtp.host} has a public address ({reason}), where tls 'none' "
                "would send mails and the password in clear text: write 'starttls' or 'tls'"
            )
        case "resolve":
            return f"setting 'smtp': the host can't resolve {smtp.host}: correct the name"
        case "tls":
            other = "'starttls' with port 587" if smtp.tls == "tls" else "'tls' with port 465"
            return f"setting 'smtp': {place} does not speak TLS there ({reason}): try {other}"
        case "starttls":
            return (
                f"setting 'smtp': {place} offers no STARTTLS, so the password would be sent in "
                "clear text: try 'tls' with port 465, or another server"
            )
        case "certificate":
            return (
                f"setting 'smtp': the certificate of {place} is not accepted ({reason}): write the "
                "name that is in the certificate, or give its authority as extra_ca"
            )
        case "auth":
            return (
                f"setting 'smtp': {place} refuses the login of {smtp.user!r} ({reason}): check the "
                "user and SMTP_PASSWORD; `infisical-iac keys rotate smtp` replaces a stored one"
            )
        case "sender":
            return (
                f"setting 'smtp': {place} refuses {smtp.from_address} as the sender ({reason}): "
                "write a from_address that this login may send from"
            )
        case "recipient":
            return (
                f"{place} refuses the recipient {to} ({reason}): check the address, or allow this "
                "login to send to other domains (relay)"
            )
        case "send":
            return f"{place} refuses the mail ({reason}): ask the operator of that server"
    return (
        f"setting 'smtp': the host can't reach {place} ({reason}): check host and port, and "
        "whether the provider of the host blocks outgoing mail"
    )


# This name is in no DNS (RFC 2606): a request for it proves the login, and reaches nobody.
NOBODY = "infisical-iac.invalid:443"
# The answers of a web server to the method CONNECT, which it does not know.
_NO_PROXY = (400, 405, 501)


@planned_operation
def proxy_tunnels(settings: Settings) -> Commands:
    """Test that the proxy opens tunnels, unless the running Infisical already uses it.

    Raises RunFailed with the reason and the remedy; the containers stay as they are then.
    """
    if settings.instance.proxy is None:
        yield UpToDate("no proxy is set")
        return
    yield from decide_proxy(settings, settings.instance.proxy, inspect(deployed_question()))


def decide_proxy(settings: Settings, proxy: ProxyAddress, deployed: DeployedInfisical) -> Commands:
    """Decide whether to test the proxy, by the Infisical that is deployed."""
    direct = proxy.variables(settings.instance.no_proxy)["NO_PROXY"]
    desired = {"HTTPS_PROXY": proxy.url(), "NO_PROXY": direct}
    if is_deployed(settings, deployed, desired, proxy_password(settings), by_tls=False):
        yield UpToDate(f"Infisical uses the proxy {proxy.place} already")
        return
    yield step(prove_proxy, settings)


def prove_proxy(settings: Settings, password: str = "") -> None:
    """Open tunnels through the proxy from the current host, and close them again.

    Args:
        password: a password to use instead of the host's or the one given to this run.

    Raises RunFailed with the reason and the remedy.
    """
    if why := find_proxy_trouble(settings, password):
        raise RunFailed(why, code="run.proxy")


def find_proxy_trouble(settings: Settings, password: str = "") -> str:
    """Return why Infisical can't use the proxy, with the remedy; empty if it can.

    Arguments as for `prove_proxy`. Raises CommandFailed if the host can't run the test.
    """
    proxy = settings.instance.proxy
    assert proxy is not None
    login = proxy_login(settings, password)
    assert login is not None
    found = ask(question(open_tunnels, proxy=login, targets=[NOBODY, *list_proxied(settings)]))
    if found.step:
        return describe_proxy_failure(proxy, found.step, found.reason)
    return next(filter(None, (describe_tunnel(proxy, each) for each in found.answers)), "")


def list_proxied(settings: Settings) -> list[str]:
    """Return the hosts, with ports, that Infisical reaches through the proxy."""
    instance = settings.instance
    urls = [urlsplit(each) for _, each in instance.addresses if each.startswith("https://")]
    places = {each.hostname: f"{each.hostname}:{each.port or 443}" for each in urls}
    return [place for name, place in places.items() if name and not instance.is_direct(name)]


def proxy_password(settings: Settings) -> list[GivenSecret]:
    """Return the password of the proxy, as a list of one; empty without a login."""
    return [each for each in settings.instance.secrets if each.variable == PROXY_PASSWORD]


def proxy_login(settings: Settings, password: str = "") -> dict[str, Any] | None:
    """Return place, user and password of the proxy for the agent; None without one.

    Args:
        password: as for `prove_proxy`.
    """
    proxy = settings.instance.proxy
    if proxy is None:
        return None
    word = next((given.locate(each, password) for each in proxy_password(settings)), None)
    return {"place": proxy.place, "user": proxy.user, "password": word}


def proxy_row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the proxy; none if there is none."""
    proxy = settings.instance.proxy
    if proxy is None:
        return []
    return [row("Proxy", lambda: find_proxy_trouble(settings), f"{proxy.place} answers")]


def describe_proxy_failure(proxy: ProxyAddress, step: str, reason: str) -> str:
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


def describe_tunnel(proxy: ProxyAddress, answer: TunnelAnswer) -> str:
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


@planned_operation
def login_clients(settings: Settings) -> Commands:
    """Prove new or changed clients of logins at their providers, before a container is touched.

    Logs nobody in, and stores nothing there. Notes a provider that the host can't reach.
    Raises RunFailed for a client or secret that the provider refuses.
    """
    yield from decide_logins(settings, inspect(deployed_question()))


def decide_logins(settings: Settings, deployed: DeployedInfisical) -> Commands:
    """Decide which clients to prove, by the Infisical that is deployed."""
    login, new = settings.instance.login, []
    for each in login.clients:
        desired = {**login.variables_of(each), "SITE_URL": settings.stack.site_url}
        if not is_deployed(settings, deployed, desired, [_secret_of(settings, each)]):
            new.append(each)
    if not new:
        yield UpToDate("the deployed clients of logins are the desired ones")
    for each in new:
        yield step(prove_login_or_note, settings, each)


def _secret_of(settings: Settings, provider: Provider) -> GivenSecret:
    variable = client_secret_of(provider)
    (own,) = [each for each in settings.instance.secrets if each.variable == variable]
    return own


def prove_login_or_note(settings: Settings, provider: Provider) -> None:
    """Prove a client as `prove_login` does; report a note if the provider can't be reached."""
    if note := prove_login(settings, provider):
        journal.current().operator_notes.append(note)


def prove_login(settings: Settings, provider: Provider, secret: str = "") -> str:
    """Prove a client at its provider, from the current host.

    Returns a sentence if the host could not reach the provider; empty if the client is proven.

    Args:
        secret: a client secret to use instead of the host's or the one given to this run.

    Raises RunFailed with the remedy for a client that the provider refuses.
    """
    login = settings.instance.login
    url = login.provider(provider).token
    is_direct = settings.instance.is_direct(urlsplit(url).hostname or "")
    asked = question(
        try_client,
        url=url,
        client=login.clients[provider].client_id,
        secret=given.locate(_secret_of(settings, provider), secret),
        callback=callback_address(provider, settings.stack.site_url),
        authorities=authorities.read_authorities(settings),
        proxy=None if is_direct else proxy_login(settings),
    )
    found = ask(asked)
    if found.step == "unreachable":
        return (
            f"The client of {login.place_of(provider)} was not checked: {url} did not answer the "
            f"host ({found.reason})."
        )
    if found.step:
        why = explain_login_failure(settings, provider, found.step, found.reason)
        raise RunFailed(why, code="run.login")
    return ""


def explain_login_failure(settings: Settings, provider: Provider, step: str, reason: str) -> str:
    """Return a sentence on a client that could not be proven, with the remedy."""
    place = settings.instance.login.place_of(provider)
    match step:
        case "password":
            kept = {each.key: each.purpose for each in settings.instance.secrets}
            what = kept.get(reason, reason)
            return f"the host does not have {what} yet: give it to `infisical-iac apply`"
        case "callback":
            callback = callback_address(provider, settings.stack.site_url)
            return (
                f"setting 'login': {place} does not know the callback of this site_url ({reason}): "
                f"enter {callback} there, and run again"
            )
        case "certificate":
            return (
                f"setting 'login': the certificate of {place} is not accepted ({reason}): give its "
                "authority as extra_ca"
            )
    return (
        f"setting 'login': {place} refuses the client id or its secret ({reason}): check both "
        f"there, and give the secret as {client_secret_of(provider)}; `infisical-iac keys rotate "
        f"{provider}` replaces a stored one"
    )
