"""Logins that show no secret when they fail, and what an identity sees."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import pytest

from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace.credential_file import Credential, parse
from infisical_iac.workspace.credentials import path
from infisical_iac.workspace.model import Workspace
from tests.host.connection import Connection

Result = TypeVar("Result")


class Login(NamedTuple):
    """Hold what came of a login: a client and the token's lifetimes, or the reason of a failure."""

    client: Client
    ttl: int
    max_ttl: int
    failure: str


class Seen(NamedTuple):
    """A secret of the workspace, without its value; `has_value` says whether it was shown."""

    environment: str
    folder: str
    key: str
    has_value: bool


def succeeding(call: Callable[[], Result]) -> Result:
    """The result of a call; a UserError fails the test with only its sentence."""
    try:
        return call()
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


def read_credentials(connection: Connection, workspace: Workspace) -> dict[str, Credential | None]:
    """Return what is in the credential file of each account, by identity; None if it is
    malformed.
    """
    return {
        account.identity: parse(connection.quietly(f"cat {path(account)}"))
        for account in workspace.accounts()
    }


def log_in(api: Client, credentials: dict[str, Credential | None]) -> dict[str, Login]:
    """Log in once with each; the names are kept."""
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
    """The HTTP status that a GET is answered with."""
    try:
        client.get(path, params=params)
    except ApiError as error:
        return error.status
    return 200


def list_seen(
    client: Client, project: str, environment: str, folder: str, *, values: bool = True
) -> set[Seen]:
    """The secrets that a client sees in a folder and through its imports.

    Raises ApiError, 403 for who may see none in the whole project.
    """
    query = {
        "projectId": project,
        "environment": environment,
        "secretPath": folder,
        "viewSecretValue": str(values).lower(),
        "expandSecretReferences": "false",
        "includeImports": "true",
    }
    answer = client.get("/api/v4/secrets", params=query)
    found = {
        Seen(environment, folder, each["secretKey"], not each["secretValueHidden"])
        for each in answer["secrets"]
    }
    for source in answer["imports"]:
        found |= {
            Seen(
                source["environment"],
                source["secretPath"],
                each["secretKey"],
                not each["secretValueHidden"],
            )
            for each in source["secrets"]
        }
    return found
