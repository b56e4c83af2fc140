"""Store secrets encrypted, and decrypt them for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import not_found
from .expansion import Place, expand
from .folders import find_folder
from .store import Document, Store, now, timestamp

if TYPE_CHECKING:
    from .crypto import Cipher
    from .permissions import Permissions

VERSIONED = ("secretKey", "value", "comment", "version")


def trim(value: str) -> str:
    """Return a value without outer blanks, but with one newline at its end if it had any."""
    return value.strip() + "\n" if value.endswith("\n") else value.strip()


def secrets_in(store: Store, folder: Document) -> list[Document]:
    found = store.find("secrets_v2", folderId=folder["id"])
    return sorted(found, key=lambda secret: str(secret["secretKey"]).lower())


def insert_secret(store: Store, cipher: Cipher, folder: Document, fields: Document) -> Document:
    secret = store.insert(
        "secrets_v2",
        {
            "projectId": folder["projectId"],
            "envId": folder["envId"],
            "folderId": folder["id"],
            "secretKey": fields["secretKey"],
            "value": cipher.encrypt(trim(fields["secretValue"])),
            "comment": cipher.encrypt(fields.get("secretComment") or ""),
            "version": 1,
            "tagIds": fields.get("tagIds") or [],
            "secretMetadata": fields.get("secretMetadata") or [],
            "skipMultilineEncoding": bool(fields.get("skipMultilineEncoding")),
            "reminderNote": fields.get("secretReminderNote"),
            "reminderDays": fields.get("secretReminderRepeatDays"),
        },
    )
    _keep_version(store, secret)
    return secret


def update_secret(store: Store, cipher: Cipher, secret: Document, fields: Document) -> Document:
    """Write the given fields; each update makes a version, even without a difference."""
    changes: Document = {"version": secret["version"] + 1}
    if "secretValue" in fields:
        changes["value"] = cipher.encrypt(trim(fields["secretValue"]))
    if "secretComment" in fields:
        changes["comment"] = cipher.encrypt(fields["secretComment"])
    if "newSecretName" in fields:
        changes["secretKey"] = fields["newSecretName"]
    for name in ("tagIds", "secretMetadata", "skipMultilineEncoding"):
        if name in fields:
            changes[name] = fields[name]
    changed = store.update("secrets_v2", secret["id"], **changes)
    _keep_version(store, changed)
    return changed


def delete_secret(store: Store, secret: Document) -> None:
    store.delete_where("secret_versions_v2", secretId=secret["id"])
    store.delete("secrets_v2", secret["id"])


def touch(store: Store, folder: Document) -> None:
    """Record that the secrets of a folder have changed."""
    store.update("secret_folders", folder["id"], lastSecretModified=timestamp(now()))


def at_version(store: Store, secret: Document, version: int) -> Document:
    kept = store.first("secret_versions_v2", secretId=secret["id"], version=version)
    if kept is None:
        raise not_found(f"Version {version} of secret '{secret['secretKey']}' not found")
    return secret | {name: kept[name] for name in (*VERSIONED, "createdAt", "updatedAt")}


class Reader:
    """Decrypt values for a caller, who must be allowed to read the targets of references."""

    def __init__(
        self, store: Store, cipher: Cipher, permissions: Permissions, project_id: str
    ) -> None:
        self._store = store
        self._cipher = cipher
        self._permissions = permissions
        self._project_id = project_id
        self._folders: dict[Place, dict[str, Document]] = {}

    def text(self, sealed: str) -> str:
        return self._cipher.decrypt(sealed)

    def expand(self, secret: Document, place: Place, keep_unknown: bool = False) -> str:
        raw = self.text(secret["value"])
        return expand(raw, place, self._look_up, keep_unknown)

    def _look_up(self, place: Place, name: str) -> str | None:
        if place not in self._folders:
            found = find_folder(self._store, self._project_id, *place)
            inside = secrets_in(self._store, found[1]) if found else []
            self._folders[place] = {secret["secretKey"]: secret for secret in inside}
        secret = self._folders[place].get(name)
        if secret is None:
            return None
        where = {"environment": place[0], "secretPath": place[1], "secretName": name}
        self._permissions.require("readValue", "secrets", where)
        return self.text(secret["value"])


def _keep_version(store: Store, secret: Document) -> None:
    kept = {name: secret[name] for name in (*VERSIONED, "projectId", "envId")}
    store.insert("secret_versions_v2", kept | {"secretId": secret["id"]})
