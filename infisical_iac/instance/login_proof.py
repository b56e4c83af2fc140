"""Prove from the host that the providers of logins accept their clients."""

from urllib.parse import urlsplit

from infisical_iac.agent.servers import try_client
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, look, question
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import deployed_question
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import authorities, given, proof, proxy
from infisical_iac.instance.login import Provider, callback_address, client_secret_of
from infisical_iac.instance.settings import GivenSecret


@planned_operation
def login_clients(settings: Settings) -> Commands:
    """Prove new or changed clients of logins at their providers, before a container is touched.

    Logs nobody in, and stores nothing there. Notes a provider that the host can't reach.
    Raises RunFailed for a client or secret that the provider refuses.
    """
    yield from decide(settings, look(deployed_question()))


def decide(settings: Settings, deployed: DeployedInfisical) -> Commands:
    """Decide which clients to prove, by the Infisical that is deployed."""
    login, new = settings.instance.login, []
    for each in login.clients:
        desired = {**login.variables_of(each), "SITE_URL": settings.stack.site_url}
        if not proof.is_deployed(settings, deployed, desired, [_secret_of(settings, each)]):
            new.append(each)
    if not new:
        yield UpToDate("the deployed clients of logins are the desired ones")
    for each in new:
        yield step(prove_or_note, settings, each)


def _secret_of(settings: Settings, provider: Provider) -> GivenSecret:
    variable = client_secret_of(provider)
    (own,) = [each for each in settings.instance.secrets if each.variable == variable]
    return own


def prove_or_note(settings: Settings, provider: Provider) -> None:
    """Prove a client as `prove` does; report a note if the provider can't be reached."""
    if note := prove(settings, provider):
        journal.current().operator_notes.append(note)


def prove(settings: Settings, provider: Provider, secret: str = "") -> str:
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
        proxy=None if is_direct else proxy.login_of(settings),
    )
    found = ask(asked)
    if found.step == "unreachable":
        return (
            f"The client of {login.place_of(provider)} was not checked: {url} did not answer the "
            f"host ({found.reason})."
        )
    if found.step:
        why = explain(settings, provider, found.step, found.reason)
        raise RunFailed(why, code="run.login")
    return ""


def explain(settings: Settings, provider: Provider, step: str, reason: str) -> str:
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
