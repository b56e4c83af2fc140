"""Custom roles, which are refused as by the free edition, and the audit log of a license."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, validation_failure
from ..members import BUILT_IN_ROLES
from ..store import now
from ..validation import Issues, number
from ..web import Call, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..store import Document


@route("POST", "/api/v1/projects/{project_id}/roles")
def create_role(call: Call) -> Document:
    call.permissions().require("create", "role")
    raise bad_request(
        "Failed to create custom role due to plan RBAC restriction. "
        "Upgrade to Infisical Enterprise plan to create custom roles."
    )


@route("GET", "/api/v1/projects/{project_id}/roles")
def list_roles(call: Call) -> Document:
    call.permissions().require("read", "role")
    project = call.store.get("projects", call.path["project_id"]) or {}
    born = {"createdAt": project["createdAt"], "updatedAt": project["createdAt"]}
    return {
        "roles": [
            {"id": slug, "name": slug.title(), "slug": slug, "projectId": project["id"], **born}
            for slug in BUILT_IN_ROLES
        ]
    }


_LOGS = "/api/v1/organization/audit-logs"
_V4, _V3 = "/api/v4/secrets", "/api/v3/secrets/raw"
_EVENTS = {
    ("GET", _V4): "get-secrets",
    ("GET", _V3): "get-secrets",
    ("GET", f"{_V4}/{{name}}"): "get-secret",
    ("GET", f"{_V3}/{{name}}"): "get-secret",
    ("POST", f"{_V4}/batch"): "create-secrets",
    ("PATCH", f"{_V4}/batch"): "update-secrets",
    ("DELETE", f"{_V4}/batch"): "delete-secrets",
    ("POST", f"{_V4}/{{name}}"): "create-secret",
    ("POST", f"{_V3}/{{name}}"): "create-secret",
    ("PATCH", f"{_V4}/{{name}}"): "update-secret",
    ("DELETE", f"{_V4}/{{name}}"): "delete-secret",
    ("GET", _LOGS): "view-audit-logs",
}


@route("GET", _LOGS)
def audit_logs(call: Call) -> Document:
    """Return the recorded events, also those of an ended license; none without any license."""
    require_org_action(call.store, call.actor, "read", "audit-logs")
    query, midnight = call.query, now().replace(hour=0, minute=0, second=0, microsecond=0)
    start = datetime.fromisoformat(query.get("startDate") or midnight.isoformat())
    end = datetime.fromisoformat(query.get("endDate") or now().isoformat())
    if {"startDate", "endDate"} <= query.keys() and end > start + timedelta(days=92):
        message = "Dates must be within 3 months"
        raise validation_failure([{"code": "custom", "path": ["endDate"], "message": message}])
    limit, offset = int(query.get("limit", 20)), int(query.get("offset", 0))
    issues: Issues = []
    number(maximum=1000).check(limit, ["limit"], issues)
    if issues:
        raise validation_failure(issues)
    found = [
        each
        for each in reversed(call.store.find("audit_logs", orgId=call.actor.org_id))
        if start <= datetime.fromisoformat(each["createdAt"]) < end and _is_by(each, query)
    ]
    return {"auditLogs": found[offset : offset + limit]}


def _is_by(entry: Document, query: Mapping[str, str]) -> bool:
    kind = query.get("actorType", "")
    id = entry["actor"]["metadata"].get("identityId" if kind == "identity" else "userId")
    return kind in ("", entry["actor"]["type"]) and query.get("actor", id) == id


def record_event(call: Call, method: str, path: str) -> None:
    """Record a successful request if the stand-in knows its event.

    The real server shows an entry some seconds later. A request for events is itself recorded only
    for the first page.
    """
    event = _EVENTS.get((method, path))
    if path == _LOGS and call.query.get("offset", "0") != "0":
        return
    if not event or not call.server.features["auditLogsRetentionDays"]:
        return
    given = {**call.query, **(call.body if isinstance(call.body, dict) else {})}
    metadata = {key: given[key] for key in ("environment", "secretPath") if key in given}
    if "name" in call.path:
        metadata["secretKey"] = call.path["name"]
    if "secrets" in given:
        metadata["secrets"] = [{"secretKey": each["secretKey"]} for each in given["secrets"]]
    project_id = given.get("projectId") or given.get("workspaceId")
    forwarded = call.headers.get("x-forwarded-for", "127.0.0.1").split(",")[0].strip()
    entry = {
        "ipAddress": forwarded,
        "userAgent": call.headers.get("user-agent", ""),
        "userAgentType": "other",
        "orgId": call.actor.org_id,
        "projectId": project_id,
        "projectName": None,
        "event": {"type": event, "metadata": metadata},
        "actor": {"type": call.actor.kind, "metadata": _name_actor(call)},
    }
    call.store.insert("audit_logs", entry)


def _name_actor(call: Call) -> Document:
    if call.actor.kind == "identity":
        identity = call.store.get("identities", call.actor.id) or {}
        return {"identityId": call.actor.id, "name": identity.get("name")}
    user = call.store.get("users", call.actor.id) or {}
    return {"userId": call.actor.id, "email": user.get("email"), "username": user.get("username")}
