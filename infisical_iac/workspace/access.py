"""Find what differs in who may do what: identities, their logins, roles and privileges."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from infisical_iac.api.identities import Identity, creation, marking
from infisical_iac.api.universal_auth import auth_body, auth_fields, universal_auth_path
from infisical_iac.workspace.change import Call, Change, Made, drift, words
from infisical_iac.workspace.model import (
    OF_IDENTITIES,
    PRIVILEGE,
    Access,
    Isolation,
    ServiceAccount,
    Workspace,
    are_equal,
    named,
    reading,
)
from infisical_iac.workspace.state import AccountState, Actual, PersonState, Privilege

_IDENTITIES = "/api/v1/identities"
_LASTING = {"isTemporary": False}


def admin(email: str, actual: Actual) -> Iterator[Change]:
    """The first administrator, who would not even see the project without a membership."""
    path = ("/api/v1/projects", _project(actual), "memberships")
    what = f"project member {email}"
    person: PersonState | None = actual.admin
    if person is None:
        invitation = {"usernames": [email], "emails": [], "roleSlugs": ["admin"]}
        yield Change("+", what, "role admin", (Call("POST", path, invitation),))
    elif "admin" not in person.roles:
        detail = f"role {_listed(person.roles)} → admin"
        body = {"roles": [{"role": "admin", "isTemporary": False}]}
        yield Change("~", what, detail, (Call("PATCH", (*path, person.membership_id), body),))


def account(wanted: ServiceAccount, isolation: Isolation, actual: Actual) -> Iterator[Change]:
    """All that differs in one service's access to one environment."""
    there = actual.accounts.get(wanted.identity)
    id = there.identity.id if there else Made(f"identity {wanted.identity}")
    yield from _identity(wanted, there, actual, id)
    yield from _login(wanted, there, id)
    yield from _membership(wanted, there, isolation, actual, id)
    yield from _privileges(wanted, there, isolation, actual, id)


def _project(actual: Actual) -> str:
    return actual.project.id if actual.project else Made("project")


def _listed(roles: tuple[str, ...]) -> str:
    return ", ".join(roles) or "none"


def _identity(
    wanted: ServiceAccount, there: AccountState | None, actual: Actual, id: str
) -> Iterator[Change]:
    what = f"identity {wanted.identity}"
    if there is None:
        body = creation(actual.organization_id, wanted.identity, "no-access")
        yield Change("+", what, calls=(Call("POST", (_IDENTITIES,), body, Made(id)),))
        return
    body, detail = identity_drift(there.identity, wanted.identity, "no-access")
    if body:
        yield Change("~", what, detail, (Call("PATCH", (_IDENTITIES, id), body),))


def identity_drift(held: Identity, name: str, role: str) -> tuple[dict[str, Any], str]:
    """Return what to set of an identity and how people read it; nothing where it is right."""
    actual = {"name": held.name, "role": held.role, "hasDeleteProtection": held.is_delete_protected}
    body = drift({"name": name, "role": role, "hasDeleteProtection": False}, actual)
    details = [words(body, actual)] if body else []
    if "hasDeleteProtection" in body:
        body["name"] = name  # without a name the server takes no `false`
    if not held.is_marked:
        body["metadata"] = marking(held)
        details.append("metadata → managed by infisical-iac")
    return body, ", ".join(details)


def _login(wanted: ServiceAccount, there: AccountState | None, id: str) -> Iterator[Change]:
    desired = auth_fields(wanted.ttl, wanted.max_ttl)
    # The whole path of the route, with the id as a part of its own.
    path = (universal_auth_path("").rstrip("/"), id)
    if there is None or there.auth is None:
        call = Call("POST", path, auth_body(desired))
        yield Change("+", f"universal auth of {wanted.identity}", calls=(call,))
        return
    differing = drift(desired, there.auth.fields)
    if differing:
        # The server refuses a lifetime above the longest one, so it is given both.
        body = {
            **differing,
            **{key: desired[key] for key in ("accessTokenTTL", "accessTokenMaxTTL")},
        }
        detail = words(differing, there.auth.fields)
        yield Change(
            "~", f"identity {wanted.identity}", detail, (Call("PATCH", path, auth_body(body)),)
        )


def _membership(
    wanted: ServiceAccount,
    there: AccountState | None,
    isolation: Isolation,
    actual: Actual,
    id: str,
) -> Iterator[Change]:
    role = "no-access" if isolation == "privilege" else "viewer"
    path = ("/api/v1/projects", _project(actual), "memberships/identities", id)
    body = {"roles": [{"role": role, "isTemporary": False}]}
    what = f"project membership of {wanted.identity}"
    if there is None or there.roles is None:
        yield Change("+", what, f"role {role}", (Call("POST", path, body),))
    elif there.roles != (role,):
        detail = f"role {_listed(there.roles)} → {role}"
        yield Change("~", what, detail, (Call("PATCH", path, body),))


def _privileges(
    wanted: ServiceAccount,
    there: AccountState | None,
    isolation: Isolation,
    actual: Actual,
    id: str,
) -> Iterator[Change]:
    present = there.privileges if there else ()
    own = named(present, PRIVILEGE, reading(wanted)) if isolation == "privilege" else None
    # Any other privilege would widen what our identity may do.
    for each in present:
        if each is not own:
            what = f"privilege {each.slug} of {wanted.identity}"
            yield Change("-", what, calls=(Call("DELETE", (OF_IDENTITIES, each.id)),))
    if isolation == "privilege" and own:
        yield from _drift(wanted, own)
    elif isolation == "privilege":
        body = {
            "identityId": id,
            "projectId": _project(actual),
            "slug": PRIVILEGE,
            "type": _LASTING,
            "permissions": reading(wanted),
        }
        what = f"privilege {PRIVILEGE} of {wanted.identity}"
        detail = f"{' and '.join(wanted.readable)} in {wanted.environment}"
        yield Change("+", what, detail, (Call("POST", (OF_IDENTITIES,), body),))


def _drift(wanted: ServiceAccount, own: Privilege) -> Iterator[Change]:
    reasons = []
    if own.is_temporary:
        reasons.append("temporary → lasting")
    if not are_equal(own.permissions, reading(wanted)):
        folders = " and ".join(wanted.readable)
        reasons.append(f"permissions → read {folders} in {wanted.environment} only")
    if reasons:
        body = {"slug": PRIVILEGE, "type": _LASTING, "permissions": reading(wanted)}
        what = f"privilege {PRIVILEGE} of {wanted.identity}"
        call = Call("PATCH", (OF_IDENTITIES, own.id), body)
        yield Change("~", what, ", ".join(reasons), (call,))


PERSON_PRIVILEGE = "managed-by-infisical-iac"

Json = dict[str, Any]

_READ = ["describeSecret", "readValue"]
_WRITE = ["create", "edit", "delete"]
_ACTIONS = {
    "viewer": {"secrets": _READ, "secret-folders": ["read"], "secret-imports": ["read"]},
    "developer": {
        "secrets": [*_READ, *_WRITE],
        "secret-folders": ["read"],
        "secret-imports": ["read"],
    },
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
    """The role in the project: an admin everywhere is an admin of the project."""
    return "admin" if access == "admin" else "no-access"


def permissions(access: Access, workspace: Workspace) -> list[Json]:
    """Return what the privilege that marks a person as ours permits; nothing where it only
    marks.
    """
    if access == "admin":
        return []
    return [
        {"subject": subject, "action": actions, "conditions": conditions}
        for grant in _grants(access, [each.slug for each in workspace.environments])
        for conditions in _conditions(grant)
        for subject, actions in _ACTIONS[grant.role].items()
    ]


def describe_access(access: Access) -> str:
    """The roles as a person reads them."""
    if access == "admin":
        return "admin of the project"
    if isinstance(access, str):
        return "no access" if access == "none" else f"{access} in every environment"
    told = [
        f"{grant.role} of {' and '.join(grant.folders)} in {grant.environment}"
        if grant.folders
        else f"{grant.role} in {grant.environment}"
        for grant in _grants(access, list(access))
    ]
    return ", ".join(told) or "no access"


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
