"""Projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, forbidden_error, not_found
from ..issue import new_slug
from ..members import join_project
from ..validation import Field, array, boolean, choice, number, slug, text
from ..web import Call, route
from .environments import DEFAULT_ENVIRONMENTS, create_environment, environments_of

if TYPE_CHECKING:
    from ..store import Document, Store

CONTENTS = (
    "project_memberships",
    "additional_privileges",
    "project_environments",
    "secret_folders",
    "secret_imports",
    "secret_tags",
    "secrets_v2",
    "secret_versions_v2",
    "service_tokens",
)
DEFAULTS: Document = {
    "defaultProduct": None,
    "autoCapitalization": False,
    "version": 3,
    "upgradeStatus": None,
    "pitVersionLimit": 10,
    "kmsCertificateKeyId": None,
    "auditLogsRetentionDays": None,
    "secretSharing": True,
    "showSnapshotsLegacy": False,
    "secretDetectionIgnoreValues": None,
    "enforceEncryptedSecretManagerSecretMetadata": None,
}
ON_CREATE = {
    "projectName": text(1, 64),
    "projectDescription": text(0, 1024).optional(None),
    "slug": slug(5, 36).optional(),
    "type": choice("secret-manager", "cert-manager", "kms", "ssh").optional("secret-manager"),
    "shouldCreateDefaultEnvs": boolean().optional(True),
    "hasDeleteProtection": boolean().optional(False),
}
ON_CHANGE: dict[str, Field] = {
    "name": text(1, 64).optional(),
    "description": text(0, 1024).optional(),
    "slug": slug(5, 36).optional(),
    "autoCapitalization": boolean().optional(),
    "hasDeleteProtection": boolean().optional(),
    "secretSharing": boolean().optional(),
    "showSnapshotsLegacy": boolean().optional(),
    "secretDetectionIgnoreValues": array(text()).optional(),
    "enforceEncryptedSecretManagerSecretMetadata": boolean().optional(),
    "pitVersionLimit": number(1, 100).optional(),
}


@route("POST", "/api/v1/projects")
def create(call: Call) -> Document:
    fields = call.fields(ON_CREATE)
    require_org_action(call.store, call.actor, "create", "project")
    project_slug = fields.get("slug") or new_slug(fields["projectName"])
    _refuse_taken(call.store, call.actor.org_id, project_slug)
    named = {
        "name": fields["projectName"],
        "description": fields["projectDescription"],
        "slug": project_slug,
        "type": fields["type"],
        "orgId": call.actor.org_id,
        "hasDeleteProtection": fields["hasDeleteProtection"],
    }
    project = call.store.insert("projects", DEFAULTS | named)
    if fields["shouldCreateDefaultEnvs"]:
        for name, environment_slug in DEFAULT_ENVIRONMENTS:
            create_environment(call.store, project["id"], name, environment_slug)
    join_project(call.store, project["id"], call.actor.kind, call.actor.id, [{"role": "admin"}])
    return {"project": _whole(call.store, project)}


@route("GET", "/api/v1/projects")
def list_own(call: Call) -> Document:
    memberships = call.store.find("project_memberships", actorId=call.actor.id)
    projects = [call.store.get("projects", member["projectId"]) for member in memberships]
    requested = call.query.get("type")
    shown = [
        _whole(call.store, project)
        for project in projects
        if project and project["orgId"] == call.actor.org_id
        if not requested or project["type"] == requested
    ]
    return {"projects": shown}


@route("GET", "/api/v1/projects/slug/{slug}")
def read_by_slug(call: Call) -> Document:
    project = find_by_slug(call, call.path["slug"])
    call.permissions(project["id"])
    return _whole(call.store, project)


@route("GET", "/api/v1/projects/{project_id}")
def read(call: Call) -> Document:
    call.permissions()
    return {
        "project": _whole(call.store, call.store.get("projects", call.path["project_id"]) or {})
    }


@route("PATCH", "/api/v1/projects/{project_id}")
def change(call: Call) -> Document:
    fields = call.fields(ON_CHANGE)
    call.permissions().require("edit", "settings")
    project = call.store.get("projects", call.path["project_id"]) or {}
    if "slug" in fields and fields["slug"] != project["slug"]:
        _refuse_taken(call.store, call.actor.org_id, fields["slug"])
    return {"project": call.store.update("projects", project["id"], **fields)}


@route("DELETE", "/api/v1/projects/{project_id}")
def delete(call: Call) -> Document:
    call.permissions().require("delete", "workspace")
    project = call.store.get("projects", call.path["project_id"]) or {}
    if project["hasDeleteProtection"]:
        raise forbidden_error("Project delete protection is enabled")
    for table in CONTENTS:
        call.store.delete_where(table, projectId=project["id"])
    call.store.delete("projects", project["id"])
    return {"project": project}


def find_by_slug(call: Call, project_slug: str) -> Document:
    """Return the project with this slug in the caller's organization; raise a 404 answer."""
    project = call.store.first("projects", orgId=call.actor.org_id, slug=project_slug)
    if project is None:
        raise not_found(f"Project with slug '{project_slug}' not found")
    return project


def _refuse_taken(store: Store, org_id: str | None, project_slug: str) -> None:
    if store.first("projects", orgId=org_id, slug=project_slug):
        raise bad_request(
            f'A project with the slug "{project_slug}" already exists in your organization. '
            "Please choose a different name or slug."
        )


def _whole(store: Store, project: Document) -> Document:
    live, deleted = environments_of(store, project["id"])
    shown = [{name: env[name] for name in ("name", "slug", "id")} for env in live]
    return {
        **project,
        "_id": project["id"],
        "environments": shown,
        "deletedEnvironments": [_show_deleted(store, env) for env in deleted],
    }


def _show_deleted(store: Store, environment: Document) -> Document:
    shown = ("id", "name", "slug", "deleteAfter", "softDeletedAt")
    return {name: environment[name] for name in shown} | {"deletedBy": _deleter(store, environment)}


def _deleter(store: Store, environment: Document) -> Document | None:
    if identity := store.get("identities", environment["deletedByIdentityId"] or ""):
        return {"type": "identity", "id": identity["id"], "name": identity["name"]}
    if user := store.get("users", environment["deletedByUserId"] or ""):
        named = ("id", "email", "username", "firstName", "lastName")
        return {"type": "user", **{name: user[name] for name in named}}
    return None
