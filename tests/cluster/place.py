"""The project that the client of the fault tests writes to, made by the deployer."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.cluster.nodes import Node

PROJECT = "fault-tests"
ENVIRONMENT = "development"
_SETTING_UP_SECONDS = 20.0


@dataclass
class Place:
    """A folder in an environment of a project, and the deployer's token.

    Without a folder, `set_up` makes a new one: a server copies the names of the whole folder at
    each write, so that the writes of earlier faults would slow down those of later ones.
    """

    credentials: Mapping[str, str] = field(repr=False)
    project_id: str = ""
    token: str = field(default="", repr=False)
    project: str = PROJECT
    environment: str = ENVIRONMENT
    folder: str = ""

    def set_up(self, node: Node) -> "Place":
        """Log in, and make project and folder if they are missing. Raises httpx.HTTPError."""
        self.log_in(node)
        projects = self._request(node, "GET", "/api/v1/projects")["projects"]
        found = [each["id"] for each in projects if each["slug"] == self.project]
        self.project_id = found[0] if found else self._create(node)
        if not self.folder:
            self.folder = f"/{secrets.token_hex(4)}"
            at = {"projectId": self.project_id, "environment": self.environment, "path": "/"}
            self._request(node, "POST", "/api/v2/folders", json={**at, "name": self.folder[1:]})
        return self

    def log_in(self, node: Node) -> None:
        """Get a new token."""
        body = {
            "clientId": self.credentials["INFISICAL_CLIENT_ID"],
            "clientSecret": self.credentials["INFISICAL_CLIENT_SECRET"],
        }
        self.token = ""
        path = "/api/v1/auth/universal-auth/login"
        self.token = self._request(node, "POST", path, json=body)["accessToken"]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of a request with the token."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def fields(self) -> dict[str, str]:
        """Return the place of a secret, as fields of a body or a query."""
        return {
            "projectId": self.project_id,
            "environment": self.environment,
            "secretPath": self.folder,
        }

    def write(self, node: Node, name: str, value: str, seconds: float) -> httpx.Response:
        """Create a secret."""
        body = {**self.fields, "secretValue": value}
        path = f"/api/v4/secrets/{name}"
        return node.ask("POST", path, seconds, json=body, headers=self.headers)

    def read(self, node: Node, name: str, seconds: float) -> httpx.Response:
        """Read one secret."""
        path = f"/api/v4/secrets/{name}"
        return node.ask("GET", path, seconds, params=self.fields, headers=self.headers)

    def all(self, node: Node) -> dict[str, str]:
        """Return all secrets. Raises httpx.HTTPError."""
        data = self._request(node, "GET", "/api/v4/secrets", params=self.fields)
        return {each["secretKey"]: each["secretValue"] for each in data["secrets"]}

    def _create(self, node: Node) -> str:
        body = {
            "projectName": self.project,
            "slug": self.project,
            "shouldCreateDefaultEnvs": False,
        }
        project: str = self._request(node, "POST", "/api/v1/projects", json=body)["project"]["id"]
        environment = {"name": self.environment, "slug": self.environment}
        self._request(node, "POST", f"/api/v1/projects/{project}/environments", json=environment)
        return project

    def _request(self, node: Node, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = node.ask(method, path, _SETTING_UP_SECONDS, headers=self.headers, **options)
        data: dict[str, Any] = answer.raise_for_status().json()
        return data
