"""Secrets, reading."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from ..errors import not_found
from ..folders import below, clean_path, find_folder
from ..secret_values import Reader, at_version, secrets_in
from ..secret_view import HIDDEN, imported_secret, listed_secret
from ..validation import text
from ..web import Call, route
from .secret_imports import imports_of

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def read(call: Call) -> Document:
    fields = call.parameters(V4_PLACE)
    permissions = call.permissions(fields["projectId"])
    path, name = clean_path(fields["secretPath"]), call.path["name"]
    where = {"environment": fields["environment"], "secretPath": path, "secretName": name}
    permissions.require("describeSecret", "secrets", where)
    environment, folder = _find(call, fields["projectId"], fields["environment"], path)
    secret = call.store.first("secrets_v2", folderId=folder["id"], secretKey=name)
    if secret is None:
        raise not_found(f"Secret with name '{name}' not found")
    if "version" in call.query:
        secret = at_version(call.store, secret, int(call.query["version"]))
    view = _View(call, fields["projectId"], call.flag("expandSecretReferences", True))
    return {"secret": view.shown(secret, environment, folder)}


def _list(call: Call, project_id: str, fields: Document, expand: bool, imports: bool) -> Response:
    call.permissions(project_id).require("describeSecret", "secrets")
    path = clean_path(fields["secretPath"])
    environment, folder = _find(call, project_id, fields["environment"], path)
    folders = [folder, *below(call.store, folder)] if call.flag("recursive") else [folder]
    view = _View(call, project_id, expand)
    shown = [
        view.shown(secret, environment, place)
        for place in folders
        for secret in secrets_in(call.store, place)
        if view.may("describeSecret", secret, environment, place)
    ]
    taken = list(view.imported(folder)) if imports else []
    return _with_etag(call, {"secrets": shown, "imports": taken})


class _View:
    """Secrets as this caller may see them."""

    def __init__(self, call: Call, project_id: str, expand: bool) -> None:
        self._call = call
        self._permissions = call.permissions(project_id)
        self._reader = Reader(call.store, call.server.cipher, self._permissions, project_id)
        self._expand = expand
        self._wanted = call.flag("viewSecretValue", True)
        self._tags = {
            tag["id"]: tag for tag in call.store.find("secret_tags", projectId=project_id)
        }

    def may(self, action: str, secret: Document, environment: Document, folder: Document) -> bool:
        where = {
            "environment": environment["slug"],
            "secretPath": folder["path"],
            "secretName": secret["secretKey"],
            "secretTags": [tag["slug"] for tag in self._tags_of(secret)],
        }
        return self._permissions.can(action, "secrets", where)

    def shown(self, secret: Document, environment: Document, folder: Document) -> Document:
        value = self._value(secret, environment, folder)
        comment = self._reader.text(secret["comment"])
        return listed_secret(secret, environment, folder, self._tags_of(secret), value, comment)

    def imported(self, folder: Document) -> Iterator[Document]:
        """What the folder imports, where the caller may read it."""
        for entry in imports_of(self._call.store, folder):
            environment = self._call.store.get("project_environments", entry["importEnvId"])
            if environment is None:
                continue
            source = self._call.store.first(
                "secret_folders", envId=environment["id"], path=entry["importPath"]
            )
            if source is None:
                continue
            secrets = [
                secret
                for secret in secrets_in(self._call.store, source)
                if self.may("describeSecret", secret, environment, source)
            ]
            where = {"environment": environment["slug"], "secretPath": source["path"]}
            if secrets or self._permissions.can("describeSecret", "secrets", where):
                yield {
                    "secretPath": source["path"],
                    "environment": environment["slug"],
                    "folderId": source["id"],
                    "secrets": [self._import(each, environment, source) for each in secrets],
                }

    def _import(self, secret: Document, environment: Document, folder: Document) -> Document:
        value = self._value(secret, environment, folder, keep_unknown=True)
        return imported_secret(secret, environment, value, self._reader.text(secret["comment"]))

    def _value(
        self,
        secret: Document,
        environment: Document,
        folder: Document,
        keep_unknown: bool = False,
    ) -> str:
        if not self._wanted or not self.may("readValue", secret, environment, folder):
            return HIDDEN
        if not self._expand:
            return self._reader.text(secret["value"])
        place = (environment["slug"], folder["path"])
        return self._reader.expanded(secret, place, keep_unknown)

    def _tags_of(self, secret: Document) -> list[Document]:
        return [self._tags[tag] for tag in secret["tagIds"] if tag in self._tags]


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
    """Answer 304 without a body if the caller has this answer already."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
    tag = {"ETag": f'W/"{digest}"'}
    if call.headers.get("if-none-match") == tag["ETag"]:
        return Response(status_code=304, headers=tag)
    return JSONResponse(body, headers=tag)
