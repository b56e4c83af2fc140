"""Read the secrets in the folders of a project file, and write or delete single ones.

With each method of isolation, a secret is in the project that holds its folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather_by
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Refused, RunFailed, UserError
from infisical_iac.core.validation import suggest
from infisical_iac.core.wording import pluralize
from infisical_iac.workspace.goal import Goal, Layout
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.model import Workspace


@dataclass(frozen=True)
class StoredSecret:
    """A secret as the server shows it.

    Attributes:
        value: None if it was not requested, or if the login may not read it.
        created: the time when the secret was made.
        changed: the time of its last change, of a comment or tag too.
    """

    environment: str
    folder: str
    key: str
    version: int
    created: datetime
    changed: datetime
    value: str | None = field(repr=False)

    @classmethod
    def of(cls, environment: str, folder: str, shown: dict[str, Any]) -> Self:
        """Return the secret in an answer of the server."""
        return cls(
            environment,
            folder,
            shown["secretKey"],
            shown["version"],
            _parse_time(shown["createdAt"]),
            _parse_time(shown["updatedAt"]),
            None if shown["secretValueHidden"] else shown["secretValue"],
        )

    def __str__(self) -> str:
        return f"{self.path} in {self.environment}"

    @property
    def place(self) -> tuple[str, str]:
        """Return the folder and the name, which are the same in each environment."""
        return self.folder, self.key

    @property
    def path(self) -> str:
        """Return the folder and the name as one path, such as `/backend/TOKEN`."""
        return f"{self.folder.rstrip('/')}/{self.key}"

    @property
    def size(self) -> int | None:
        """Return the number of bytes of the value; None if it can't be read."""
        return None if self.value is None else len(_to_bytes(self.value))


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _to_bytes(value: str) -> bytes:
    return value.encode("utf-8", errors="surrogateescape")


class FoundSecrets(NamedTuple):
    """The secrets of some environments, sorted.

    Attributes:
        refused: project and environment of those that the login may not read; the project is empty
            if it can't be seen.
    """

    secrets: list[StoredSecret]
    refused: set[tuple[str, str]]


def read_secrets(
    client: Client,
    layout: Layout,
    environments: Sequence[str],
    folder: str = "/",
    *,
    values: bool = True,
) -> FoundSecrets:
    """Return the secrets of a folder and of those below it, in the order of the environments.

    Args:
        values: whether to request values.

    Raises UserError for an environment that Infisical does not have.
    """

    def list_secrets(source: tuple[str, str]) -> list[StoredSecret] | None:
        project, slug = source
        names = _list(client, project, slug, values=False)
        if names is None:
            return None
        # In a list with values, the server omits secrets whose values the login may not read.
        full = (_list(client, project, slug, values=True) or []) if values else []
        shown = {each["id"]: each for each in full}
        return [
            StoredSecret.of(slug, each["secretPath"], shown.get(each["id"], each))
            for each in names
            if not layout.is_elsewhere(slug, each["secretPath"], project)
        ]

    inside = f"{folder.rstrip('/')}/"
    found: list[StoredSecret] = []
    refused = {("", slug) for slug in environments if not layout.list_in(slug)}
    sources = [(project, slug) for slug in environments for project in layout.list_in(slug)]
    for source, listed in gather_by(sources, list_secrets).items():
        if listed is None:
            refused.add(source)
        found += (each for each in listed or () if f"{each.folder}/".startswith(inside))
    found.sort(key=lambda each: (environments.index(each.environment), *each.place))
    return FoundSecrets(found, refused)


def _list(
    client: Client, project: str, environment: str, *, values: bool
) -> list[dict[str, Any]] | None:
    """Return the secrets of an environment; None if the login may not list them."""
    try:
        return contents.secrets(client, project, environment, values=values)
    except ApiError as error:
        if error.status == 403:
            return None
        if error.status != 404:
            raise
        raise UserError(
            f"there is no environment {environment} in Infisical: run `infisical-iac workspace "
            "apply` first",
            code="error.no_environment",
        ) from None


def find_environments(desired: Workspace, environment: str | None) -> list[str]:
    """Return this environment, or all of the project file for None. Raises UserError if unknown."""
    slugs = [each.slug for each in desired.environments]
    if environment is None or environment in slugs:
        return slugs if environment is None else [environment]
    raise UserError(
        f"there is no environment {environment!r} in the project file: "
        f"{suggest(environment, slugs)}",
        code="error.no_environment",
    )


def find_folder(desired: Workspace, place: str) -> str:
    """Return the folder of a service; a folder is returned unchanged. Raises UserError."""
    if place.startswith("/"):
        return place.rstrip("/") or "/"
    if place not in desired.services:
        raise UserError(
            f"there is no service {place!r} in the project file: "
            f"{suggest(place, desired.services)}",
            code="error.no_service",
        )
    return desired.services[place].folder


@dataclass(frozen=True)
class SecretSlot:
    """The place of one secret, which may be empty."""

    client: Client
    project: str
    environment: str
    folder: str
    name: str

    @classmethod
    def find(cls, client: Client, goal: Goal, environment: str, place: str, name: str) -> Self:
        """Return the slot of a name in an environment.

        Args:
            place: a service, or a folder.

        Raises UserError for an unknown place.
        """
        find_environments(goal.desired, environment)
        folder = find_folder(goal.desired, place)
        layout = locate(client, goal, partly=True)
        project = layout.find(environment, folder)
        if not project:
            raise UserError(
                f"no project that this login can see holds {folder} in {environment}: name its "
                "service or shared folder in the project file, and run `infisical-iac workspace "
                "apply`",
                code="error.no_project",
            )
        return cls(client, project, environment, folder, name)

    def __str__(self) -> str:
        return f"{self.folder.rstrip('/')}/{self.name} in {self.environment}"

    def read(self) -> StoredSecret | None:
        """Return the secret, None if there is none."""
        found = contents.secret(self.client, self.project, self.environment, self.folder, self.name)
        return None if found is None else StoredSecret.of(self.environment, self.folder, found)

    @property
    def _request(self) -> tuple[str, dict[str, str]]:
        place = {"projectId": self.project, "environment": self.environment}
        return contents.path_of(self.name), {**place, "secretPath": self.folder}

    def write(self, value: str, *, is_new: bool) -> bool:
        """Write a value; return whether it waits for an approval.

        Raises Refused if somebody has made or deleted the secret meanwhile.
        """
        path, place = self._request
        send = self.client.post if is_new else self.client.patch
        try:
            return "approval" in send(path, json={**place, "secretValue": value})
        except ApiError as error:
            if is_new and error.status == 404:
                raise UserError(
                    f"there is no folder {self.folder} in {self.environment}: name it in the "
                    "project file, and run `infisical-iac workspace apply`",
                    code="error.no_folder",
                ) from None
            if is_new and "already exists" in error.message:
                raise self._refusal("exists") from None
            if error.status == 404:
                raise self._refusal("has been deleted") from None
            raise

    def delete(self) -> bool:
        """Delete the secret; return whether that waits for an approval. Raises Refused."""
        path, place = self._request
        try:
            return "approval" in self.client.delete(path, json=place)
        except ApiError as error:
            if error.status != 404:
                raise
            raise self._refusal("has been deleted") from None

    def refuse_changed(self, found: StoredSecret | None, expected: int | None) -> None:
        """Raise Refused unless the secret has the expected version; 0 means that it is missing."""
        version = found.version if found else 0
        if expected is not None and version != expected:
            raise self._refusal(f"has version {version}" if version else "does not exist")

    def _refusal(self, state: str) -> Refused:
        return Refused(
            f"somebody else changed {self} meanwhile: it {state}, so nothing was changed; see "
            "`infisical-iac secrets list`, then run the command again",
            code="refused.changed_meanwhile",
        )

    def read_back(self, value: str, before: StoredSecret | None) -> StoredSecret:
        """Return the written secret. Raises RunFailed if it is not what was written.

        The server has no conditional write. Only the version shows whether somebody else has
        written between `before` and now.
        """
        after, version = self.read(), (before.version if before else 0) + 1
        if after is None or after.version != version:
            now = f"has version {after.version} instead of {version}" if after else "is gone"
            raise RunFailed(
                f"somebody else changed {self} at the same time: it {now}; see each value in its "
                "history in Infisical, and write the right one again",
                code="run.changed_meanwhile",
            )
        if after.value not in (None, value):
            raise RunFailed(
                f"{self} was read back with {pluralize(after.size or 0, 'byte')} instead of "
                f"{len(_to_bytes(value))}: write it as base64 that the code decodes",
                code="run.read_back",
            )
        return after
