"""Format secrets as the API shows them, without effects; each kind of answer has its own fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Document

HIDDEN = "<hidden-by-infisical>"
ROTATION: Document = {"isRotatedSecret": False, "rotationId": None}


def written_secret(secret: Document, environment: Document, value: str, comment: str) -> Document:
    """Return the fields of a secret that all answers have."""
    return {
        "id": secret["id"],
        "_id": secret["id"],
        "workspace": secret["projectId"],
        "environment": environment["slug"],
        "version": secret["version"],
        "type": "shared",
        "secretKey": secret["secretKey"],
        "secretValue": value,
        "secretComment": comment,
        "secretReminderNote": secret["reminderNote"],
        "secretReminderRepeatDays": secret["reminderDays"],
        "skipMultilineEncoding": secret["skipMultilineEncoding"],
        "createdAt": secret["createdAt"],
        "updatedAt": secret["updatedAt"],
    }


def listed_secret(
    secret: Document,
    environment: Document,
    folder: Document,
    tags: list[Document],
    value: str,
    comment: str,
) -> Document:
    return {
        **written_secret(secret, environment, value, comment),
        **ROTATION,
        "secretPath": folder["path"],
        "secretValueHidden": value == HIDDEN,
        "secretMetadata": secret["secretMetadata"],
        "tags": [
            {"id": tag["id"], "slug": tag["slug"], "color": tag["color"], "name": tag["slug"]}
            for tag in tags
        ],
    }


def imported_secret(secret: Document, environment: Document, value: str, comment: str) -> Document:
    shown = written_secret(secret, environment, value, comment)
    for name in ("secretReminderNote", "secretReminderRepeatDays", "createdAt", "updatedAt"):
        del shown[name]
    hidden = {"secretValueHidden": value == HIDDEN, "workspace": ""}
    return shown | ROTATION | hidden | {"secretMetadata": secret["secretMetadata"]}
