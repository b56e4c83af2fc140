"""Read secrets."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from ..errors import not_found
from ..folders import below, clean_path, find_folder
from ..secret_access import SecretsView
from ..secret_values import at_version, secrets_in
from ..validation import text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document

V4_PLACE = {
    "projectId": text(1),
    "environment": text(1),
    "secretPath": text().optional("/"),
}
V3_PLACE = {
    "workspaceId": text(1),
    "environment": text(1),
    "secretPath": text().optional("/"),
}


@route("GET", "/api/v4/secrets")
def list_v4(call: Call) -> Response:
    fields = call.parameters(V4_PLACE)
    flags = {
        "expand": call.flag("expandSecretReferences", True),
        "imports": call.flag("includeImports", True),
    }
    return _list(call, fields["projectId"], fields, **flags)


@route("GET", "/api/v3/secrets/raw")
def list_v3(call: Call) -> Response:
    fields = call.parameters(V3_PLACE)
    flags = {
        "expand": call.flag("expandSecretReferences"),
        "imports": call.flag("include_imports"),
    }
    return _list(call, fields["workspaceId"], fields, **flags)


@route("GET", "/api/v4/secrets/{name}")
def read_v4(call: Call) -> Document:
    fields = call.parameters(V4_PLACE)
    return _read(call, fields["projectId"], fields, call.flag("expandSecretReferences", True))


@route("GET", "/api/v3/secrets/raw/{name}")
def read_v3(call: Call) -> Document:
    fields = call.parameters(V3_PLACE)
    return _read(call, fields["workspaceId"], fields, call.flag("expandSecretReferences"))


def _read(call: Call, project_id: str, fields: Document, expand: bool) -> Document:
    permissions = call.permissions(project_id)
    path, name = clean_path(fields["secretPath"]), call.path["name"]
    where = {"environment": fields["environment"], "secretPath": path, "secretName": name}
    permissions.require("describeSecret", "secrets", where)
    environment, folder = _find(call, project_id, fields["environment"], path)
    secret = call.store.first("secrets_v2", folderId=folder["id"], secretKey=name)
    if secret is None:
        raise not_found(f"Secret with name '{name}' not found")
    if "version" in call.query:
        secret = at_version(call.store, secret, int(call.query["version"]))
    return {"secret": SecretsView(call, project_id, expand).show(secret, environment, folder)}


def _list(call: Call, project_id: str, fields: Document, expand: bool, imports: bool) -> Response:
    call.permissions(project_id).require("describeSecret", "secrets")
    path = clean_path(fields["secretPath"])
    environment, folder = _find(call, project_id, fields["environment"], path)
    folders = [folder, *below(call.store, folder)] if call.flag("recursive") else [folder]
    view = SecretsView(call, project_id, expand)
    shown = [
        view.show(secret, environment, place)
        for place in folders
        for secret in secrets_in(call.store, place)
        if view.may("describeSecret", secret, environment, place)
    ]
    taken = list(view.list_imported(folder)) if imports else []
    return _with_etag(call, {"secrets": shown, "imports": taken})


def _find(call: Call, project_id: str, environment: str, path: str) -> tuple[Document, Document]:
    found = find_folder(call.store, project_id, environment, path)
    if found is None:
        raise not_found(
            f"Folder with path '{path}' in environment '{environment}' was not found. "
            "Please ensure the environment slug and secret path is correct.",
            "SecretPathNotFound",
        )
    return found


def _with_etag(call: Call, body: Document) -> Response:
    """Return the answer, or a 304 without a body if the caller already has it."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
    tag = {"ETag": f'"{digest}"'}
    if call.headers.get("if-none-match") == tag["ETag"]:
        return Response(status_code=304, headers=tag)
    return JSONResponse(body, headers=tag)
