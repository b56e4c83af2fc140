"""Compare the client secrets of an identity with the one in its credentials file."""

from collections.abc import Sequence
from datetime import datetime

from infisical_iac.agent.identities import ClientSecret
from infisical_iac.workspace.credential_file import Credential
from infisical_iac.workspace.credentials import is_made_for
from infisical_iac.workspace.model import ServiceAccount


def find_problem(
    account: ServiceAccount,
    listed: Sequence[ClientSecret],
    credential: Credential | None,
    now: datetime,
) -> str:
    """Return the problem of an identity whose file does not hold its only valid client secret.

    The text is empty without a problem. Client secrets that a rotation keeps are left out. So are
    those that a person made by hand, because the check of foreign access reports them.
    """
    name = account.identity
    if credential is None:
        return f"{name}: its credentials file is missing or malformed"
    replaced = credential.replaced
    spared = replaced.ids if replaced and replaced.is_kept(now) else ()
    made = [each for each in listed if is_made_for(account, each) and each.id not in spared]
    held = [each for each in made if each.id == credential.secret_id]
    if not held:
        return f"{name}: Infisical does not list the client secret in its credentials file"
    if not held[0].works(now):
        return f"{name}: the client secret in its credentials file has ended or is used up"
    if len(made) > 1:
        others = ", ".join(each.id for each in made if each.id != credential.secret_id)
        return f"{name} has client secrets that its credentials file does not hold: {others}"
    return ""
