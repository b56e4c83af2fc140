"""Bootstrap the instance: one administrator, closed sign-up, and the identity that deploys.

A run may be killed at any point. The administrator's password, which agent/keys.py makes,
and the deployer's secret are on the host before anything depends on them, and every step first
checks whether it is still needed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from pyinfra.context import state

from infisical_iac.agent import bootstrap as agent_bootstrap
from infisical_iac.api import contents, identities, instance
from infisical_iac.api.client import Client, gather_by
from infisical_iac.api.identities import (
    DEPLOYER,
    DEPLOYER_SECRET,
    Identity,
    attach_universal_auth,
    auth_fields,
    client_secrets,
    create_client_secret,
    patch_universal_auth,
    revoke_client_secret,
    universal_auth,
)
from infisical_iac.core.agent import perform, question
from infisical_iac.core.change import Change
from infisical_iac.core.errors import ApiError, NotBootstrapped, UserError
from infisical_iac.core.operation import Commands, decide_changes, planned_operation, step
from infisical_iac.core.remote import write
from infisical_iac.stack import session
from infisical_iac.stack.model import DEPLOYER_FILE
from infisical_iac.workspace import canary
from infisical_iac.workspace.access import identity_drift
from infisical_iac.workspace.reconcile import known_memory
from infisical_iac.workspace.state import diff_fields, roles_of, words

_TTL, _MAX_TTL = 600, 3600
_NO_LOGIN = "can't log in → can"
# The statuses for a client without rights, and for a missing object.
_REFUSALS = (403, 404)
# Names that the server accepts for a renamed organization; its bootstrap accepts any name.
_RENAMABLE = r"[A-Za-z0-9 _-]{1,64}"


@dataclass(frozen=True)
class DesiredInstance:
    """The desired instance, and the port of its API.

    Attributes:
        projects: the projects that the deployer must be an admin of, slug to id. The ids are those
            of the last run, and empty before the first.
    """

    organization: str
    admin_email: str
    port: int
    projects: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceState:
    """The actual state of an instance.

    Attributes:
        is_open: whether sign-up is open, as before the bootstrap.
        organization: the name of the organization; empty if unknown.
        differs: how the deployer differs from the desired one; empty if it does not.
        unseen: why the instance can't be inspected yet; empty if it can.
    """

    is_initialized: bool = False
    is_open: bool = False
    organization: str = ""
    differs: str = ""
    unseen: str = ""


@planned_operation
def accounts(*, organization: str, admin_email: str, port: int, project: str) -> Commands:
    """Give the instance its administrator, close sign-up, and make the deployer identity.

    A deployer that lost its role in the organization, in the project of this slug, in the canary's
    project or in one of a service gets it back.

    Raises UserError, with nothing changed, for an instance that someone else set up, or that has
    more than one administrator or organization after the bootstrap.
    """
    memory = known_memory(again=True)
    parts = {each.slug: each.project for each in memory.parts.values()}
    projects = {project: memory.project, canary.SLUG: memory.canary, **parts}
    desired = DesiredInstance(organization, admin_email, port, projects)
    there = _observe(desired)
    if there.is_initialized and any(each.kind != "!" for each in due(desired, there)):
        session.administrator(port)
    yield from decide(desired, there)


def due(desired: DesiredInstance, there: InstanceState) -> list[Change]:
    """Return the changes due, and the differences that only a person can correct."""
    changes = []
    if not there.is_initialized:
        changes.append(Change("+", f"administrator {desired.admin_email}"))
        changes.append(Change("+", f"organization {desired.organization}"))
    if there.organization not in ("", desired.organization):
        changes.append(_rename(there.organization, desired.organization))
    if there.is_open:
        changes.append(Change("~", "sign-up", "open → closed"))
    if there.differs:
        changes.append(Change("~", f"identity {DEPLOYER}", there.differs))
    elif not there.is_initialized:
        changes.append(Change("+", f"identity {DEPLOYER}"))
    return changes


def _rename(actual: str, desired: str) -> Change:
    if re.fullmatch(_RENAMABLE, desired):
        return Change("~", f"organization {desired}", f"name {actual} → {desired}")
    return Change(
        "!",
        f"organization {actual}",
        f"blocked: Infisical does not rename an organization to {desired!r}, only to letters "
        "(A to Z), digits, spaces, hyphens and underscores: set organization to such a name, or to "
        f"{actual!r}",
    )


def decide(desired: DesiredInstance, there: InstanceState) -> Commands:
    """Yield the changes due, and the command that makes them."""
    changes = due(desired, there)
    if changes and all(each.kind == "!" for each in changes) and not there.unseen:
        yield from changes
        return
    up_to_date = "the instance is bootstrapped, sign-up is closed, the deployer logs in"
    yield from decide_changes(changes, step(_bootstrap, desired), up_to_date, there.unseen)


def _observe(desired: DesiredInstance) -> InstanceState:
    port = desired.port
    if not state.is_executing and not session.answers(port):
        # An earlier step of this run starts it.
        unseen = session.unknown_contents()
        return InstanceState(is_open=not unseen, unseen=unseen)
    api = session.api(port)
    if not instance.is_initialized(api):
        return InstanceState(is_open=True)
    return InstanceState(
        is_initialized=True,
        is_open=instance.signup_is_open(api),
        organization=_organization_name(port),
        differs=_deployer_drift(port, desired.projects),
    )


def _organization_name(port: int) -> str:
    """Return the name of the deployer's organization; empty if the deployer can't log in."""
    try:
        return identities.organization(session.deployer(port)).name
    except NotBootstrapped:
        return ""


def _deployer_drift(port: int, projects: Mapping[str, str]) -> str:
    """Return how the deployer differs from the desired one, for people; empty if it does not."""
    try:
        client = session.deployer(port)
    except NotBootstrapped:
        return _NO_LOGIN
    try:
        found = _find(client, identities.organization_id(client), session.deployer_id(port))
        auth = universal_auth(client, found.id) if found else None
    except ApiError as error:
        if error.status != 403:
            raise
        return "role in the organization → admin"
    if found is None or auth is None:
        return _NO_LOGIN
    _, of_identity = identity_drift(found, DEPLOYER, "admin")
    of_login = words(diff_fields(auth_fields(_TTL, _MAX_TTL), auth.fields), auth.fields)
    return ", ".join(
        filter(None, [of_identity, of_login, *seats_drift(client, found.id, projects)])
    )


def seats_drift(client: Client, deployer: str, projects: Mapping[str, str]) -> list[str]:
    """Return the projects that a deployer is not an admin of, for people.

    Args:
        client: with the token of the deployer.
        deployer: the id of its identity.
        projects: by slug, the ids as after the last run; empty before.

    Raises ApiError or Unreachable.
    """
    seats = gather_by(projects.items(), lambda each: _seat(client, deployer, *each))
    return [
        f"role in the project {slug} {', '.join(roles) or 'none'} → admin"
        for (slug, _), roles in seats.items()
        if roles is not None and "admin" not in roles
    ]


def _seat(client: Client, deployer: str, slug: str, known: str) -> tuple[str, ...] | None:
    """Return the deployer's roles in a project; None if there is no such project."""
    try:
        found = {"id": known} if known else contents.project(client, slug)
        if found is None:
            return None
        answer = client.get(_seat_path(found["id"], deployer))
        return roles_of(answer["identityMembership"])
    except ApiError as error:
        if error.status not in _REFUSALS:
            raise
    # A client that is not a member is refused every request about the project.
    paths = [f"/api/v1/projects/{known}"] * bool(known) + [f"/api/v1/projects/slug/{slug}"]
    return () if any(_is_there(client, each) for each in paths) else None


def _is_there(client: Client, path: str) -> bool:
    try:
        client.get(path)
    except ApiError as error:
        if error.status not in _REFUSALS:
            raise
        return error.status == 403
    return True


def _seat_path(project: str, deployer: str) -> str:
    return f"/api/v1/projects/{project}/memberships/identities/{deployer}"


def _find(client: Client, organization: str, client_id: str) -> Identity | None:
    """Return the identity with a client id, or else this project's own deployer identity."""
    found = identities.find(client, organization, DEPLOYER)
    if not client_id or (found and _has_client_id(client, client_id, found.id)):
        return found
    ids = [each["id"] for each in identities.everybody(client, organization)]
    owns = gather_by(ids, partial(_has_client_id, client, client_id))
    return next(iter(identities.read_all(client, filter(owns.get, ids))), found)


def _has_client_id(client: Client, client_id: str, id: str) -> bool:
    auth = universal_auth(client, id)
    return auth is not None and auth.client_id == client_id


def _bootstrap(desired: DesiredInstance) -> None:
    asked = question(
        agent_bootstrap.bootstrap, port=desired.port, organization=desired.organization
    )
    perform(asked, doing="bootstrap Infisical")
    admin = session.administrator(desired.port)
    instance.close_signup(admin)
    if instance.signup_is_open(session.api(desired.port)):
        raise UserError(
            "sign-up stays open although it was closed: look for an override of allowSignUp "
            "in Infisical's server admin console"
        )
    _make_deployer(admin, desired)
    session.forget()
    session.deployer(desired.port)


def _refuse_other_admins(census: instance.Census, admin_email: str) -> None:
    if census.super_admins != [admin_email] or len(census.organizations) != 1:
        admins = ", ".join(census.super_admins) or "nobody"
        organizations = ", ".join(each.name for each in census.organizations) or "none"
        raise UserError(
            f"there must be one super admin, {admin_email}, and one organization, but there are "
            f"{admins} and {organizations}: someone else bootstrapped at the same moment; "
            "remove the stack with its volumes and run again"
        )


def _make_deployer(admin: Client, desired: DesiredInstance) -> None:
    own = instance.own_organizations(admin)[0]
    if own.name != desired.organization and re.fullmatch(_RENAMABLE, desired.organization):
        instance.rename_organization(admin, own.id, desired.organization)
    organization = own.id
    client_id = session.read_env(DEPLOYER_FILE).get("INFISICAL_CLIENT_ID", "")
    found = _find(admin, organization, client_id)
    if found is None:
        # Later the administrator may have added others.
        _refuse_other_admins(instance.census(admin), desired.admin_email)
    deployer = found or identities.create(admin, organization, DEPLOYER, role="admin")
    body, _ = identity_drift(deployer, DEPLOYER, "admin")
    if body:
        admin.patch(f"/api/v1/identities/{deployer.id}", json=body)
    for slug, known in desired.projects.items():
        _seat_deployer(admin, deployer.id, slug, known, desired.admin_email)
    auth = universal_auth(admin, deployer.id)
    if auth is None:
        auth = attach_universal_auth(admin, deployer.id, _TTL, _MAX_TTL)
    elif diff_fields(auth_fields(_TTL, _MAX_TTL), auth.fields):
        patch_universal_auth(admin, deployer.id, _TTL, _MAX_TTL)
    secret = create_client_secret(admin, deployer.id, DEPLOYER_SECRET)
    write(
        DEPLOYER_FILE,
        f"# client secret {secret.id}\n"
        f"INFISICAL_CLIENT_ID={auth.client_id}\nINFISICAL_CLIENT_SECRET={secret.value}\n",
    )
    for old in client_secrets(admin, deployer.id):
        if old.description == DEPLOYER_SECRET and old.id != secret.id:
            revoke_client_secret(admin, deployer.id, old.id)


def _seat_deployer(admin: Client, deployer: str, slug: str, known: str, admin_email: str) -> None:
    """Make the deployer an admin of a project again, if the project exists."""
    try:
        try:
            _seat_in_project(admin, deployer, slug, known)
        except ApiError as error:
            if error.status != 403 or not known:
                raise
            # An admin of the organization may become an admin of each of its projects.
            admin.post(f"/api/v1/organization-admin/projects/{known}/grant-admin-access", json={})
            _seat_in_project(admin, deployer, slug, known)
    except ApiError as error:
        if error.status not in _REFUSALS:
            raise
        raise UserError(
            f"the deployer has lost its role in the project {slug}, and {admin_email} is not an "
            "admin of it either: make one of them an admin of it in Infisical, and run again"
        ) from None


def _seat_in_project(admin: Client, deployer: str, slug: str, known: str) -> None:
    is_known = bool(known and contents.slug_of(admin, known))
    found = {"id": known} if is_known else contents.project(admin, slug)
    if found is None:
        return
    path = _seat_path(found["id"], deployer)
    body = {"roles": [{"role": "admin", "isTemporary": False}]}
    try:
        roles = roles_of(admin.get(path)["identityMembership"])
    except ApiError as error:
        if error.status != 404:
            raise
        admin.post(path, json=body)
    else:
        if "admin" not in roles:
            admin.patch(path, json=body)
