"""Find access that the project file does not give, with its origin and what removes it.

The free edition has no audit log. The server records the time at which something was made, and its
maker only for service tokens. Both are reported.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, get_args

from infisical_iac.agent.identities import DEPLOYER, PREFIX, ClientSecret, universal_auth_path
from infisical_iac.agent.privileges import OF_IDENTITIES, are_equal
from infisical_iac.agent.privileges import PRIVILEGE as OWN_FOLDER
from infisical_iac.core.change import Change
from infisical_iac.core.wording import join_names
from infisical_iac.workspace.credentials import is_made_for
from infisical_iac.workspace.goal import Goal, Memory, pair
from infisical_iac.workspace.model import NAMES_PRIVILEGE, PERSON_PRIVILEGE, Workspace
from infisical_iac.workspace.oidc import METHOD as OIDC
from infisical_iac.workspace.people_actual import names_of
from infisical_iac.workspace.privileges import OF_PERSONS
from infisical_iac.workspace.state import (
    Actual,
    ApiChange,
    Call,
    Duplicate,
    People,
    PersonState,
    Privilege,
    roles_of,
)
from infisical_iac.workspace.structure import match_environments

Kind = Literal[
    "organization admin",
    "login",
    "client secret",
    "service token",
    "secret sync",
    "import",
    "privilege",
    "second identity",
    "identity",
    "person",
    "group",
]
# In the order in which they are reported and removed: what depends on something comes first.
KINDS: tuple[Kind, ...] = get_args(Kind)

# The server makes this identity at its set-up, with a token that this project discards at once.
_FIRST_IDENTITY, _FIRST_METHOD = "Instance Admin Identity", "token-auth"
_UNIVERSAL = "universal-auth"
LEFT, UNKNOWN = "the file no longer names it", "the file does not name it"
_NO_ACCESS = "no-access"
_NOT_OURS = "this project did not make it"

# Access that only the administrator sees.
_BY_ADMIN = ("service token ", "privilege ")

Json = Mapping[str, Any]
# The first words of an entry that accepts an administrator of the server, whom only the drift check
# looks for.
SERVER_ADMIN = "server administrator"


@dataclass(frozen=True)
class AccessState:
    """The actual access to a project that `state.Actual` does not contain.

    Attributes:
        deployer: the id of the deployer's identity; empty if unknown.
        people_in_organization: the people of the organization, as the server lists them.
        people: the people in the project with their privileges.
        marked: the ids of identities in the project that have this project's mark and do not belong
            to a service of the file.
        privileges: by id, the privileges of identities in the project that do not belong to a
            service, and of the deployer; with the isolation `viewer`, of the services' too.
        secrets: the client secrets of the file's identities and of the deployer, by id.
        since: the time at which an identity got a login method, by id and method.
        groups: the groups in the project, as the server lists them; only a license makes groups,
            and they stay when it ends.
        groups_in_organization: the groups of the organization, as the server lists them.
        tokens: the service tokens of the project, as the server lists them.
        syncs: the secret syncs of the project, as the server lists them.
        unseen: a sentence on what could not be read, and why; empty if everything was.
        parts: with the isolation `projects`, the access to each project by the key of `goal.split`.
            The whole state then has only the access to the organization, and all projects' people.
    """

    deployer: str = ""
    people_in_organization: Sequence[Json] = ()
    people: People = field(default_factory=lambda: People({}, {}))
    marked: frozenset[str] = frozenset()
    privileges: Mapping[str, Sequence[Privilege]] = field(default_factory=dict)
    secrets: Mapping[str, Sequence[ClientSecret]] = field(default_factory=dict)
    since: Mapping[tuple[str, str], str] = field(default_factory=dict)
    groups: Sequence[Json] = ()
    groups_in_organization: Sequence[Json] = ()
    tokens: Sequence[Json] = ()
    syncs: Sequence[Json] = ()
    unseen: str = ""
    parts: Mapping[str, "AccessState"] = field(default_factory=dict)


@dataclass(frozen=True)
class ForeignAccess:
    """One access that the project file does not give.

    Attributes:
        id: the server's id of what gives the access.
        what: its name, such as `identity ci-runner with role viewer`; an entry of `accepted`
            repeats it.
        why: the reason why it is foreign.
        removal: the change that ends it; None for an identity that pruning deletes as a whole.
        where: `project`, `organization`, or the name of the identity that one can log in as.
        made_by, made_at: as far as the server reports them; else empty.
    """

    kind: Kind
    id: str
    what: str
    why: str
    removal: ApiChange | None
    where: str = "project"
    made_by: str = ""
    made_at: str = ""

    @property
    def change(self) -> Change:
        """Return the finding for people."""
        at = self.made_at
        made = (f" by {self.made_by}" if self.made_by else "") + (f" at {at}" if at else "")
        parts = [self.why, f"made{made}" if made else "", f"id {self.id}"]
        return Change("*", self.what, "; ".join(filter(None, parts)))

    @property
    def data(self) -> dict[str, Any]:
        """Return the finding as data for JSON."""
        names = ("kind", "id", "what", "where", "why", "made_by", "made_at")
        return {name: getattr(self, name) for name in names}


def find(
    goal: Goal, actual: Actual, access: AccessState, deployer_secret: str = ""
) -> list[ForeignAccess]:
    """Return every access to the project that nothing in the file gives, in the order of KINDS.

    While the deployer's own identity is unknown, no identities are reported: it would be among
    them.

    Args:
        deployer_secret: as `own_secret` takes it. While the deployer's own client secret is
            unknown, none of its client secrets is reported.
    """
    if not actual.project_ids:
        return []
    found = [
        *_organization_admins(actual, access, goal.admin_email),
        *_logins(actual, access),
        *_secrets(goal.desired, actual, access, own_secret(access, deployer_secret)),
    ]
    for each, there in pair(goal, actual):
        here = _in_project(each, there, access.parts.get(each.key, access))
        found += (_name_project(one, there.slug) for one in here) if each.key else here
    if goal.is_split:
        found += _left_identities(goal, actual, {each.id for each in found})
    dated = (replace(each, made_at=_format_time(each.made_at)) for each in found)
    return sorted(dated, key=lambda each: (KINDS.index(each.kind), each.what, each.id))


def _left_identities(goal: Goal, actual: Actual, found: Collection[str]) -> Iterator[ForeignAccess]:
    """Yield our identities that the file no longer names and none of its projects contains."""
    there = {each["identity"]["id"] for each in actual.listed.identities}
    for name, id in goal.memory.identities.items():
        if id in there and id not in {*found, *actual.own}:
            yield ForeignAccess("identity", id, f"identity {name}", LEFT, None, "organization")


def _in_project(goal: Goal, actual: Actual, access: AccessState) -> Iterator[ForeignAccess]:
    if actual.project is not None:
        yield from _tokens(access)
        yield from _syncs(access)
        yield from _imports(goal, actual)
        yield from _privileges(goal.desired, actual, access)
        yield from _duplicates(actual)
        yield from _identities(actual, access, goal.memory)
        yield from _persons(goal.desired, actual, access)
        yield from _groups(actual, access)


def _name_project(found: ForeignAccess, project: str) -> ForeignAccess:
    """Return access to one of several projects, with the slug of the project in its names."""
    removal = found.removal
    return replace(
        found,
        what=f"{found.what} in {project}",
        where=project if found.where == "project" else found.where,
        removal=removal and replace(removal, what=f"{removal.what} in {project}"),
    )


def filter_accepted(
    findings: Sequence[ForeignAccess], desired: Workspace, access: AccessState
) -> tuple[list[ForeignAccess], list[str]]:
    """Return the findings that the file does not accept, and notes.

    The notes name what could not be read, and each entry of `accepted` that accepts nothing. An
    entry accepts one finding. If several have its name, which any member can cause, it accepts none
    unless it gives the id of one.
    """
    accepted: set[tuple[Kind, str]] = set()
    notes = [access.unseen] if access.unseen else []
    for entry in desired.accepted:
        named = [each for each in findings if each.what == entry.what]
        meant = [each for each in named if entry.id in ("", each.id)]
        if len(meant) == 1:
            accepted.add((meant[0].kind, meant[0].id))
        elif named:
            ids = " or ".join(each.id for each in named)
            notes.append(
                f"accepted: {entry.what!r} is ambiguous, as {ids} may be meant: write the id of "
                "the intended one, as `id:`"
            )
        elif not (
            entry.what.startswith(f"{SERVER_ADMIN} ")
            or (access.unseen and entry.what.startswith(_BY_ADMIN))
        ):
            notes.append(f"accepted: there is no {entry.what!r} any more: remove the entry")
    return [each for each in findings if (each.kind, each.id) not in accepted], notes


def left_behind(
    findings: Sequence[ForeignAccess], goal: Goal, actual: Actual, *, prunes: bool = False
) -> list[str]:
    """Return a sentence on the credentials of each service that the file no longer names.

    Args:
        findings: as `filter_accepted` returns them.
        prunes: whether the credentials are to be revoked now. If so, report only credentials that a
            service not created yet could take over.
    """
    seats = [each for state in (actual, *actual.parts.values()) for each in state.listed.seats]
    names = {each["identityId"]: each["identity"]["name"] for each in seats}
    names |= {id: name for name, id in goal.memory.identities.items()}
    slugs = sorted((each.slug for each in goal.desired.environments), key=len, reverse=True)
    left: dict[str, list[str]] = {}
    for each in findings:
        name = names.get(each.id, "") if each.kind == "identity" and each.removal is None else ""
        slug = next((slug for slug in slugs if name.endswith(f"-{slug}")), "")
        if slug and slug not in left.setdefault(name.removesuffix(f"-{slug}"), []):
            left[name.removesuffix(f"-{slug}")].append(slug)
    new = {
        each.environment for each in goal.desired.accounts() if each.identity not in actual.accounts
    }
    heirs = goal.desired.renamed_services
    sentences = []
    for service, environments in left.items():
        may_be_renamed = service not in heirs and not new.isdisjoint(environments)
        if prunes and not may_be_renamed:
            continue
        listed = join_names(f"{service}.{slug}" for slug in environments)
        said = f"credentials of {listed} belong to no service of the project file"
        if service in heirs:
            said = (
                f"credentials of {listed} stay, as {heirs[service]} already has credentials of its "
                "own there"
            )
        end = "`infisical-iac workspace apply --prune` revokes them"
        end += (
            f"; if the service was renamed, add `renamed_from: {service}` to it first"
            if may_be_renamed
            else "; programs that still use them then fail"
        )
        sentences.append(f"{said}: {end}")
    return sentences


def declared_identities(actual: Actual, deployer: str) -> frozenset[str]:
    """Return the ids of the identities that a deploy makes, or that come with the instance."""
    return (actual.own | {deployer, _first_identity(actual)}) - {""}


def find_undeclared(actual: Actual, deployer: str) -> list[Json]:
    """Return the identities in the project that are neither an account's nor a duplicate of it."""
    # A membership of those in `kin` is ended as drift.
    known = {deployer, *actual.own, *actual.kin, *(each.id for each in actual.duplicates)}
    return [each for each in actual.listed.seats if each["identityId"] not in known]


def further_methods(actual: Actual, deployer: str) -> Iterator[tuple[str, str, str]]:
    """Yield id, name and method of each login method that our identities have and don't need."""
    names = {each.identity.id: name for name, each in actual.accounts.items()}
    by_token = {each.identity.id for each in actual.accounts.values() if each.oidc is not None}
    if deployer:
        names[deployer] = DEPLOYER
    first = _first_identity(actual)
    for each in actual.listed.identities:
        id, inner = each["identity"]["id"], each["identity"]
        needed = _UNIVERSAL if id in names else _FIRST_METHOD
        needed = OIDC if id in by_token else needed
        if id in names or id == first:
            for method in inner["authMethods"]:
                if method != needed:
                    yield id, names.get(id, inner["name"]), method


def _first_identity(actual: Actual) -> str:
    """Return the id of the identity that the server made at its set-up; empty if it is gone.

    Others may give an identity the same name, but none can be older.
    """
    listed = actual.listed.identities
    oldest = min(listed, key=lambda each: str(each.get("createdAt")), default=None)
    if oldest is None or oldest["identity"]["name"] != _FIRST_IDENTITY:
        return ""
    return str(oldest["identity"]["id"])


def _organization_admins(
    actual: Actual, access: AccessState, admin_email: str
) -> Iterator[ForeignAccess]:
    path = ("/api/v2/organizations", actual.organization_id, "memberships")
    for each in access.people_in_organization:
        names = names_of(each["user"])
        if each["role"] == "admin" and admin_email.lower() not in names:
            # The server silently ignores this request from a machine identity.
            call = Call("PATCH", (*path, each["id"]), {"role": "member"}, by_admin=True)
            yield _organization_admin(each["id"], names[0], "member", call)
    for each in access.groups_in_organization:
        if "admin" in roles_of(each):
            group, body = each["group"], {"roles": [{"role": _NO_ACCESS}]}
            group_path = ("/api/v1/organizations/memberships/groups", group["id"])
            call = Call("PATCH", group_path, body, by_admin=True)
            found = _organization_admin(group["id"], f"group {group['name']}", _NO_ACCESS, call)
            yield replace(found, made_at=each.get("createdAt", ""))
    ours = {*actual.own, access.deployer, _first_identity(actual)}
    for each in actual.listed.identities if access.deployer else ():
        id, name = each["identity"]["id"], each["identity"]["name"]
        if each["role"] == "admin" and id not in ours:
            call = Call("PATCH", ("/api/v1/identities", id), {"role": _NO_ACCESS})
            found = _organization_admin(id, f"identity {name}", _NO_ACCESS, call)
            yield replace(found, made_at=each.get("createdAt", ""))


def _organization_admin(id: str, name: str, role: str, call: Call) -> ForeignAccess:
    what, why = f"organization admin {name}", "may give itself any access"
    change = ApiChange("~", what, f"role in the organization admin → {role}", (call,))
    return ForeignAccess("organization admin", id, what, why, change, "organization")


def _logins(actual: Actual, access: AccessState) -> Iterator[ForeignAccess]:
    first = _first_identity(actual)
    why = "a login method that is not needed"
    for id, name, method in further_methods(actual, access.deployer):
        what, made = f"{method} of {name}", access.since.get((id, method), "")
        # The deployer may not change the identity that administers the whole instance.
        call = Call("DELETE", (f"/api/v1/auth/{method}/identities", id), by_admin=id == first)
        change = ApiChange("-", what, "with all tokens of it", (call,))
        yield ForeignAccess("login", f"{id} {method}", what, why, change, name, made_at=made)


def own_secret(access: AccessState, known: str) -> str:
    """Return the id of the client secret that the deployer logs in with; empty if unknown.

    Args:
        known: that id, or else the beginning of the secret; empty if neither is known.
    """
    if len(known) > PREFIX:
        return known
    held = access.secrets.get(access.deployer, ())
    meant = [each.id for each in held if len(held) == 1 or (known and each.prefix == known)]
    return meant[0] if len(meant) == 1 else ""


def _secrets(
    desired: Workspace, actual: Actual, access: AccessState, deployer_secret: str
) -> Iterator[ForeignAccess]:
    accounts = {account.identity: account for account in desired.every_account()}
    holders = [(name, each.identity.id) for name, each in actual.accounts.items()]
    for name, holder in [*holders, *([(DEPLOYER, access.deployer)] if deployer_secret else [])]:
        for each in access.secrets.get(holder, ()):
            if deployer_secret == each.id or (
                name in accounts and is_made_for(accounts[name], each)
            ):
                continue
            named = repr(each.description) if each.description else "without a description"
            what, made = f"client secret {named} of {name}", each.created.isoformat()
            path = (universal_auth_path(holder), "client-secrets", each.id, "revoke")
            change = ApiChange("-", what, "with its tokens", (Call("POST", path, {}),))
            yield ForeignAccess(
                "client secret", each.id, what, _NOT_OURS, change, name, made_at=made
            )


def _tokens(access: AccessState) -> Iterator[ForeignAccess]:
    makers = {
        each["user"]["id"]: names_of(each["user"])[0] for each in access.people_in_organization
    }
    for each in access.tokens:
        scopes = [f"{scope['secretPath']} in {scope['environment']}" for scope in each["scopes"]]
        # No enumeration with commas: an entry of `accepted` repeats this name.
        what = f"service token {each['name']} to {' and '.join(each['permissions'])} "
        what += " and ".join(sorted(scopes))
        call = Call("DELETE", ("/api/v2/service-token", each["id"]), by_admin=True)
        yield ForeignAccess(
            "service token",
            each["id"],
            what,
            f"ends {_format_time(each['expiresAt'])}" if each.get("expiresAt") else "never ends",
            ApiChange("-", what, "", (call,)),
            made_by=makers.get(each["createdBy"]) or str(each["createdBy"]),
            made_at=each["createdAt"],
        )


def _syncs(access: AccessState) -> Iterator[ForeignAccess]:
    for each in access.syncs:
        id, to = each["id"], each["destination"]
        # Both are empty for a sync whose folder was deleted since.
        path = (each.get("folder") or {}).get("path", "no folder")
        environment = (each.get("environment") or {}).get("slug", "no environment")
        what = f"secret sync {each['name']} of {path} in {environment} to {to}"
        call = Call("DELETE", ("/api/v1/secret-syncs", to, id))
        change = ApiChange(
            "-", what, "the secrets that it has sent stay at their destination", (call,)
        )
        why, made = "sends secrets elsewhere", each.get("createdAt", "")
        yield ForeignAccess("secret sync", id, what, why, change, made_at=made)


def _imports(goal: Goal, actual: Actual) -> Iterator[ForeignAccess]:
    slugs = {each.id: each.slug for each in actual.environments}
    services, known = goal.desired.services.values(), goal.memory.environments
    for slug, there in match_environments(goal.desired, actual, known).items():
        for folder, found in there.imports.items():
            importing = [each for each in services if each.folder == folder]
            desired_imports = {(there.id, source) for each in importing for source in each.imports}
            for each in found:
                # Imports that runs made and the file no longer names are this project's own.
                if each.source in desired_imports or each.id in goal.memory.made:
                    continue
                environment, path = each.source
                of = "" if environment == there.id else f" of {slugs.get(environment, environment)}"
                what = f"import of {path}{of} into {folder} in {slug}"
                place = {"environment": there.slug, "path": each.folder}
                body = {"projectId": actual.project_id, **place}
                call = Call("DELETE", ("/api/v2/secret-imports", each.id), body)
                why, change = "may give services other values", ApiChange("-", what, "", (call,))
                yield ForeignAccess("import", each.id, what, why, change)


def _privileges(desired: Workspace, actual: Actual, access: AccessState) -> Iterator[ForeignAccess]:
    """Yield foreign privileges of the deployer, and of services where no change covers them."""
    for privilege in access.privileges.get(access.deployer, ()):
        yield _privilege(privilege, DEPLOYER, OF_IDENTITIES, by_admin=False)
    # The privileges of a job with `sees: names` are compared elsewhere, as drift.
    for account in (each for each in desired.every_account() if each.sees_values):
        there = actual.accounts.get(account.identity)
        for privilege in access.privileges.get(there.identity.id, ()) if there else ():
            # Such a privilege was granted for the other isolation, and permits less than the role.
            is_ours = are_equal(privilege.permissions, account.grants)
            if privilege.slug != OWN_FOLDER or not is_ours:
                yield _privilege(privilege, account.identity, OF_IDENTITIES, by_admin=False)


def _duplicates(actual: Actual) -> Iterator[ForeignAccess]:
    since = {each["identityId"]: each.get("createdAt", "") for each in actual.listed.seats}
    why = "an earlier run made it, and it can log in to the project"
    for each in actual.duplicates:
        what, change = f"second identity {each.name}", _end_duplicate(actual.project_id, each)
        made = since.get(each.id, "")
        yield ForeignAccess("second identity", each.id, what, why, change, made_at=made)


def _end_duplicate(project: str, duplicate: Duplicate) -> ApiChange:
    """Return the change that removes the access that this project gave a duplicate."""
    id, secrets = duplicate.id, duplicate.secrets
    path = universal_auth_path(id)
    calls = (
        *(Call("POST", (path, "client-secrets", each, "revoke"), {}) for each in secrets),
        # The server removes the privileges of a member with its membership.
        Call("DELETE", ("/api/v1/projects", project, "memberships/identities", id)),
    )
    count = len(secrets)
    counted = f" and {count} client secret{'' if count == 1 else 's'}" if count else ""
    what, detail = f"access of the duplicate {duplicate.name}", f"membership{counted} of {id}"
    return ApiChange("-", what, detail, calls)


def _identities(actual: Actual, access: AccessState, memory: Memory) -> Iterator[ForeignAccess]:
    project = ("/api/v1/projects", actual.project_id)
    ours = {*access.marked, *memory.identities.values()}
    for each in find_undeclared(actual, access.deployer) if access.deployer else ():
        id, inner, made = each["identityId"], each["identity"], each.get("createdAt", "")
        name = inner["name"]
        # The identity of another deployer is foreign, though a run of this project made it.
        is_ours = id in ours and name != DEPLOYER
        for privilege in access.privileges.get(id, ()):
            if not is_ours or privilege.slug not in (OWN_FOLDER, NAMES_PRIVILEGE):
                yield _privilege(privilege, name, OF_IDENTITIES, by_admin=False)
        what = f"identity {name} with role {', '.join(roles_of(each)) or 'none'}"
        call = Call("DELETE", (*project, "memberships/identities", id))
        change = ApiChange("-", what, "membership of the project", (call,))
        if inner.get("projectId"):  # it exists only in the project
            call = Call("DELETE", (*project, "identities", id))
            change = ApiChange("-", what, "the identity itself", (call,))
        if is_ours:
            yield ForeignAccess("identity", id, what, LEFT, None, made_at=made)
        else:
            yield ForeignAccess("identity", id, what, UNKNOWN, change, made_at=made)


def _persons(desired: Workspace, actual: Actual, access: AccessState) -> Iterator[ForeignAccess]:
    members = access.people.members
    states = {each.membership_id: each for each in members.values()}
    declared = {
        each.membership_id: email for email, each in members.items() if email in desired.people
    }
    first = actual.admin.membership_id if actual.admin else ""
    for each in actual.listed.persons:
        id, made = each["id"], each.get("createdAt", "")
        if id == first:
            continue
        name = declared.get(id) or names_of(each["user"])[0]
        state = states.get(id, PersonState(id, roles_of(each)))
        held = state.privileges or ()
        for privilege in held:
            if privilege.slug != PERSON_PRIVILEGE:
                yield _privilege(privilege, name, OF_PERSONS, by_admin=True)
        if id in declared:
            continue
        why = LEFT if any(each.slug == PERSON_PRIVILEGE for each in held) else UNKNOWN
        what = f"person {name} with role {', '.join(state.roles) or 'none'}"
        call = Call("DELETE", ("/api/v1/projects", actual.project_id, "memberships", id))
        change = ApiChange("-", f"person {name}", "no member of the project any more", (call,))
        yield ForeignAccess("person", id, what, why, change, made_at=made)


def _groups(actual: Actual, access: AccessState) -> Iterator[ForeignAccess]:
    """Yield the groups in the project whose role gives their members access."""
    for each in access.groups:
        id, roles = each["group"]["id"], roles_of(each)
        if roles == (_NO_ACCESS,):
            continue
        what = f"group {each['group']['name']} with role {', '.join(roles) or 'none'}"
        call = Call("DELETE", ("/api/v1/projects", actual.project_id, "memberships/groups", id))
        change = ApiChange("-", what, "membership of the project; the group stays", (call,))
        why, made = "gives its members more than the file does", each.get("createdAt", "")
        yield ForeignAccess("group", id, what, why, change, made_at=made)


def _privilege(held: Privilege, holder: str, path: str, *, by_admin: bool) -> ForeignAccess:
    # An accepted privilege is accepted as it is now, not with permissions added later.
    permits = sha256(json.dumps(held.permissions, sort_keys=True).encode()).hexdigest()[:8]
    for_a_time = " for a time" if held.is_temporary else ""
    name = f"privilege {held.slug} of {holder}"
    what, why = f"{name}{for_a_time}, permissions {permits}", "gives more than the file does"
    change = ApiChange("-", name, "", (Call("DELETE", (path, held.id), by_admin=by_admin),))
    return ForeignAccess("privilege", held.id, what, why, change, made_at=held.created)


def _format_time(text: str) -> str:
    """Return a moment in the format used everywhere here; empty for none."""
    if not text:
        return ""
    return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ")
