"""Secrets with the permissions of a caller: hidden, expanded, imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .folders import imports_of
from .secret_values import Reader, secrets_in
from .secret_view import HIDDEN, imported_secret, listed_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .store import Document
    from .web import Call


class SecretsView:
    """The secrets that a caller may see."""

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

    def show(self, secret: Document, environment: Document, folder: Document) -> Document:
        value = self._value(secret, environment, folder)
        comment = self._reader.text(secret["comment"])
        return listed_secret(secret, environment, folder, self._tags_of(secret), value, comment)

    def list_imported(self, folder: Document) -> Iterator[Document]:
        """Yield the imported secrets of a folder that the caller may read."""
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
        return self._reader.expand(secret, place, keep_unknown)

    def _tags_of(self, secret: Document) -> list[Document]:
        return [self._tags[tag] for tag in secret["tagIds"] if tag in self._tags]
