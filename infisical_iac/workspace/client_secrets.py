"""The requests behind the credentials: listing, making and revoking client secrets."""

from functools import partial

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.parallel import gather
from infisical_iac.workspace.credentials import Credential, Holder, Step, description
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.state import AccountState, Actual


def holders(client: Client, actual: Actual) -> dict[str, Holder]:
    """Our identities that can log in, by name, with their client secrets; read side by side."""
    able = {name: each for name, each in actual.accounts.items() if each.auth is not None}
    read = gather([partial(_holder, client, each) for each in able.values()])
    return dict(zip(able, read, strict=True))


def _holder(client: Client, account: AccountState) -> Holder:
    assert account.auth is not None
    id = account.identity.id
    return Holder(id, account.auth.client_id, identities.client_secrets(client, id))


def create(client: Client, step: Step) -> Credential:
    """Make the client secret of a step; its file must be written before `revoke_orphans`.

    Raises WorkspaceError while the identity is not there yet.
    """
    if step.holder is None:
        raise WorkspaceError(
            f"the identity {step.account.identity!r} is not in Infisical yet; "
            "let the workspace be deployed first"
        )
    made = identities.create_client_secret(
        client, step.holder.identity_id, description(step.account)
    )
    return Credential(step.account.environment, step.holder.client_id, made.id, made.value)


def revoke_orphans(client: Client, step: Step) -> None:
    """Revoke the client secrets that no file holds any more."""
    for secret_id in step.orphans:
        if step.holder is not None:
            identities.revoke_client_secret(client, step.holder.identity_id, secret_id)
