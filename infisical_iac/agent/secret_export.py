"""Bring secrets over a rollback: export them all before it, and write what the older data lack.

A secret has its value and its comment; tags, metadata and versions stay behind. Deletions are not
brought over. The export is a file for root only, which the rollback removes at its end.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from infisical_iac.agent import contents
from infisical_iac.agent.answers import AnswerError, NoAnswer
from infisical_iac.agent.files import write
from infisical_iac.agent.reading import ReadingPlace
from infisical_iac.agent.runner import explain

# The server accepts more, but at most 1 MiB.
_MOST_SECRETS, _MOST_BYTES = 100, 500_000
_MOST_NAMES = 5


class ExportedSecret(NamedTuple):
    """A secret of an export.

    Attributes:
        project: the id of its project.
        folder: the path of its folder.
    """

    project: str
    environment: str
    folder: str
    key: str
    value: str
    comment: str

    @property
    def place(self) -> tuple[str, str, str]:
        """The project, the environment and the folder."""
        return self[:3]


def read_secrets(place: ReadingPlace) -> list[ExportedSecret]:
    """Read every secret, by its place. Raises AnswerError or NoAnswer."""
    client = place.deployer.with_patience()
    return sorted(
        ExportedSecret(
            project["id"],
            environment,
            each["secretPath"],
            each["secretKey"],
            each["secretValue"],
            each.get("secretComment") or "",
        )
        for project in place.projects()
        for environment, listed in contents.secrets_of(client, project).items()
        for each in listed
    )


def export(place: ReadingPlace, file: Path) -> None:
    """Write all secrets to a file. Raises AnswerError or NoAnswer, or OSError."""
    write(file, json.dumps(read_secrets(place)).encode())


def find_missing(
    exported: Sequence[ExportedSecret], there: Sequence[ExportedSecret]
) -> list[ExportedSecret]:
    """Return the exported secrets that are not there, or with another value or comment."""
    return sorted({*exported} - {*there})


def bring(place: ReadingPlace, file: Path) -> list[str]:
    """Write the exported secrets that the server lacks, and return sentences about it.

    A secret that the server refuses is named, and the others are written all the same.
    """
    exported = [ExportedSecret(*each) for each in json.loads(file.read_text())]
    try:
        missing = find_missing(exported, read_secrets(place))
    except (AnswerError, NoAnswer) as error:
        return [f"No secret was brought over: {explain(error)}."]
    refused: list[tuple[ExportedSecret, str]] = []
    for batch in split(missing):
        try:
            _write(place, batch)
        except (AnswerError, NoAnswer) as error:
            refused += [(each, explain(error)) for each in batch]
    brought = len(missing) - len(refused)
    sentences = [f"Brought over: {brought} secret{'' if brought == 1 else 's'}."]
    return [*sentences, *_describe_refused(refused)]


def split(secrets: Sequence[ExportedSecret]) -> Iterator[list[ExportedSecret]]:
    """Yield secrets of one place each, no more than fit into one request."""
    for _, group in groupby(secrets, key=lambda each: each.place):
        batch: list[ExportedSecret] = []
        size = 0
        for each in group:
            own = len(json.dumps(each))
            if batch and (len(batch) == _MOST_SECRETS or size + own > _MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(each)
            size += own
        yield batch


def _write(place: ReadingPlace, batch: Sequence[ExportedSecret]) -> None:
    client, (project, environment, folder) = place.deployer.with_patience(), batch[0].place
    at: Mapping[str, Any] = {"projectId": project, "environment": environment}
    if folder != "/" and folder not in contents.folders(client, project, environment):
        _create_folder(place, at, folder)
    stored = [
        {"secretKey": each.key, "secretValue": each.value, "secretComment": each.comment}
        for each in batch
    ]
    body = {**at, "secretPath": folder, "mode": "upsert", "secrets": stored}
    client.patch("/api/v4/secrets/batch", json=body)


def _create_folder(place: ReadingPlace, at: Mapping[str, Any], folder: str) -> None:
    there = contents.folders(place.deployer, at["projectId"], at["environment"])
    path = ""
    for name in folder.strip("/").split("/"):
        parent, path = path or "/", f"{path}/{name}"
        if path not in there:
            place.deployer.post("/api/v2/folders", json={**at, "name": name, "path": parent})


def _describe_refused(refused: Sequence[tuple[ExportedSecret, str]]) -> Iterator[str]:
    if refused:
        names = [f"{each.key} in {each.environment}:{each.folder}" for each, _ in refused]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield (
            f"Not brought over: {', '.join(names[:_MOST_NAMES])}{more} ({refused[0][1]}); "
            "the release of the version that ran before the rollback has them."
        )
