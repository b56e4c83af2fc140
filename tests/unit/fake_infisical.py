"""An Infisical in memory, with the routes that the workspace uses."""

import json
import re
import threading
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import httpx

from infisical_iac.api.client import Client
from infisical_iac.workspace import canary
from tests.unit.fake_access import Access
from tests.unit.fake_deletions import Deletions
from tests.unit.fake_people import People
from tests.unit.fake_state import Json, Refused
from tests.unit.fake_structure import Structure

if TYPE_CHECKING:
    from collections.abc import Callable


# The answer of a server with another encryption key.
UNREADABLE = Refused(400, "BadRequest", "unable to authenticate data")


class FakeInfisical(Structure, Access, People, Deletions):
    """The state of one project and of the organization, and the routes to it.

    Each server in `others` answers for another project. The first fitting route answers a request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str, Any]] = []
        self.others: list[FakeInfisical] = []
        self._lock = threading.Lock()
        self.routes: list[tuple[str, str, Callable[..., Json]]] = [
            ("GET", "/v1/admin/config", self._config),
            ("PATCH", "/v1/admin/config", self._config),
            ("GET", "/v1/admin/user-management/users", self._users),
            ("GET", "/v1/admin/organization-management/organizations", self._organizations),
            ("GET", "/v1/identities/details", self._details),
            ("GET", "/v1/projects", self._projects),
            ("POST", "/v1/projects", self._create_project),
            ("GET", "/v1/projects/slug/(.+)", self._project_by_slug),
            ("GET", "/v1/projects/([^/]+)", self._project_by_id),
            ("PATCH", "/v1/projects/[^/]+", self._patch_project),
            ("POST", "/v1/projects/[^/]+/environments", self._create_environment),
            ("GET", "/v1/projects/[^/]+/environments/slug/(.+)", self._environment_by_slug),
            ("PATCH", "/v1/projects/[^/]+/environments/([^/]+)", self._patch_environment),
            ("POST", "/v1/projects/[^/]+/environments/([^/]+)/restore", self._restore),
            ("GET", "/v2/folders", self._list_folders),
            ("POST", "/v2/folders", self._create_folder),
            ("PATCH", "/v2/folders/([^/]+)", self._patch_folder),
            ("GET", "/v2/secret-imports", self._list_imports),
            ("POST", "/v2/secret-imports", self._create_import),
            ("PATCH", "/v2/secret-imports/([^/]+)", self._patch_import),
            ("GET", "/v1/identities", self._list_identities),
            ("POST", "/v1/identities", self._create_identity),
            ("GET", "/v1/identities/([^/]+)", self._identity),
            ("PATCH", "/v1/identities/([^/]+)", self._patch_identity),
            ("GET", "/v1/auth/universal-auth/identities/([^/]+)", self._auth),
            ("POST", "/v1/auth/universal-auth/identities/([^/]+)", self._attach),
            ("PATCH", "/v1/auth/universal-auth/identities/([^/]+)", self._patch_auth),
            ("GET", "/v1/auth/oidc-auth/identities/([^/]+)", self._oidc),
            ("POST", "/v1/auth/oidc-auth/identities/([^/]+)", self._attach_oidc),
            ("PATCH", "/v1/auth/oidc-auth/identities/([^/]+)", self._patch_oidc),
            ("GET", "/v1/auth/universal-auth/identities/([^/]+)/client-secrets", self._secrets),
            ("POST", "/v1/auth/universal-auth/identities/([^/]+)/client-secrets", self._secret),
            ("POST", ".+/identities/([^/]+)/client-secrets/([^/]+)/revoke", self._revoke),
            ("GET", "/v1/projects/[^/]+/memberships/identities", self._list_members),
            ("POST", "/v1/projects/[^/]+/memberships/identities/(.+)", self._add_member),
            ("PATCH", "/v1/projects/[^/]+/memberships/identities/(.+)", self._set_member),
            ("GET", "/v2/identity-project-additional-privilege", self._list_privileges),
            ("POST", "/v2/identity-project-additional-privilege", self._create_privilege),
            ("GET", "/v2/identity-project-additional-privilege/(.+)", self._privilege),
            ("PATCH", "/v2/identity-project-additional-privilege/(.+)", self._patch_privilege),
            ("DELETE", "/v2/identity-project-additional-privilege/(.+)", self._drop_privilege),
            ("GET", "/v4/secrets", self._list_secrets),
            ("PATCH", "/v4/secrets/batch", self._write_secrets),
            ("DELETE", "/v1/identities/([^/]+)", self._drop_identity),
            ("DELETE", "/v1/projects/[^/]+/memberships/identities/(.+)", self._drop_member),
            ("DELETE", "/v1/projects/[^/]+/environments/([^/]+)", self._drop_environment),
            ("DELETE", "/v2/folders/([^/]+)", self._drop_folder),
            ("DELETE", "/v2/secret-imports/([^/]+)", self._drop_import),
            ("GET", "/v1/projects/[^/]+/memberships", self._list_persons),
            ("POST", "/v1/projects/[^/]+/memberships", self._add_persons),
            ("PATCH", "/v1/projects/[^/]+/memberships/([^/]+)", self._set_person),
            ("DELETE", "/v1/projects/[^/]+/memberships/([^/]+)", self._drop_person),
            ("GET", "/v2/organizations/([^/]+)/memberships", self._list_organization),
            ("POST", "/v1/invite-org/signup", self._invite),
            ("GET", "/v1/projects/[^/]+/service-token-data", self._list_tokens),
            ("GET", "/v1/secret-syncs", self._list_syncs),
            ("GET", "/v1/(?:organizations|projects/[^/]+)/memberships/groups", self._list_groups),
            ("GET", "/v1/user-project-additional-privilege", self._list_grants),
            ("POST", "/v1/user-project-additional-privilege", self._create_grant),
            ("GET", "/v1/user-project-additional-privilege/(.+)", self._grant),
            ("PATCH", "/v1/user-project-additional-privilege/(.+)", self._patch_grant),
            ("DELETE", "/v1/user-project-additional-privilege/(.+)", self._drop_grant),
        ]

    def client(self, token: str = "token") -> Client:
        """Return a client of this server."""
        return Client("http://fake", httpx.MockTransport(self.handle), token)

    def take_state(self, other: "FakeInfisical") -> None:
        """Replace the state and the requests by a copy of those of another server."""
        own = {"routes", "others", "_lock"}
        state = {name: value for name, value in vars(other).items() if name not in own}
        vars(self).update(deepcopy(state))

    def add_environment(self, slug: str) -> None:
        """Add an environment whose name is its slug."""
        self._create_environment({"slug": slug, "name": slug})

    def add_canary(self) -> "FakeInfisical":
        """Return the server of the canary's project, which becomes one of the others."""
        other = FakeInfisical()
        other.shows_values = True
        other.project = {"id": "canary", "slug": canary.SLUG}
        other.add_environment(canary.ENVIRONMENT)
        other.store(canary.ENVIRONMENT, canary.FOLDER, canary.SECRET, value=canary.VALUE)
        self.others.append(other)
        return other

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        body = json.loads(request.content) if request.content else None
        values = dict(request.url.params) if request.method == "GET" else body or {}
        path = request.url.path
        asked = {values.get("projectId"), *path.split("/")}
        for other in self.others:
            if other.project and {other.project["id"], other.project["slug"]} & asked:
                return other.handle(request)
        if self.project:
            assert values.get("projectId", self.project["id"]) == self.project["id"]
        with self._lock:
            self.token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self.timeout = request.extensions["timeout"]["read"]
            # A copy, because the state keeps the bodies of requests.
            sent = json.loads(request.content) if request.content else None
            self.requests.append((request.method, path, sent))
            for method, pattern, route in self.routes:
                if method != request.method:
                    continue
                if match := re.fullmatch("/api" + pattern, path):
                    try:
                        return httpx.Response(200, json=route(values, *match.groups()))
                    except Refused as refused:
                        return httpx.Response(refused.status, json=refused.body)
        raise AssertionError(f"the fake has no {request.method} {path}")
