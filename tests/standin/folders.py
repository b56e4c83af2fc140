"""Look up environments, folders by path, and their imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Document, Store


def clean_path(path: str) -> str:
    """Return a path with one slash in front, none at the end, and none doubled."""
    return "/" + "/".join(part for part in path.split("/") if part)


def join(parent: str, name: str) -> str:
    return clean_path(f"{parent}/{name}")


def find_environment(store: Store, project_id: str, env_slug: str) -> Document | None:
    """Return the environment with this slug that is not deleted."""
    return store.first(
        "project_environments", projectId=project_id, slug=env_slug, softDeletedAt=None
    )


def find_folder(
    store: Store, project_id: str, environment: str, path: str
) -> tuple[Document, Document] | None:
    """Return the environment and its folder at a path, or None if either is missing."""
    found = find_environment(store, project_id, environment)
    if found is None:
        return None
    folder = store.first("secret_folders", envId=found["id"], path=clean_path(path))
    return (found, folder) if folder else None


def below(store: Store, folder: Document) -> list[Document]:
    """Return the folders inside a folder at any depth, parents before children."""
    everything = store.find("secret_folders", envId=folder["envId"])
    prefix = folder["path"].rstrip("/") + "/"
    inside = [f for f in everything if f["path"].startswith(prefix) and f["path"] != "/"]
    return sorted(inside, key=lambda f: (f["path"].count("/"), f["path"]))


def imports_of(store: Store, folder: Document) -> list[Document]:
    """Return the imports of a folder in order; of two values, that of the later import wins."""
    found = store.find("secret_imports", folderId=folder["id"])
    return sorted(found, key=lambda entry: int(entry["position"]))


def create_folder(
    store: Store, parent: Document, name: str, description: str | None = None
) -> Document:
    return store.insert(
        "secret_folders",
        {
            "projectId": parent["projectId"],
            "envId": parent["envId"],
            "parentId": parent["id"],
            "name": name,
            "path": join(parent["path"], name),
            "version": 1,
            "description": description,
            "lastSecretModified": None,
        },
    )
