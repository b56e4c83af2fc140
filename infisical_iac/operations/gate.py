"""The gate that a change of version has to pass: logins, secrets, canary, the public address."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.api.parallel import gather
from infisical_iac.errors import UserError
from infisical_iac.operations import session
from infisical_iac.operations.remote import CommandFailed, run
from infisical_iac.settings import Settings
from infisical_iac.upgrade.reading import Secret, Secrets, lost, secret
from infisical_iac.workspace import canary

_PUBLIC_SECONDS = 10


class GateError(UserError):
    """What runs now does not do what must be done before it is kept."""


@dataclass(frozen=True)
class Before:
    """What could be done before the change.

    Attributes:
        secrets: those that the deployer read.
        public: whether the public address answered.
        canary: whether there was one.
        same_way: whether what leads to Infisical from outside stays, its ingress and its port.
    """

    secrets: Secrets
    public: bool
    canary: bool = False
    same_way: bool = True


def refuse(port: int) -> None:
    """Raise CanaryError if what runs can't decrypt its secrets now, so that nothing can be proven.

    What does not work at all is none of its business.
    """
    if session.works(port):
        canary.lives(session.deployer(port))


def before(settings: Settings, project: str, port: int, *, same_way: bool = True) -> Before | None:
    """What can be done now; None where the deployer can't log in, or can't read secrets.

    Args:
        project: the slug of the project whose secrets are read.
        port: where the API is published.
        same_way: as Before has it.
    """
    try:
        if not session.works(port):
            return None
        client = session.deployer(port)
        secrets = _secrets(client, project)
        return Before(secrets, _public(settings.site_url), canary.lives(client), same_way)
    except UserError:
        return None


def passed(
    settings: Settings, project: str, then: Before | None, *, port: int, same_data: bool
) -> list[str]:
    """Do all of it again, and return what is to be said of it. Raises GateError or CanaryError.

    Args:
        port: where the API is published now.
        then: what could be done before; nothing is asked of logins that did not work then.
        same_data: whether every secret of that time must be there.
    """
    session.forget()
    client = _client(port, needed=then is not None, deployer=same_data)
    told = _reached(settings.site_url, then)
    if client is None:
        return [*told, "The deployer could not log in before the change: no secret was read."]
    found = _secrets(client, project)
    gone = lost(then.secrets, found) if then and same_data else []
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise GateError(f"secrets can't be read as before: {', '.join(gone[:3])}{more}")
    alive = _canary(client, then if same_data else None)
    told += [] if alive else [canary.NONE]
    number = f"{len(found)} secret{'' if len(found) == 1 else 's'}{' and the canary' * alive}"
    return [*told, f"Read as before: {number}."] if same_data else told


def _canary(client: Client, then: Before | None) -> bool:
    alive = canary.lives(client)
    if then and then.canary and not alive:
        raise GateError("the canary, which was there before, is gone")
    return alive


def _client(port: int, *, needed: bool, deployer: bool) -> Client | None:
    """Whoever can log in: older data may not know the deployer's secret of today."""
    try:
        return session.deployer(port)
    except session.NotBootstrapped as error:
        if not needed:
            return None
        if deployer:
            raise GateError(f"the deployer can't log in: {error}") from None
    return session.administrator(port)


def _secrets(client: Client, slug: str) -> Mapping[str, Secret]:
    project = contents.project(client, slug)
    if project is None:
        return {}
    environments, client = [each["slug"] for each in project["environments"]], client.patient()
    try:
        listed = gather(
            [partial(contents.secrets, client, project["id"], each) for each in environments]
        )
    except ApiError as error:
        raise GateError(f"the secrets can't be read: {error.message}") from None
    return {
        each["id"]: secret(environment, each)
        for environment, secrets in zip(environments, listed, strict=True)
        for each in secrets
    }


def _reached(url: str, then: Before | None) -> list[str]:
    if not url.startswith("https:"):
        return []
    if then is None or not then.public:
        return [f"{url} did not answer before the change either: it was not asked for."]
    if not then.same_way:
        return [f"{url} is to be led to in another way than before: it was not asked for."]
    if not _public(url, retries=6):
        raise GateError(f"{url} does not answer any more, as it did before")
    return []


def _public(url: str, retries: int = 0) -> bool:
    """Whether the host itself reaches Infisical by its public address."""
    if not url.startswith("https:"):
        return False
    patience = f"--max-time {_PUBLIC_SECONDS} --retry {retries} --retry-delay 3 --retry-all-errors"
    try:
        run(
            f"curl --silent --fail --output /dev/null {patience} {shlex.quote(url)}/api/status",
            doing=f"reach {url}",
        )
    except CommandFailed:
        return False
    return True
