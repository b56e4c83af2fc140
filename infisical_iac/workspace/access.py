"""Compare the access of identities and people: their roles and privileges.

Each person in the file gets an additional privilege with this project's own slug, even if it
permits nothing. It marks the person as added by this project, also after the file drops the name.
Other privileges of these people, and other people, are foreign access, which `foreign` reports.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from infisical_iac.agent.identities import (
    Identity,
    auth_body,
    auth_fields,
    creation,
    marking,
    universal_auth_path,
)
from infisical_iac.agent.privileges import OF_IDENTITIES, are_equal, grant, seat
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, RunFailed, UserError
from infisical_iac.core.wording import join_names
from infisical_iac.workspace.model import PERSON_PRIVILEGE, Access, Account, Isolation, Workspace
from infisical_iac.workspace.oidc import METHOD, OidcClaims, oidc_fields, oidc_path
from infisical_iac.workspace.people_actual import in_organization
from infisical_iac.workspace.privileges import OF_PERSONS, find_privilege
from infisical_iac.workspace.second_factor import SecondFactors, is_suspended
from infisical_iac.workspace.state import (
    AccountState,
    Actual,
    ApiChange,
    Call,
    Made,
    People,
    PersonState,
    Privilege,
    diff_fields,
    roles_of,
    words,
)

Json = dict[str, Any]
_IDENTITIES = "/api/v1/identities"


def admin(email: str, actual: Actual) -> Iterator[ApiChange]:
    """Yield the change that makes the first administrator an admin of the project.

    Without a membership, the administrator would not even see the project.
    """
    path = _members(actual)
    what = f"project member {email}"
    person: PersonState | None = actual.admin
    if person is None:
        invitation = {"usernames": [email], "emails": [], "roleSlugs": ["admin"]}
        yield ApiChange("+", what, "role admin", (Call("POST", path, invitation, mails=True),))
    elif "admin" not in person.roles:
        call = Call("PATCH", (*path, person.membership_id), seat("admin"))
        yield ApiChange("~", what, _role_drift(person.roles, "admin"), (call,))


def _members(actual: Actual) -> tuple[str, ...]:
    """Return the path of the memberships of the project."""
    return ("/api/v1/projects", actual.project_id, "memberships")


def _role_drift(roles: Sequence[str], role: str) -> str:
    """Return how roles differ from the desired one, for people."""
    return f"role {', '.join(roles) or 'none'} → {role}"


def _privilege_drift(own: Privilege, grants: Sequence[Json], words: str) -> list[str]:
    """Return how a privilege differs from the desired grants, which `words` describe to people."""
    reasons = ["temporary → permanent"] if own.is_temporary else []
    differs = not are_equal(own.permissions, grants)
    return [*reasons, f"permissions → {words}"] if differs else reasons


def diff_account(desired: Account, isolation: Isolation, actual: Actual) -> Iterator[ApiChange]:
    """Yield the differences in one account's access to one environment of the project."""
    yield from diff_identity(desired, actual)
    yield from diff_seat(desired, isolation, actual)


def diff_identity(desired: Account, actual: Actual) -> Iterator[ApiChange]:
    """Yield the differences in the identity of a service and an environment, and in its login."""
    there = _state(desired, actual)
    yield from _identity(desired, there.identity, actual)
    yield from _login(desired, there)


def diff_seat(desired: Account, isolation: Isolation, actual: Actual) -> Iterator[ApiChange]:
    """Yield the differences in the rights of a service's identity in the project."""
    there = _state(desired, actual)
    by_privilege = is_granted(desired, isolation)
    role = "no-access" if by_privilege else "viewer"
    yield from _membership(desired.identity, there, role, actual)
    yield from _privileges(desired, there, actual, by_privilege=by_privilege)


def is_granted(account: Account, isolation: Isolation) -> bool:
    """Return whether an account gets its access by a privilege instead of a role.

    No role of the free edition shows names without values.
    """
    return isolation == "privilege" or not account.sees_values


def _state(desired: Account, actual: Actual) -> AccountState:
    name = desired.identity
    missing = AccountState(Identity(Made(f"identity {name}"), name, "no-access"))
    return actual.accounts.get(name, missing)


def end_seats(actual: Actual) -> Iterator[ApiChange]:
    """Yield the changes that end our identities' memberships in a project that is not theirs."""
    path = (*_members(actual)[:-1], "memberships/identities")
    for each in actual.listed.seats:
        if each["identityId"] in actual.kin:
            what = f"project membership of {each['identity']['name']}"
            detail = f"role {', '.join(roles_of(each)) or 'none'}"
            call = Call("DELETE", (*path, each["identityId"]))
            yield ApiChange("-", what, detail, (call,))


def _identity(desired: Account, there: Identity, actual: Actual) -> Iterator[ApiChange]:
    name = desired.identity
    # Until its rename, the identity of a renamed service is reported by its former name.
    what = f"identity {there.name if there.name == desired.former_identity else name}"
    if isinstance(there.id, Made):
        body = creation(actual.organization_id, name, "no-access")
        yield ApiChange("+", what, calls=(Call("POST", (_IDENTITIES,), body, there.id),))
        return
    body, detail = identity_drift(there, name, "no-access")
    if body:
        yield ApiChange("~", what, detail, (Call("PATCH", (_IDENTITIES, there.id), body),))


def identity_drift(held: Identity, name: str, role: str) -> tuple[Json, str]:
    """Return the fields of an identity to set, and their description; empty if none differs."""
    actual = {"name": held.name, "role": held.role, "hasDeleteProtection": held.is_delete_protected}
    body = diff_fields({"name": name, "role": role, "hasDeleteProtection": False}, actual)
    details = [words(body, actual)] if body else []
    if "hasDeleteProtection" in body:
        body["name"] = name  # the server accepts `false` only together with a name
    if not held.is_marked:
        body["metadata"] = marking(held)
        details.append("metadata → managed by infisical-iac")
    return body, ", ".join(details)


def _login(desired: Account, there: AccountState) -> Iterator[ApiChange]:
    if desired.auth is not None:
        yield from _oidc(desired, desired.auth, there)
        return
    fields = auth_fields(desired.ttl, desired.max_ttl)
    # The id is a separate part of the path, as it may be a `Made`.
    path = (universal_auth_path("").rstrip("/"), there.identity.id)
    if there.auth is None:
        call = Call("POST", path, auth_body(fields))
        yield ApiChange("+", f"universal auth of {desired.identity}", calls=(call,))
    elif differing := diff_fields(fields, there.auth.fields):
        # The server refuses a lifetime above the maximum lifetime, so both are sent.
        both = {key: fields[key] for key in ("accessTokenTTL", "accessTokenMaxTTL")}
        call = Call("PATCH", path, auth_body({**differing, **both}))
        detail = words(differing, there.auth.fields)
        yield ApiChange("~", f"identity {desired.identity}", detail, (call,))


def _oidc(desired: Account, claims: OidcClaims, there: AccountState) -> Iterator[ApiChange]:
    fields = oidc_fields(claims, desired.ttl, desired.max_ttl)
    path = oidc_path(there.identity.id)
    if there.oidc is None:
        what = f"{METHOD} of {desired.identity}"
        # Operators need the id for the pipeline's settings. It is not secret.
        call = Call("POST", path, auth_body(fields), shows=partial(_id_of, desired.identity))
        yield ApiChange("+", what, str(claims), (call,))
    elif differing := diff_fields(fields, there.oidc):
        both = {key: fields[key] for key in ("accessTokenTTL", "accessTokenMaxTTL")}
        call = Call("PATCH", path, auth_body({**differing, **both}))
        detail = words(differing, there.oidc)
        yield ApiChange("~", f"{METHOD} of {desired.identity}", detail, (call,))


def _id_of(name: str, answer: Mapping[str, Any]) -> str:
    id = answer["identityOidcAuth"]["identityId"]
    return f"{name} logs in with INFISICAL_MACHINE_IDENTITY_ID={id}, which is not secret"


def _membership(name: str, there: AccountState, role: str, actual: Actual) -> Iterator[ApiChange]:
    path = (*_members(actual)[:-1], "memberships/identities", there.identity.id)
    what = f"project membership of {name}"
    if there.roles is None:
        yield ApiChange("+", what, f"role {role}", (Call("POST", path, seat(role)),))
    elif there.roles != (role,):
        call = Call("PATCH", path, seat(role))
        yield ApiChange("~", what, _role_drift(there.roles, role), (call,))


def _privileges(
    desired: Account, there: AccountState, actual: Actual, *, by_privilege: bool
) -> Iterator[ApiChange]:
    grants, slug = desired.grants, desired.privilege
    own = find_privilege(there.privileges, slug, grants) if by_privilege else None
    # Any other privilege would widen the rights of our identity.
    for each in there.privileges:
        if each is not own:
            what = f"privilege {each.slug} of {desired.identity}"
            yield ApiChange("-", what, calls=(Call("DELETE", (OF_IDENTITIES, each.id)),))
    if not by_privilege:
        return
    what, body = f"privilege {slug} of {desired.identity}", grant(slug, grants)
    where, verb = desired.seen_folders, "read" if desired.sees_values else "see"
    if own is None:
        holder = {"identityId": there.identity.id, "projectId": actual.project_id}
        yield ApiChange("+", what, where, (Call("POST", (OF_IDENTITIES,), {**holder, **body}),))
    elif reasons := _privilege_drift(own, grants, f"{verb} {where} only"):
        yield ApiChange(
            "~", what, ", ".join(reasons), (Call("PATCH", (OF_IDENTITIES, own.id), body),)
        )


_READ = ["describeSecret", "readValue"]
_WRITE = ["create", "edit", "delete"]
_SHOWING = {"secret-folders": ["read"], "secret-imports": ["read"]}
_ACTIONS = {
    "viewer": {"secrets": _READ, **_SHOWING},
    "developer": {"secrets": [*_READ, *_WRITE], **_SHOWING},
    "admin": {
        "secrets": [*_READ, *_WRITE],
        "secret-folders": ["read", *_WRITE],
        "secret-imports": ["read", *_WRITE],
    },
}


class Grant(NamedTuple):
    """A role other than `none` in an environment, or in some folders of it."""

    role: str
    environment: str
    folders: tuple[str, ...] = ()


def project_role(access: Access) -> str:
    """Return the role in the project: an admin of everything is an admin of the project."""
    return "admin" if access == "admin" else "no-access"


def permissions(access: Access, workspace: Workspace) -> list[Json]:
    """Return the permissions of the privilege that marks a person as ours; none for an admin."""
    if access == "admin":
        return []
    return [
        {"subject": subject, "action": actions, "conditions": conditions}
        for given in _grants(access, [each.slug for each in workspace.environments])
        for conditions in _conditions(given)
        for subject, actions in _ACTIONS[given.role].items()
    ]


def describe_access(access: Access) -> str:
    """Return a description of the roles for people."""
    if access == "admin":
        return "admin of the project"
    if isinstance(access, str):
        return "no access" if access == "none" else f"{access} in every environment"
    parts = [
        f"{each.role} of {join_names(each.folders)} in {each.environment}"
        if each.folders
        else f"{each.role} in {each.environment}"
        for each in _grants(access, list(access))
    ]
    return ", ".join(parts) or "no access"


def _grants(access: Access, environments: Sequence[str]) -> Iterator[Grant]:
    by_environment = dict.fromkeys(environments, access) if isinstance(access, str) else access
    for slug, inside in by_environment.items():
        if isinstance(inside, str):
            if inside != "none":
                yield Grant(inside, slug)
            continue
        for role in dict.fromkeys(inside.values()):
            if role != "none":
                yield Grant(role, slug, tuple(each for each in inside if inside[each] == role))


def _conditions(grant: Grant) -> Iterator[Json]:
    environment = {"environment": {"$eq": grant.environment}}
    if not grant.folders:
        yield environment
    for folder in grant.folders:
        yield {**environment, "secretPath": {"$eq": folder}}
        yield {**environment, "secretPath": {"$glob": f"{folder}/**"}}


_WITHOUT = ", because a second factor is missing"
_INVITATION = "/api/v1/invite-org/signup"
# The status by which a real server reports that it could not send an invitation again.
_MAIL_FAILED = 500


def sentence(email: str, link: str) -> str:
    """Return the sentence with an invitation's link, which is shown to the operator once."""
    # The server does not encode a + of the e-mail address, and a browser reads + as a space.
    link = link.replace(f"to={email}&", f"to={quote(email, safe='@')}&")
    # Without a domain, the link leads to the end of an SSH tunnel on the reader's machine.
    tunnel = " (only through the SSH tunnel)" if link.startswith("http://") else ""
    return f"invitation link for {email}: {link}{tunnel}"


def renew(client: Client, admin: Client, organization: str, email: str) -> str:
    """Make a new link for an invited person, and return the sentence with it.

    The old link no longer works.

    Args:
        admin: a client with the administrator's own token.

    A server with SMTP sends the link itself, and the sentence says so. Raises UserError for a
    person without an open invitation, and RunFailed if the mail can't be sent.
    """
    listed = in_organization(client, organization)
    open_ones = {_address(each): each["id"] for each in listed if each["status"] == "invited"}
    if email.lower() not in open_ones:
        known = ", ".join(sorted(open_ones)) or "none"
        raise UserError(f"{email} has no open invitation; open invitations: {known}")
    body = {"membershipId": open_ones[email.lower()]}
    try:
        made = admin.post(f"{_INVITATION}-resend", json=body).get("signupToken")
    except ApiError as error:
        if error.status != _MAIL_FAILED:
            raise
        raise RunFailed(
            f"Infisical could not send {email} the invitation: `infisical-iac mail test {email}` "
            "says why",
            code="run.mail",
        ) from None
    return sentence(email, made["link"]) if made else _describe_mail(email)


def _address(membership: dict[str, Any]) -> str:
    return str(membership["inviteEmail"] or membership["user"]["email"]).lower()


def people(
    desired: Workspace, admin_email: str, actual: Actual, known: SecondFactors
) -> Iterator[ApiChange]:
    """Yield the changes that invite people, add them to the project, or correct their access.

    A member who lacks a required second factor has no access, whatever the file says. The first
    administrator is not among these people, and never loses access. Yields nothing if people could
    not be read.
    """
    if actual.people_unseen:
        return
    found = actual.people or People({}, {})
    for email, access in desired.people.items():
        if email == admin_email.lower():
            continue
        grants = permissions(access, desired)
        if there := found.members.get(email):
            if is_suspended(desired, email, there, known):
                yield from _diff_person(email, "none", [], there, actual, _WITHOUT)
            else:
                yield from _diff_person(email, access, grants, there, actual)
            continue
        if email not in found.usernames:
            yield _invitation(email, actual)
        username = found.usernames.get(email, email)
        yield _joining(email, username, access, grants, actual)


# The role in a project that has one folder, by the role of the project file.
_PROJECT_ROLES = {
    "none": "no-access",
    "viewer": "viewer",
    "developer": "member",
    "admin": "admin",
}


def invitations(desired: Workspace, admin_email: str, actual: Actual) -> Iterator[ApiChange]:
    """Yield the invitations to the organization; none if they can't be sent from here."""
    known = actual.people.usernames if actual.people else {}
    if not actual.people_unseen:
        for email in desired.people:
            if email not in {*known, admin_email.lower()}:
                yield _invitation(email, actual)


def seats(
    desired: Workspace,
    admin_email: str,
    actual: Actual,
    known: SecondFactors,
    *,
    joins: bool = True,
) -> Iterator[ApiChange]:
    """Yield the changes that give people their roles in one of several projects.

    A person without a role there is not added. An existing membership stays, without permissions.

    Args:
        joins: whether to add people who are not members yet.
    """
    found = actual.people or People({}, {})
    for email, access in desired.people.items():
        role = _PROJECT_ROLES[str(access)]
        what, there = f"person {email}", found.members.get(email)
        if email == admin_email.lower():
            continue
        if there is None:
            if joins and access != "none":
                username = found.usernames.get(email, email)
                body = {"usernames": [username], "emails": [], "roleSlugs": [role]}
                call = Call("POST", _members(actual), body, mails=True)
                yield ApiChange("+", what, f"role {role}", (call,))
            continue
        lacks = is_suspended(desired, email, there, known, by_role=True)
        if there.roles != ((role := "no-access" if lacks else role),):
            detail = f"project {_role_drift(there.roles, role)}{_WITHOUT * lacks}"
            call = Call("PATCH", (*_members(actual), there.membership_id), seat(role))
            yield ApiChange("~", what, detail, (call,))


def _invitation(email: str, actual: Actual) -> ApiChange:
    """Return the invitation as its own change: its link is shown even if the next one fails."""
    body = {
        "inviteeEmails": [email],
        "organizationId": actual.organization_id,
        "organizationRoleSlug": "member",
    }
    call = Call("POST", (_INVITATION,), body, by_admin=True, shows=partial(_link, email))
    return ApiChange("+", f"invitation of {email}", "to the organization, as a member", (call,))


def _link(email: str, answer: Mapping[str, Any]) -> str:
    # A server with SMTP sends the links itself, and returns an empty list. A person who is already
    # a member gets no invitation, and the answer lacks the key.
    links = answer.get("completeInviteLinks")
    if links is None:
        return ""
    return sentence(email, links[0]["link"]) if links else _describe_mail(email)


def _describe_mail(email: str) -> str:
    """Return the sentence on an invitation by mail: Infisical does not report that it failed."""
    return (
        f"Infisical sends {email} the invitation by mail; if none arrives, `infisical-iac "
        f"workspace invite {email}` sends it again and says whether the mail server took it. "
        "Without 'email' in login_methods there is no invitation, as the person can log in at once"
    )


def _joining(
    email: str, username: str, access: Access, grants: list[dict[str, Any]], actual: Actual
) -> ApiChange:
    member = Made(f"memberships {email}")
    body = {"usernames": [username], "emails": [], "roleSlugs": [project_role(access)]}
    calls = (Call("POST", _members(actual), body, member, mails=True), _marking(member, grants))
    return ApiChange("+", f"person {email}", describe_access(access), calls)


def _marking(membership_id: str, grants: list[dict[str, Any]]) -> Call:
    body = {"projectMembershipId": membership_id, **grant(PERSON_PRIVILEGE, grants)}
    return Call("POST", (OF_PERSONS,), body, by_admin=True)


def _diff_person(
    email: str,
    access: Access,
    grants: list[dict[str, Any]],
    there: PersonState,
    actual: Actual,
    reason: str = "",
) -> Iterator[ApiChange]:
    reasons: list[str] = []
    calls: list[Call] = []
    role = project_role(access)
    if there.roles != (role,):
        reasons.append(f"project {_role_drift(there.roles, role)}")
        calls.append(Call("PATCH", (*_members(actual), there.membership_id), seat(role)))
    own = find_privilege(there.privileges or (), PERSON_PRIVILEGE, grants)
    if there.privileges is not None and own is None:
        reasons.append(f"permissions → {describe_access(access)}")
        calls.append(_marking(there.membership_id, grants))
    elif own and (differing := _privilege_drift(own, grants, describe_access(access))):
        reasons += differing
        body = grant(PERSON_PRIVILEGE, grants)
        calls.append(Call("PATCH", (OF_PERSONS, own.id), body, by_admin=True))
    for each in there.privileges or ():
        if each.slug == PERSON_PRIVILEGE and each is not own:
            reasons.append("a second privilege of the same name → removed")
            calls.append(Call("DELETE", (OF_PERSONS, each.id), by_admin=True))
    if reasons:
        detail = ", ".join(reasons) + reason
        yield ApiChange("~", f"person {email}", detail, tuple(calls))
