"""Invitations to the organization, and the links that people accept them by."""

from typing import Any
from urllib.parse import quote

from infisical_iac.api.client import Client
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.people_actual import in_organization

PATH = "/api/v1/invite-org/signup"


def sentence(email: str, link: str) -> str:
    """Return what the operator is told, once."""
    # The server leaves a + in the address as it is, which a browser reads as a space.
    return f"invitation link for {email}: {link.replace(f'to={email}&', f'to={_quoted(email)}&')}"


def _quoted(email: str) -> str:
    return quote(email, safe="@")


def renew(client: Client, admin: Client, organization: str, email: str) -> str:
    """Make a new link for somebody who was invited; the old one no longer works.

    Args:
        client: with the token of the deployer.
        admin: with the administrator's own token.

    Returns the sentence with the link; where the server has SMTP, it sends the link itself and
    the sentence says so. Raises WorkspaceError for somebody without an open invitation.
    """
    listed = in_organization(client, organization)
    open_ones = {_address(each): each["id"] for each in listed if each["status"] == "invited"}
    if email.lower() not in open_ones:
        known = ", ".join(sorted(open_ones)) or "nobody"
        raise WorkspaceError(f"{email} has no open invitation; invited and not there yet: {known}")
    body = {"membershipId": open_ones[email.lower()]}
    made = admin.post(f"{PATH}-resend", json=body).get("signupToken")
    return sentence(email, made["link"]) if made else f"Infisical has sent {email} a new link"


def _address(membership: dict[str, Any]) -> str:
    return str(membership["inviteEmail"] or membership["user"]["email"]).lower()
