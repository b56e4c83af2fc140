"""Prove the clients of logins from the host: at Google, GitHub and GitLab, by their secrets."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from infisical_iac.core import journal
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.facts import Fact
from infisical_iac.core.operation import Commands, planned_operation, shared_fact, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.instance import authorities, given, proxy
from infisical_iac.instance.login import (
    GITLAB_URL,
    Provider,
    callback_address,
    client_id_of,
    client_secret_of,
)

_TOKENS = {
    "google": "https://www.googleapis.com/oauth2/v4/token",
    "github": "https://github.com/login/oauth/access_token",
}


class DeployedVariables(Fact[dict[str, str]]):
    """Read the variables in clear text that the deployed Infisical was started with."""

    def command(self) -> str:
        return authorities.READ_DEPLOYED

    def process(self, output: list[str]) -> dict[str, str]:
        services = (yaml.safe_load("\n".join(output)) or {}).get("services", {})
        found = services.get("infisical", {}).get("environment", {})
        return {name: str(value).replace("$$", "$") for name, value in found.items()}


@planned_operation
def login_clients(settings: Settings) -> Commands:
    """Prove new or changed clients of logins at their providers, before a container is touched.

    Nobody is logged in, and nothing is stored there. A provider that the host can't reach is noted.
    Raises RunFailed for a client or secret that the provider refuses.
    """
    if not settings.instance.login.clients:
        yield from decide(settings, {}, "")
        return
    trusted = shared_fact(authorities.DeployedAuthorities)
    deployed = shared_fact(DeployedVariables)
    yield from decide(settings, deployed, trusted)


def decide(settings: Settings, deployed: Mapping[str, str], trusted: str) -> Commands:
    """Decide which clients to prove, by the variables and the authorities that are deployed."""
    others = authorities.has_changed(settings, trusted)
    desired = settings.instance.login.variables
    new = [
        each
        for each in settings.instance.login.clients
        if others
        or deployed.get(client_id_of(each)) != desired[client_id_of(each)]
        or (each == "gitlab" and deployed.get(GITLAB_URL) != desired[GITLAB_URL])
        or deployed.get("SITE_URL") != settings.stack.site_url
    ]
    if not new:
        yield UpToDate("the clients of logins are those that are deployed")
    for each in new:
        yield step(prove_or_note, settings, each)


def prove_or_note(settings: Settings, provider: Provider) -> None:
    """Prove a client as `prove` does; note for the operator if the provider can't be asked."""
    if note := prove(settings, provider):
        journal.current().operator_notes.append(note)


def prove(settings: Settings, provider: Provider, secret: str = "") -> str:
    """Prove a client at its provider, from the current host.

    Returns a sentence if the host could not ask the provider; empty if the client is proven.

    Args:
        secret: another client secret than the host's, or the one given to this run.

    Raises RunFailed with the remedy for a client that the provider refuses.
    """
    login, variable = settings.instance.login, client_secret_of(provider)
    (own,) = [each for each in settings.instance.secrets if each.variable == variable]
    address = login.gitlab.address if login.gitlab else ""
    asked: dict[str, Any] = {
        "url": _TOKENS.get(provider, f"{address}/oauth/token"),
        "client": login.clients[provider].client_id,
        "secret": secret or given.value_of(own),
        "key": own.key,
        "callback": callback_address(provider, settings.stack.site_url),
        "authorities": authorities.read_authorities(settings),
        "proxy": None,
    }
    if not settings.instance.is_direct(urlsplit(asked["url"]).hostname or ""):
        asked["proxy"] = proxy.login_of(settings)
    doing = f"check the client at {login.place_of(provider)}"
    found = json.loads(run(script("login", "prove"), doing=doing, stdin=json.dumps(asked)))
    if found["error"] == "unreachable":
        return (
            f"The client of {login.place_of(provider)} was not checked: the host could not ask "
            f"{asked['url']} ({found['reason']})."
        )
    if found["error"]:
        raise RunFailed(explain(settings, provider, found["error"], found["reason"]), code=_CODE)
    return ""


_CODE = "run.login"


def explain(settings: Settings, provider: Provider, error: str, reason: str) -> str:
    """Return a sentence on a client that login.sh could not prove, with the remedy."""
    place = settings.instance.login.place_of(provider)
    match error:
        case "password":
            kept = {each.key: each.purpose for each in settings.instance.secrets}
            what = kept.get(reason, reason)
            return f"the host does not have {what} yet: `infisical-iac apply` takes it"
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
        f"there, and give the secret as {client_secret_of(provider)}; a kept one is replaced by "
        f"`infisical-iac keys rotate {provider}`"
    )
