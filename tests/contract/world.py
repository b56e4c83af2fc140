"""A bootstrapped server with an admin, a deployer and a project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from .services import Standin

EMAIL = "admin@example.com"
PASSWORD = "not-a-real-password"
Document = dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """A machine identity with credentials of universal auth."""

    id: str
    client_id: str
    client_secret: str = field(repr=False)
    client_secret_id: str

    def login(self, standin: Standin) -> httpx.Response:
        body = {"clientId": self.client_id, "clientSecret": self.client_secret}
        return standin.client().post("/api/v1/auth/universal-auth/login", json=body)

    def client(self, standin: Standin) -> httpx.Client:
        return standin.client(self.login(standin).json()["accessToken"])


@dataclass(frozen=True)
class World:
    """A server for most tests; `admin` and `deployer` are clients with a token."""

    standin: Standin
    database: str
    org_id: str
    project_id: str
    admin: httpx.Client
    deployer: httpx.Client
    deployer_identity: Identity

    def place(self, environment: str = "production", path: str = "/") -> Document:
        return {"projectId": self.project_id, "environment": environment, "secretPath": path}

    def variables(self, url: str = "") -> dict[str, str]:
        """Return environment variables for a command on the server, or at another URL."""
        return {
            "INFISICAL_API_URL": url or self.standin.url,
            "INFISICAL_CLIENT_ID": self.deployer_identity.client_id,
            "INFISICAL_CLIENT_SECRET": self.deployer_identity.client_secret,
            "INFISICAL_ADMIN_EMAIL": EMAIL,
        }

    def member(self, role: str = "no-access", **auth: Any) -> Identity:
        """Make an identity that is a member of the project, and return it."""
        identity = make_identity(self.admin, self.org_id, "service", "no-access", **auth)
        url = f"/api/v1/projects/{self.project_id}/memberships/identities/{identity.id}"
        ok(self.deployer.post(url, json={"roles": [{"role": role}]}))
        return identity

    def grant(self, identity: Identity, *permissions: Document) -> str:
        """Give an identity an additional privilege; return its id."""
        body = {
            "identityId": identity.id,
            "projectId": self.project_id,
            "slug": "granted",
            "type": {"isTemporary": False},
            "permissions": list(permissions),
        }
        created = ok(self.deployer.post("/api/v2/identity-project-additional-privilege", json=body))
        privilege_id: str = created["privilege"]["id"]
        return privilege_id

    def write(self, path: str = "/", environment: str = "production", **values: str) -> None:
        secrets = [{"secretKey": name, "secretValue": value} for name, value in values.items()]
        body = {**self.place(environment, path), "mode": "upsert", "secrets": secrets}
        ok(self.deployer.patch("/api/v4/secrets/batch", json=body))

    def folder(self, path: str, name: str, environment: str = "production") -> Document:
        body = {"projectId": self.project_id, "environment": environment, "path": path}
        created = ok(self.deployer.post("/api/v2/folders", json={**body, "name": name}))
        folder: Document = created["folder"]
        return folder


def ok(answer: httpx.Response) -> Document:
    """Return the body of a 200 answer."""
    assert answer.status_code == 200, answer.text
    body: Document = answer.json()
    return body


def bootstrap(client: httpx.Client, email: str = EMAIL) -> httpx.Response:
    body = {"email": email, "password": PASSWORD, "organization": "example"}
    return client.post("/api/v1/admin/bootstrap", json=body)


def log_in(standin: Standin, org_id: str, email: str = EMAIL) -> httpx.Client:
    """Return a client with the admin's token for one organization."""
    with standin.client() as client:
        body = {"email": email, "password": PASSWORD}
        token = ok(client.post("/api/v3/auth/login", json=body))["accessToken"]
    with standin.client(token) as client:
        url = "/api/v3/auth/select-organization"
        token = ok(client.post(url, json={"organizationId": org_id}))["token"]
    return standin.client(token)


def make_identity(admin: httpx.Client, org_id: str, name: str, role: str, **auth: Any) -> Identity:
    body = {"name": name, "organizationId": org_id, "role": role}
    identity = ok(admin.post("/api/v1/identities", json=body))["identity"]
    url = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    secret_options = {k: auth.pop(k) for k in ("ttl", "numUsesLimit") if k in auth}
    attached = ok(admin.post(url, json=auth))["identityUniversalAuth"]
    made = ok(admin.post(f"{url}/client-secrets", json=secret_options))
    secret_id = made["clientSecretData"]["id"]
    return Identity(identity["id"], attached["clientId"], made["clientSecret"], secret_id)


def set_up(standin: Standin, database: str = "") -> World:
    """Bootstrap a new server and make a project with one environment."""
    with standin.client() as client:
        org_id = ok(bootstrap(client))["organization"]["id"]
    admin = log_in(standin, org_id)
    identity = make_identity(admin, org_id, "deployer", "admin")
    deployer = identity.client(standin)
    body = {"projectName": "example", "slug": "example", "shouldCreateDefaultEnvs": False}
    project_id = ok(deployer.post("/api/v1/projects", json=body))["project"]["id"]
    environments = f"/api/v1/projects/{project_id}/environments"
    for name in ("development", "production"):
        ok(deployer.post(environments, json={"name": name, "slug": name}))
    return World(standin, database, org_id, project_id, admin, deployer, identity)
