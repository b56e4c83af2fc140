"""Find what differs in the persons of the file, and whom an invitation is due to.

Whoever is in the file gets an additional privilege of this project's own slug, even if it
permits nothing: by it those who leave the file later are known. Other privileges of theirs and
other persons are foreign access, which `foreign` tells.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.access import (
    PERSON_PRIVILEGE,
    describe_access,
    permissions,
    project_role,
)
from infisical_iac.workspace.change import Call, Change, Made
from infisical_iac.workspace.model import OF_PERSONS, Access, Workspace, are_equal, named
from infisical_iac.workspace.people_actual import in_organization
from infisical_iac.workspace.state import Actual, People, PersonState

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
    the sentence says so. Raises UserError for somebody without an open invitation.
    """
    listed = in_organization(client, organization)
    open_ones = {_address(each): each["id"] for each in listed if each["status"] == "invited"}
    if email.lower() not in open_ones:
        known = ", ".join(sorted(open_ones)) or "nobody"
        raise UserError(f"{email} has no open invitation; invited and not there yet: {known}")
    body = {"membershipId": open_ones[email.lower()]}
    made = admin.post(f"{PATH}-resend", json=body).get("signupToken")
    return sentence(email, made["link"]) if made else f"Infisical has sent {email} a new link"


def _address(membership: dict[str, Any]) -> str:
    return str(membership["inviteEmail"] or membership["user"]["email"]).lower()


_LASTING = {"isTemporary": False}


def people(desired: Workspace, admin_email: str, actual: Actual) -> Iterator[Change]:
    """Persons to invite, to add, or to set right; the first administrator is not among them.

    Nobody, where they could not be looked at.
    """
    if actual.people_unseen:
        return
    found = actual.people or People({}, {})
    for email, access in desired.people.items():
        if email == admin_email.lower():
            continue
        there = found.members.get(email)
        grants = permissions(access, desired)
        if there is not None:
            yield from _drift(email, access, grants, there, actual)
            continue
        if email not in found.usernames:
            yield _invitation(email, actual)
        username = found.usernames.get(email, email)
        yield _joining(email, username, access, grants, actual)


def _path(actual: Actual) -> tuple[str, ...]:
    project = actual.project.id if actual.project else Made("project")
    return ("/api/v1/projects", project, "memberships")


def _invitation(email: str, actual: Actual) -> Change:
    """A change of its own, so that its link is shown whatever becomes of the next."""
    body = {
        "inviteeEmails": [email],
        "organizationId": actual.organization_id,
        "organizationRoleSlug": "member",
    }
    call = Call("POST", (PATH,), body, by_admin=True, shows=partial(_link, email))
    return Change("+", f"invitation of {email}", "to the organization, as a member", (call,))


def _link(email: str, answer: Mapping[str, Any]) -> str:
    # With SMTP the server sends the links itself and tells none.
    links = [each["link"] for each in answer.get("completeInviteLinks") or ()]
    return sentence(email, links[0]) if links else ""


def _joining(
    email: str, username: str, access: Access, grants: list[dict[str, Any]], actual: Actual
) -> Change:
    member = Made(f"memberships {email}")
    body = {"usernames": [username], "emails": [], "roleSlugs": [project_role(access)]}
    calls = (
        Call("POST", _path(actual), body, member),
        _privilege_call(member, grants),
    )
    return Change("+", f"person {email}", describe_access(access), calls)


def _privilege_call(membership_id: str, grants: list[dict[str, Any]]) -> Call:
    body = {
        "projectMembershipId": membership_id,
        "slug": PERSON_PRIVILEGE,
        "type": _LASTING,
        "permissions": grants,
    }
    return Call("POST", (OF_PERSONS,), body, by_admin=True)


def _drift(
    email: str, access: Access, grants: list[dict[str, Any]], there: PersonState, actual: Actual
) -> Iterator[Change]:
    reasons: list[str] = []
    calls: list[Call] = []
    role = project_role(access)
    if there.roles != (role,):
        reasons.append(f"project role {', '.join(there.roles) or 'none'} → {role}")
        roles = [{"role": role, "isTemporary": False}]
        path = (*_path(actual), there.membership_id)
        calls.append(Call("PATCH", path, {"roles": roles}))
    own = named(there.privileges or (), PERSON_PRIVILEGE, grants)
    if there.privileges is not None and own is None:
        reasons.append(f"permissions → {describe_access(access)}")
        calls.append(_privilege_call(there.membership_id, grants))
    elif own is not None and (own.is_temporary or not are_equal(own.permissions, grants)):
        if own.is_temporary:
            reasons.append("temporary → lasting")
        if not are_equal(own.permissions, grants):
            reasons.append(f"permissions → {describe_access(access)}")
        body = {"slug": PERSON_PRIVILEGE, "type": _LASTING, "permissions": grants}
        calls.append(Call("PATCH", (OF_PERSONS, own.id), body, by_admin=True))
    for each in there.privileges or ():
        if each.slug == PERSON_PRIVILEGE and each is not own:
            reasons.append("a second privilege of the same name → none")
            calls.append(Call("DELETE", (OF_PERSONS, each.id), by_admin=True))
    if reasons:
        yield Change("~", f"person {email}", ", ".join(reasons), tuple(calls))
