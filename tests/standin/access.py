"""Authenticate callers, and find their permissions in an organization or a project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from . import sessions, tokens
from .errors import forbidden_error, not_found, unauthorized_error
from .people import whole
from .permissions import Permissions, Rule, permission_denied, role_rules
from .store import Document, Store, now

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True)
class Actor:
    """The owner of a token."""

    kind: str
    id: str
    org_id: str | None
    token_id: str = ""
    super_admin: bool = False
    auth_method: str = "email"
    mfa_method: str | None = None


def authenticate(store: Store, header: str | None, secret: str) -> Actor:
    """Return the actor of an Authorization header; raise a 401 or 403 answer for a bad one."""
    claims = tokens.verify(tokens.bearer(header), secret)
    if claims.get("authTokenType") == "identityAccessToken":
        return _identity(store, claims)
    if claims.get("authTokenType") != "accessToken":
        raise unauthorized_error("Token missing")
    user = store.get("users", claims.get("userId", ""))
    if user is None:
        raise not_found("User not found")
    if claims.get("accessVersion", 1) != whole(user)["sessionVersion"]:
        raise not_found("The requested entity is not found", "Session not found")
    sessions.check(store, claims)
    return Actor(
        "user",
        user["id"],
        claims.get("organizationId"),
        super_admin=user["superAdmin"],
        auth_method=claims.get("authMethod", "email"),
        mfa_method=claims.get("mfaMethod"),
    )


def _identity(store: Store, claims: dict[str, Any]) -> Actor:
    if "exp" not in claims:
        raise unauthorized_error("Identity access token exceeded max age, please re-authenticate")
    token = store.get("identity_access_tokens", claims["identityAccessTokenId"])
    identity = store.get("identities", claims["identityId"])
    if token is None or identity is None:
        raise unauthorized_error("Failed to authorize: token has been revoked")
    if token["numUsesLimit"]:
        if token["numUses"] >= token["numUsesLimit"]:
            raise unauthorized_error(
                "Unable to authenticate, the token's number of uses is exceeded"
            )
        store.update("identity_access_tokens", token["id"], numUses=token["numUses"] + 1)
    return Actor("identity", identity["id"], identity["orgId"], token["id"])


def require_org_action(store: Store, actor: Actor, action: str, subject: str) -> None:
    """Raise a 403 answer unless the role in the organization allows it.

    Admins may do everything, members may read, others nothing.
    """
    membership = store.first("org_memberships", orgId=actor.org_id, actorId=actor.id)
    role = membership["role"] if membership else "no-access"
    if role != "admin" and not (role == "member" and action == "read"):
        raise permission_denied(action, subject)


def is_live(grant: Document) -> bool:
    """Return whether a role or privilege is permanent, or temporary and not yet expired."""
    end = grant.get("temporaryAccessEndTime")
    return not grant.get("isTemporary") or not end or now() < datetime.fromisoformat(end)


class ProjectAccess:
    """Permissions of each actor in each project, cached in Redis for a few seconds.

    The real server does so too: a change takes effect on all servers of one Redis at once.
    """

    def __init__(self, redis: Redis, remember_seconds: float, privileges: str) -> None:
        self._redis = redis
        self._privileges = privileges
        self._milliseconds = int(remember_seconds * 1000)

    def permissions(self, store: Store, actor: Actor, project_id: str) -> Permissions:
        """Return the permissions; raise a 404 or 403 answer without a project or membership."""
        key = f"project-permission:{project_id}:{actor.id}"
        known = cast("bytes | None", self._redis.get(key))
        if known is not None:
            return Permissions(map(Rule.of, json.loads(known)))
        rules = self._load(store, actor, project_id)
        if self._milliseconds:
            details = json.dumps([rule.detail() for rule in rules])
            self._redis.set(key, details, px=self._milliseconds)
        return Permissions(rules)

    def _load(self, store: Store, actor: Actor, project_id: str) -> list[Rule]:
        project = store.get("projects", project_id)
        if project is None or project["orgId"] != actor.org_id:
            raise not_found(f"Project with ID '{project_id}' not found")
        membership = store.first("project_memberships", projectId=project_id, actorId=actor.id)
        if membership is None:
            raise forbidden_error(
                f"You are not a member of this project with ID {project_id}. Please assign this "
                f"{actor.kind} to the project with the appropriate permissions, then try again.",
                "ProjectMembershipNotFound",
            )
        rules = [
            r for role in membership["roles"] if is_live(role) for r in role_rules(role["role"])
        ]
        if self._privileges in ("lost", "ignored"):
            return rules
        for privilege in store.find(
            "additional_privileges", projectId=project_id, actorId=actor.id
        ):
            if is_live(privilege):
                rules += [self._rule(permission) for permission in privilege["permissions"]]
        return rules

    def _rule(self, permission: Document) -> Rule:
        heeded = self._privileges != "unconditional"
        return Rule.of(permission if heeded else {**permission, "conditions": {}})
