"""Log in without showing a secret in a failure, and list the secrets that an identity sees."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import pytest

from infisical_iac.agent.api import gather
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace.credential_file import Credential, parse
from infisical_iac.workspace.credentials import path
from infisical_iac.workspace.model import Workspace
from tests.host.connection import Connection

Result = TypeVar("Result")


class Login(NamedTuple):
    """The result of a login: a client and the token's lifetimes in seconds, or a failure."""

    client: Client
    ttl: int
    max_ttl: int
    failure: str


class Place(NamedTuple):
    """A folder of an environment, by the project's id."""

    project: str
    environment: str
    folder: str


class Seen(NamedTuple):
    """A secret, without its value; `has_value` says whether it was shown."""

    project: str
    environment: str
    folder: str
    key: str
    has_value: bool

    @property
    def place(self) -> Place:
        """Return the folder that holds the secret."""
        return Place(self.project, self.environment, self.folder)


def call_or_fail(call: Callable[[], Result]) -> Result:
    """Return the result of a call; fail the test with only the sentence of a UserError."""
    try:
        return call()
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


def read_credentials(connection: Connection, workspace: Workspace) -> dict[str, Credential | None]:
    """Return the credentials of each account's file, by identity; None for a malformed file."""
    return {
        account.identity: parse(connection.quietly(f"cat {path(account)}"))
        for account in workspace.accounts()
        if account.auth is None
    }


def log_in(api: Client, credentials: dict[str, Credential | None]) -> dict[str, Login]:
    """Log in once with each credential, and return the logins under the same names."""
    calls = [partial(_log_in, api, credential) for credential in credentials.values()]
    return dict(zip(credentials, gather(calls), strict=True))


def _log_in(api: Client, credential: Credential | None) -> Login:
    if credential is None:
        return Login(api, 0, 0, "its credentials file is missing or malformed")
    body = {"clientId": credential.client_id, "clientSecret": credential.client_secret}
    try:
        answer = api.post("/api/v1/auth/universal-auth/login", json=body)
    except UserError as error:
        return Login(api, 0, 0, str(error))
    client = api.with_token(answer["accessToken"])
    return Login(client, answer["expiresIn"], answer["accessTokenMaxTTL"], "")


def status(client: Client, path: str, params: dict[str, str] | None = None) -> int:
    """Return the HTTP status of the answer to a GET."""
    try:
        client.get(path, params=params)
    except ApiError as error:
        return error.status
    return 200


def list_seen(client: Client, place: Place, *, values: bool = True) -> set[Seen]:
    """Return the secrets that a client sees in a folder and through its imports.

    Infisical answers 403 to a client that may see no secret of a project; the list is empty then.
    """
    query = {
        "projectId": place.project,
        "environment": place.environment,
        "secretPath": place.folder,
        "viewSecretValue": str(values).lower(),
        "expandSecretReferences": "false",
        "includeImports": "true",
    }
    try:
        answer = client.get("/api/v4/secrets", params=query)
    except ApiError as error:
        if error.status != 403:
            raise
        return set()
    found = {
        Seen(*place, each["secretKey"], not each["secretValueHidden"]) for each in answer["secrets"]
    }
    for source in answer["imports"]:
        found |= {
            Seen(
                place.project,
                source["environment"],
                source["secretPath"],
                each["secretKey"],
                not each["secretValueHidden"],
            )
            for each in source["secrets"]
        }
    return found
