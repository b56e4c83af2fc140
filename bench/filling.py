"""Fill an Infisical with many obviously fake secrets through the API."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather
from infisical_iac.api.client import Client

PROJECT = "chainalign"
ENVIRONMENT = "production"
# The secrets of a large service.
IN_FOLDER = 1000
_IN_REQUEST = 500


def fill(login: Callable[[], AbstractContextManager[Client]], secrets: int) -> None:
    """Write secrets into new folders of a thousand each.

    Args:
        login: returns a client whose token may write to the project, and is valid for one folder.
        secrets: their number, a multiple of IN_FOLDER.

    Raises ApiError or Unreachable.
    """
    for number in range(secrets // IN_FOLDER):
        with login() as client:
            _folder(client, f"bench-{number:03}")


def _folder(client: Client, name: str) -> None:
    project = contents.project(client, PROJECT)
    assert project is not None
    at = {"projectId": project["id"], "environment": ENVIRONMENT}
    client.post("/api/v2/folders", json={**at, "name": name, "path": "/"})
    here = {**at, "secretPath": f"/{name}"}
    gather([partial(_write, client, here, begin) for begin in range(0, IN_FOLDER, _IN_REQUEST)])


def _write(client: Client, at: dict[str, str], begin: int) -> None:
    secrets = [
        {"secretKey": f"FAKE_{number}", "secretValue": f"obviously-fake-value-{number:032}"}
        for number in range(begin, begin + _IN_REQUEST)
    ]
    client.post("/api/v4/secrets/batch", json={**at, "secrets": secrets})
