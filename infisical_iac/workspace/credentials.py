"""The credentials that a service reads on the host: their file, and when a new one is due."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from infisical_iac.api.identities import ClientSecret
from infisical_iac.workspace.model import ServiceAccount, Workspace

DIRECTORY = "/etc/infisical/credentials"

_FILE = re.compile(
    r"# client secret (?P<secret_id>[A-Za-z0-9-]+) sha256 (?P<digest>[0-9a-f]{16})\n"
    r"INFISICAL_CLIENT_ID=(?P<client_id>[A-Za-z0-9-]+)\n"
    r"INFISICAL_CLIENT_SECRET=(?P<client_secret>[A-Za-z0-9._~+/=-]+)\n"
    r"NODE_ENV=(?P<environment>[a-z0-9-]+)\n"
)


@dataclass(frozen=True)
class Credential:
    """What is in the file of one service and environment."""

    environment: str
    client_id: str
    secret_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class Holder:
    """An identity that logs in with credentials, and its client secrets as listed."""

    identity_id: str
    client_id: str
    secrets: Sequence[ClientSecret]


@dataclass(frozen=True)
class Step:
    """What is due for one service in one environment.

    Attributes:
        account: whose credentials they are.
        holder: the identity; None while it is still to be made.
        creates: whether a new client secret is to be made and its file written.
        orphans: ids of client secrets that no file holds, to be revoked after the file.
    """

    account: ServiceAccount
    holder: Holder | None
    creates: bool
    orphans: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where the file is on the host."""
        return path(self.account)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do."""
        return not self.creates and not self.orphans

    def __str__(self) -> str:
        name = self.account.credentials
        parts = [f"+ credentials {name}"] if self.creates else []
        if self.orphans:
            parts.append(f"- client secrets of {name} that no file holds: {len(self.orphans)}")
        return ", ".join(parts) or f"= credentials {name}"


def path(account: ServiceAccount) -> str:
    """Where the file of an account is on the host."""
    return f"{DIRECTORY}/{account.credentials}.env"


def description(account: ServiceAccount) -> str:
    """How a client secret made for an account is described in Infisical."""
    return f"infisical-iac: {account.credentials}"


def render(credential: Credential) -> str:
    """The file's content."""
    digest = sha256(credential.client_secret.encode()).hexdigest()[:16]
    return (
        f"# client secret {credential.secret_id} sha256 {digest}\n"
        f"INFISICAL_CLIENT_ID={credential.client_id}\n"
        f"INFISICAL_CLIENT_SECRET={credential.client_secret}\n"
        f"NODE_ENV={credential.environment}\n"
    )


def parse(text: str) -> Credential | None:
    """The credential in a file's content; None unless it is exactly as `render` wrote it."""
    match = _FILE.fullmatch(text)
    if match is None:
        return None
    credential = Credential(
        match["environment"], match["client_id"], match["secret_id"], match["client_secret"]
    )
    return credential if render(credential) == text else None


def plan(
    desired: Workspace, holders: Mapping[str, Holder], files: Mapping[str, str | None]
) -> list[Step]:
    """What is due for every service in every environment, settled or not.

    Args:
        holders: identity name to identity; one that is missing is taken as still to be made.
        files: path to content, None or missing where there is no file.
    """
    return [
        _step(account, holders.get(account.identity), files.get(path(account)))
        for account in desired.accounts()
    ]


def _step(account: ServiceAccount, holder: Holder | None, text: str | None) -> Step:
    if holder is None:
        return Step(account, None, creates=True)
    kept = _kept(account, holder, parse(text) if text is not None else None)
    orphans = tuple(
        each.id
        for each in holder.secrets
        if each.description == description(account) and each.id != kept
    )
    return Step(account, holder, creates=kept is None, orphans=orphans)


def _kept(account: ServiceAccount, holder: Holder, held: Credential | None) -> str | None:
    """The id of the client secret in the file, if it is the right one and still works."""
    fits = (
        held is not None
        and held.environment == account.environment
        and held.client_id == holder.client_id
        and any(each.id == held.secret_id and each.is_lasting for each in holder.secrets)
    )
    return held.secret_id if held is not None and fits else None
