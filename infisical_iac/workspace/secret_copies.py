"""Compare secrets on two sides, and copy them with all that belongs to them."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any, NamedTuple

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError
from infisical_iac.core.wording import pluralize
from infisical_iac.workspace.goal import Layout

# The server accepts 1 MiB. Sizes are in bytes, as one character may take several.
_MOST_BYTES, _MOST_ITEMS = 800_000, 500
_BATCH = "/api/v4/secrets/batch"


class SecretPlace(NamedTuple):
    """The name of a secret and its place, the same on both sides."""

    environment: str
    folder: str
    key: str

    def __str__(self) -> str:
        return f"{self.environment} {self.folder} {self.key}"


@dataclass(frozen=True)
class CopiedSecret:
    """A secret with everything that a move keeps.

    Attributes:
        tags: their slugs.
        metadata: keys, values, and whether the server stores the value encrypted.
        version: counts its changes on its side.
        colors: the colors of the tags, by slug. They are not compared, as each project may have
            another color for a slug.
    """

    value: str = field(repr=False)
    comment: str = field(repr=False)
    tags: tuple[str, ...]
    metadata: tuple[tuple[str, str, bool], ...] = field(repr=False)
    has_lines_encoded: bool
    version: int = field(compare=False)
    colors: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> "CopiedSecret":
        """Return the secret of an entry of the server's list."""
        colors = {each["slug"]: each.get("color") or "" for each in listed.get("tags") or ()}
        metadata = listed.get("secretMetadata") or ()
        return cls(
            listed["secretValue"],
            listed.get("secretComment") or "",
            tuple(sorted(colors)),
            tuple(
                sorted(
                    (each["key"], each["value"], bool(each.get("isEncrypted"))) for each in metadata
                )
            ),
            not listed.get("skipMultilineEncoding"),
            listed["version"],
            colors,
        )


Side = Mapping[SecretPlace, CopiedSecret]


@dataclass(frozen=True)
class CopyState:
    """The difference between the two sides of a move.

    Attributes:
        same: the number of secrets that are equal on both sides.
        write: secrets to copy: the other side lacks them, or has an earlier copy.
        remove: copies of secrets that were deleted since.
        newer: secrets that were written or deleted on the other side since the copy, and stay so.
        conflicts: secrets that were written to on both sides, with different results.
    """

    same: int
    write: tuple[SecretPlace, ...] = ()
    remove: tuple[SecretPlace, ...] = ()
    newer: tuple[SecretPlace, ...] = ()
    conflicts: tuple[SecretPlace, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is left to copy."""
        return not (self.write or self.remove)


def compare(here: Side, there: Side, versions: Mapping[str, tuple[int, int]]) -> CopyState:
    """Return what differs between the two sides.

    Args:
        versions: as in `Move`.
    """
    same, found = 0, _Groups([], [], [], [])
    for place in sorted({*here, *there}):
        old, new = here.get(place), there.get(place)
        was = versions.get(str(place))
        if old == new:
            same += 1
        elif new is None:
            # If there was a copy, it was deleted on the other side since.
            is_kept = was and was[1] > 0 and _is(old, was[0])
            (found.newer if is_kept else found.write).append(place)
        elif was is None:
            (found.newer if old is None else found.conflicts).append(place)
        elif _is(new, was[1]) or new.version < -was[1]:
            (found.write if old else found.remove).append(place)
        else:
            is_old_kept = old is None or _is(old, was[0])
            (found.newer if is_old_kept else found.conflicts).append(place)
    return CopyState(same, *map(tuple, found))


def confirm_copies(
    client: Client, layout: Layout, here: Side, there: Side, versions: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """Return the versions with the copies that a killed run wrote, though it didn't record that.

    Otherwise a secret that somebody has changed since the kill would be a conflict. The version on
    the old side that was copied shows whether the one on the new side is the copy.

    Args:
        layout: the projects of the old side.
        versions: as in `Move`.
    """
    unsure = {
        place: was
        for place, old in here.items()
        if (was := versions.get(str(place)))
        and (new := there.get(place))
        and was[1] == -new.version
        and old.version != was[0]
        and old != new
    }

    def is_copy(place: SecretPlace) -> bool:
        environment, folder, key = place
        at = {"projectId": layout.find(environment, folder), "environment": environment}
        exact = {
            "expandSecretReferences": "false",
            "includeImports": "false",
            "version": str(unsure[place][0]),
        }
        try:
            answer = client.get(
                contents.path_of(key),
                params={**at, "secretPath": folder, **exact},
            )["secret"]
        except ApiError as error:
            if error.status not in (400, 404):
                raise
            return False
        new = there[place]
        return (answer["secretValue"], answer.get("secretComment") or "") == (
            new.value,
            new.comment,
        )

    found = gather_by(unsure, is_copy)
    copied = {str(each): (unsure[each][0], -unsure[each][1]) for each in unsure if found[each]}
    return {**versions, **copied}


class _Groups(NamedTuple):
    write: list[SecretPlace]
    remove: list[SecretPlace]
    newer: list[SecretPlace]
    conflicts: list[SecretPlace]


def _is(secret: CopiedSecret | None, version: int) -> bool:
    return secret is not None and secret.version == version


def read_side(
    client: Client,
    layout: Layout,
    environments: Collection[str],
    unnamed: Collection[str] = (),
) -> tuple[Side, list[SecretPlace]]:
    """Return the secrets of one side, and the places of misplaced secrets.

    A misplaced secret is outside of the folder that a project is for, in an environment that only
    the project has, or in a project of ours that the project file no longer names.

    Args:
        environments: the slugs of the environments in the project file.
        unnamed: the ids of the projects that the project file no longer names.
    """
    places = [
        (each["slug"], project["id"])
        for project in contents.projects(client)
        if project["id"] in {*layout.ids, *unnamed}
        for each in project["environments"]
    ]
    patient = client.with_patience()
    read = gather_by(places, lambda each: contents.secrets(patient, each[1], each[0]))
    found: dict[SecretPlace, CopiedSecret] = {}
    stray: list[SecretPlace] = []
    for (slug, id), listed in read.items():
        for each in listed:
            place = SecretPlace(slug, each["secretPath"], each["secretKey"])
            if slug in environments and layout.find(slug, place.folder) == id:
                found[place] = CopiedSecret.of(each)
            else:
                stray.append(place)
    return found, stray


def copy(
    client: Client,
    target: Layout,
    secrets: Mapping[SecretPlace, CopiedSecret],
    report: Callable[[str], None],
) -> None:
    """Write secrets to the other side, one request per folder, 500 secrets or 800,000 bytes."""
    places = sorted({(target.find(*each[:2]), *each[:2]) for each in secrets})
    gather(partial(_make_folder, client, *each) for each in places)
    tags = gather_by(
        dict.fromkeys(project for project, *_ in places),
        lambda project: _make_tags(client, project, _tags_in(project, target, secrets)),
    )

    one_at_a_time = Lock()

    def send(at: tuple[str, str, str]) -> None:
        project, environment, folder = at
        here = [each for each in secrets if each[:2] == (environment, folder)]
        items = [write_item(each.key, secrets[each], tags[project]) for each in here]
        place = {"projectId": project, "environment": environment, "secretPath": folder}
        for some in _parts(items):
            client.patch(_BATCH, json={**place, "mode": "upsert", "secrets": some})
            with one_at_a_time:
                report(f"+ {pluralize(len(some), 'secret')} in {environment} {folder}")

    gather(partial(send, each) for each in places)


def _tags_in(
    project: str, target: Layout, secrets: Mapping[SecretPlace, CopiedSecret]
) -> dict[str, str]:
    return {
        slug: color
        for place, each in secrets.items()
        if each.tags and target.find(*place[:2]) == project
        for slug, color in each.colors.items()
    }


def _make_tags(client: Client, project: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of a project's tags by slug, after making those that are missing."""
    if not wanted:
        return {}
    path = f"/api/v1/projects/{project}/tags"
    ids = {each["slug"]: str(each["id"]) for each in client.get(path)["tags"]}
    for slug, color in wanted.items():
        if slug not in ids:
            body = {"slug": slug, "color": color}
            ids[slug] = str(client.post(path, json=body)["tag"]["id"])
    return ids


def _make_folder(client: Client, project: str, environment: str, folder: str) -> None:
    """Make a folder inside a service's folder, and those around it, where they are missing."""
    names = folder.strip("/").split("/")
    known = contents.folders(client, project, environment)
    for depth, name in enumerate(names if folder != "/" else ()):
        parent = "/" + "/".join(names[:depth])
        if f"{parent.rstrip('/')}/{name}" not in known:
            at = {"projectId": project, "environment": environment, "path": parent}
            try:
                client.post("/api/v2/folders", json={**at, "name": name})
            except ApiError as error:  # Another folder's call may have made it.
                if error.status != 400 or "already exists" not in error.message:
                    raise


def write_item(key: str, secret: CopiedSecret, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry of a request that writes a secret; `tags` are ids by slug."""
    return {
        "secretKey": key,
        "secretValue": secret.value,
        "secretComment": secret.comment,
        "skipMultilineEncoding": not secret.has_lines_encoded,
        "tagIds": [tags[slug] for slug in secret.tags],
        "secretMetadata": [
            {"key": key, "value": value, **({"isEncrypted": True} if is_encrypted else {})}
            for key, value, is_encrypted in secret.metadata
        ],
    }


def _parts(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for item in items:
        taken = len(json.dumps(item, ensure_ascii=False).encode())
        if part and (size + taken > _MOST_BYTES or len(part) == _MOST_ITEMS):
            yield part
            part, size = [], 0
        part.append(item)
        size += taken
    if part:
        yield part


def remove(
    client: Client, target: Layout, places: Sequence[SecretPlace], report: Callable[[str], None]
) -> None:
    """Delete copies of secrets that were deleted since."""
    for (environment, folder), some in groupby(places, key=lambda each: each[:2]):
        keys = [{"secretKey": each.key} for each in some]
        at = {"environment": environment, "secretPath": folder}
        body = {"projectId": target.find(environment, folder), **at, "secrets": keys}
        client.delete(_BATCH, json=body)
        report(f"- {pluralize(len(keys), 'secret')} in {environment} {folder}")
