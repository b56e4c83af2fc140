"""Answer requests that need a license as the free edition does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import bad_request
from ..members import BUILT_IN_ROLES
from ..web import Call, route

if TYPE_CHECKING:
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


@route("GET", "/api/v1/organization/audit-logs")
def audit_logs(call: Call) -> Document:
    """Return no entries: the free edition keeps none."""
    return {"auditLogs": []}
