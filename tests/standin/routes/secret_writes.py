"""Write secrets, one at a time or in batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import bad_request, not_found
from ..secret_target import Target
from ..validation import anything, array, boolean, choice, number, record, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document

KEY = text(
    1,
    rule=(
        lambda key: ":" not in key and "/" not in key,
        "Secret name cannot contain colon or forward slash.",
    ),
)
VALUE = text(trim=False)
PLACE = {"projectId": text(1), "environment": text(1), "secretPath": text().optional("/")}
EXTRAS = {
    "secretComment": text().optional(),
    "skipMultilineEncoding": boolean().optional(),
    "tagIds": array(text(1)).optional(),
    "secretMetadata": array(record({"key": text(1), "value": text().optional("")})).optional(),
    "secretReminderNote": text(0, 1024).optional(),
    "secretReminderRepeatDays": number().optional(),
}
NEW = {"secretValue": VALUE} | EXTRAS
CHANGED = {"secretValue": VALUE.optional(), "newSecretName": KEY.optional()} | EXTRAS
NAMED = {"secretKey": KEY}
MODES = choice("failOnNotFound", "upsert", "ignore").optional("failOnNotFound")
TYPE = {"type": anything().optional("shared")}


@route("POST", "/api/v4/secrets/batch")
def create_batch(call: Call) -> Document:
    fields = call.fields(PLACE | {"secrets": array(record(NAMED | NEW), 1)})
    requested = _last_of_each(fields["secrets"])
    target = Target(call, fields, "CreateManySecret")
    target.require("create", list(requested))
    target.open()
    if taken := target.existing(list(requested)):
        listed = ",".join(name for name in requested if name in taken)
        raise bad_request(f"Secret already exists: {listed}")
    created = [target.create(name, secret) for name, secret in requested.items()]
    target.done()
    return {"secrets": created}


@route("PATCH", "/api/v4/secrets/batch")
def update_batch(call: Call) -> Document:
    each = record(NAMED | CHANGED)
    fields = call.fields(PLACE | {"mode": MODES, "secrets": array(each, 1)})
    requested = _last_of_each(fields["secrets"])
    target = Target(call, fields, "UpdateManySecret")
    target.require("edit", list(requested))
    target.open()
    existing = target.existing(list(requested))
    missing = [name for name in requested if name not in existing]
    if missing and fields["mode"] == "failOnNotFound":
        raise not_found(f"Secret does not exist: {','.join(missing)} in path {target.path}")
    written = [target.update(existing[n], s) for n, s in requested.items() if n in existing]
    if fields["mode"] == "upsert":
        target.require("create", missing)
        written += [target.create(n, {"secretValue": "", **requested[n]}) for n in missing]
    target.done()
    return {"secrets": [secret | {"secretValueHidden": False} for secret in written]}


@route("DELETE", "/api/v4/secrets/batch")
def delete_batch(call: Call) -> Document:
    fields = call.fields(PLACE | {"secrets": array(record(NAMED | TYPE), 1)})
    requested = _last_of_each(fields["secrets"])
    target = Target(call, fields, "DeleteManySecret")
    target.require("delete", list(requested))
    target.open()
    existing = target.existing(list(requested))
    if len(existing) < len(requested):
        raise not_found("One or more secrets does not exist: ")
    deleted = [target.delete(existing[name]) for name in requested]
    target.done()
    return {"secrets": deleted}


@route("POST", "/api/v4/secrets/{name}")
def create(call: Call) -> Document:
    target, fields = _single(call, NEW, "create", "CreateSecret")
    name = call.path["name"]
    if target.existing([name]):
        raise bad_request("Secret already exists")
    created = target.create(name, fields)
    target.done()
    return {"secret": created}


@route("POST", "/api/v3/secrets/raw/{name}")
def create_v3(call: Call) -> Document:
    """Create a secret for older clients, such as the Python SDK."""
    given = {name: value for name, value in call.body.items() if value is not None}
    body = {**given, "projectId": given.get("workspaceId")}
    created: Document = create(replace(call, body=body))
    return created


@route("PATCH", "/api/v4/secrets/{name}")
def update(call: Call) -> Document:
    target, fields = _single(call, CHANGED, "edit", "UpdateSecret")
    changed = target.update(_existing(target, call.path["name"]), fields)
    target.done()
    return {"secret": changed}


@route("DELETE", "/api/v4/secrets/{name}")
def delete(call: Call) -> Document:
    target, _ = _single(call, TYPE, "delete", "DeleteSecret")
    deleted = target.delete(_existing(target, call.path["name"]))
    target.done()
    return {"secret": deleted}


def _single(call: Call, own: Document, action: str, error: str) -> tuple[Target, Document]:
    fields = call.fields(PLACE | own)
    target = Target(call, fields, error)
    target.require(action, [call.path["name"]])
    target.open()
    return target, fields


def _existing(target: Target, name: str) -> Document:
    found = target.existing([name]).get(name)
    if found is None:
        raise not_found(f"Secret with name '{name}' not found")
    return found


def _last_of_each(secrets: list[Document]) -> dict[str, Document]:
    """Return the secrets by name; the last one of a name counts."""
    return {secret["secretKey"]: secret for secret in secrets}
