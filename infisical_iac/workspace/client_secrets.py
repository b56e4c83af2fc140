"""List, make, prove and revoke client secrets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from infisical_iac.api import identities, login
from infisical_iac.api.client import Client, gather_by
from infisical_iac.api.identities import (
    ClientSecret,
    UniversalAuth,
    client_secrets,
    create_client_secret,
    revoke_client_secret,
    universal_auth,
)
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace.credential_file import Credential, Replaced, Store, Term, render
from infisical_iac.workspace.credentials import Holder, Step, description
from infisical_iac.workspace.model import Account, Workspace
from infisical_iac.workspace.state import Actual


def holders(
    client: Client, actual: Actual, listed: Mapping[str, Sequence[ClientSecret]] | None = None
) -> dict[str, Holder]:
    """Return our identities that can log in, by name, with their client secrets.

    `listed` holds client secrets that were read already, by the id of the identity.
    """
    known = listed or {}
    able = {name: each for name, each in actual.accounts.items() if each.auth}

    def read(name: str) -> Holder | None:
        account = able[name]
        return _holder(client, account.identity.id, account.auth, known.get(account.identity.id))

    return {name: holder for name, holder in gather_by(able, read).items() if holder}


def find_holders(
    client: Client, desired: Workspace, known: Mapping[str, str] | None = None
) -> dict[str, Holder]:
    """Read our identities, and return them as `holders` does.

    `known` has the ids of the last run, by name.
    """
    names = {each.identity: each.former_identity for each in desired.secret_holders()}
    organization = identities.organization_id(client)
    found = identities.find_all(client, organization, names, known)

    def read(name: str) -> Holder | None:
        id = found[name].id
        return _holder(client, id, universal_auth(client, id))

    return {name: holder for name, holder in gather_by(found, read).items() if holder}


def find_token_logins(
    client: Client, desired: Workspace, known: Mapping[str, str] | None = None
) -> list[tuple[Account, str]]:
    """Return the accounts that log in with tokens, and the ids of their identities or ""."""
    accounts = [each for each in desired.every_account() if each.auth is not None]
    names = {each.identity: each.former_identity for each in accounts}
    if not names:
        return []
    found = identities.find_all(client, identities.organization_id(client), names, known)
    ids = {name: each.id for name, each in found.items()}
    return [(each, ids.get(each.identity, "")) for each in accounts]


def _holder(
    client: Client,
    id: str,
    auth: UniversalAuth | None,
    listed: Sequence[ClientSecret] | None = None,
) -> Holder | None:
    if auth is None:
        return None
    return Holder(id, auth.client_id, client_secrets(client, id) if listed is None else listed)


def create(client: Client, step: Step) -> Credential:
    """Make the client secret of a step; its file must be written before `revoke_orphans`.

    Raises UserError while the identity does not exist yet.
    """
    account = step.account
    if step.holder is None:
        raise UserError(
            f"the identity {account.identity!r} is not in Infisical yet: run `infisical-iac apply` "
            "first",
            code="error.no_identity",
        )
    made = create_client_secret(
        client, step.holder.identity_id, description(account), ttl=account.client_secret_ttl
    )
    ends = made.listed.ends
    return Credential(
        account.starts_in,
        step.holder.client_id,
        made.id,
        made.value,
        Term(_whole(made.listed.created), _whole(ends)) if ends else None,
        Replaced(step.spared) if step.spared else None,
    )


def _whole(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def can_carry_over(step: Step) -> bool:
    """Return whether a valid file only needs its new name or format, not a new client secret."""
    return (step.moves or step.completes) and not step.creates


def carry_over(store: Store, step: Step) -> None:
    """Rewrite a file of a former name or format, with the same client secret.

    Does nothing if there is no such file. The file of the former name is removed after the new one
    is written. If the run is killed in between, the next run removes it.
    """
    if step.held and (step.moves or step.completes):
        store.write(step.account.credentials, render(step.held))
    if step.moves:
        store.remove(step.account.former_credentials)


def prove(client: Client, credential: Credential) -> None:
    """Log in with a credential, once. Raises UserError if that is refused."""
    try:
        login.universal(client.with_token(""), credential.client_id, credential.client_secret)
    except ApiError as error:
        if error.status != 401:
            raise
        raise UserError(
            f"the new client secret can't log in, so the old one stays: {error.message}"
        ) from None


def revoke_orphans(client: Client, step: Step) -> None:
    """Revoke the client secrets that are in no file."""
    if step.holder is not None:
        revoke(client, step.holder, step.orphans)


def revoke(client: Client, holder: Holder, ids: Iterable[str]) -> None:
    """Revoke the client secrets among `ids` that are still listed."""
    listed = {each.id for each in holder.secrets}
    for secret_id in ids:
        if secret_id in listed:
            revoke_client_secret(client, holder.identity_id, secret_id)


@dataclass(frozen=True)
class Rotation:
    """The arguments of a rotation.

    Attributes:
        store: where the file is.
        deliver: delivers a credential to the service's target besides the file, and checks that
            it arrived.
        overlap: how long the old client secret works after the delivery.
        report: called with each change once it is made.
    """

    client: Client
    store: Store
    deliver: Callable[[Credential], None]
    overlap: timedelta
    report: Callable[[str], None]

    def run(self, step: Step) -> None:
        """Rotate, or complete an interrupted rotation. Raises UserError."""
        held = step.held
        if held is None or not held.is_undelivered:
            held = self._renew(step)
        if step.orphans:
            revoke_orphans(self.client, step)
            self.report(str(step.revocation))
        self.deliver(held)
        self.end(step, held)

    def _renew(self, step: Step) -> Credential:
        """Return a new client secret that logs in and is in the file."""
        # Client secrets that an earlier rotation spared keep working until this overlap ends.
        old = (step.held.secret_id,) if step.held else ()
        made = create(self.client, replace(step, spared=(*old, *step.spared)))
        prove(self.client, made)
        self.store.write(step.account.credentials, render(made))
        self.report(f"+ credentials {step.account.credentials}")
        return made

    def end(self, step: Step, held: Credential) -> None:
        """Revoke the old client secrets after the delivery, or note the end of their overlap."""
        if held.replaced is None:
            return
        name = step.account.credentials
        if self.overlap:
            until = (datetime.now(UTC) + self.overlap).replace(microsecond=0)
            kept = Replaced(held.replaced.ids, until)
            self.store.write(name, render(replace(held, replaced=kept)))
            self.report(
                f"~ client secrets of {name} that were replaced: work until "
                f"{until:%Y-%m-%d %H:%M} UTC: restart the service before then"
            )
            return
        if step.holder is not None:
            revoke(self.client, step.holder, held.replaced.ids)
        self.store.write(name, render(held.without_rotation))
        self.report(f"- client secrets of {name} that were replaced: {len(held.replaced.ids)}")
