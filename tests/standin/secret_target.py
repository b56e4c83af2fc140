"""Find the folder that a request writes to, and check the permission for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import bad_request, not_found
from .folders import clean_path, find_folder
from .secret_values import delete_secret, insert_secret, touch, update_secret
from .secret_view import ROTATION, written_secret

if TYPE_CHECKING:
    from .store import Document
    from .web import Call


class Target:
    """The folder that a request writes to, with the permissions of the caller."""

    def __init__(self, call: Call, fields: Document, error: str) -> None:
        self.call = call
        self.error = error
        self.path = clean_path(fields["secretPath"])
        self.environment_slug = fields["environment"]
        self.project_id = fields["projectId"]
        self.permissions = call.permissions(self.project_id)

    def require(self, action: str, names: list[str]) -> None:
        for name in names:
            where = {
                "environment": self.environment_slug,
                "secretPath": self.path,
                "secretName": name,
            }
            self.permissions.require(action, "secrets", where)

    def open(self) -> None:
        """Look up environment and folder; raise a 404 answer without such a folder."""
        found = find_folder(self.call.store, self.project_id, self.environment_slug, self.path)
        if found is None:
            raise not_found(
                f"Folder with path '{self.path}' in environment with slug "
                f"'{self.environment_slug}' not found",
                self.error,
            )
        self.environment, self.folder = found

    def existing(self, names: list[str]) -> dict[str, Document]:
        found = self.call.store.find("secrets_v2", folderId=self.folder["id"])
        return {s["secretKey"]: s for s in found if s["secretKey"] in names}

    def create(self, name: str, fields: Document) -> Document:
        cipher, store = self.call.server.cipher, self.call.store
        secret = insert_secret(store, cipher, self.folder, {**fields, "secretKey": name})
        return self.show(secret) | ROTATION

    def update(self, secret: Document, fields: Document) -> Document:
        cipher, store = self.call.server.cipher, self.call.store
        new_name = fields.get("newSecretName")
        if new_name and new_name != secret["secretKey"] and self.existing([new_name]):
            raise bad_request(f"Secret already exists: {new_name}")
        changed = update_secret(store, cipher, secret, fields)
        return self.show(changed) | ROTATION | {"secretValueHidden": False}

    def delete(self, secret: Document) -> Document:
        delete_secret(self.call.store, secret)
        return self.show(secret) | {"secretValueHidden": False}

    def show(self, secret: Document) -> Document:
        decrypt = self.call.server.cipher.decrypt
        return written_secret(
            secret, self.environment, decrypt(secret["value"]), decrypt(secret["comment"])
        )

    def done(self) -> None:
        touch(self.call.store, self.folder)
        place = {"folderId": self.folder["id"], "envId": self.folder["envId"]}
        self.call.store.insert(
            "folder_commits", {"actorMetadata": {"id": self.call.actor.id}, **place}
        )
