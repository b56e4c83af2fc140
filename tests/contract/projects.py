"""A deployment with the isolation `projects`: one project a service, folder and environment."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import httpx

from infisical_iac.agent import contents
from infisical_iac.agent.identities import create_client_secret
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.goal import Memory, Reached, slugs_of
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.second_factor import SecondFactors

from .first import EMAIL, PASSWORD
from .world import PASSWORD as WORLD_PASSWORD
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infisical_iac.workspace.model import Isolation, Workspace
    from infisical_iac.workspace.state import ApiChange

    from .world import World

Json = dict[str, Any]
ADA, BEN = "ada@example.com", "ben@example.com"
API = "/api/v1/projects"
# A job as `init --pipeline` writes it, with another login.
NAMES_JOB: Json = {"check": {"sees": "names", "auth": "universal"}}
# More changes than any run here makes.
MOST_CUTS = 120


def file() -> Json:
    """Return a project file with two services; one of them imports the shared folder."""
    return {
        "project": {"name": "Acme", "slug": "acme-co"},
        "environments": [{"slug": each, "name": each.title()} for each in ("staging", "live")],
        "shared_folders": ["/shared"],
        "services": {
            "api": {"folder": "/api", "imports": ["/shared"]},
            "web": {"folder": "/web"},
        },
    }


@contextmanager
def on(world: World, isolation: Isolation) -> Iterator[Projects]:
    """Return a deployment on a shared server, which may be a real one."""
    identity = world.deployer_identity
    with Client(world.standin.url) as anyone:
        deployer = login.universal(anyone, identity.client_id, identity.client_secret)
        made = Projects(deployer, anyone, identity.client_id, world.org_id, isolation=isolation)
        made.password = WORLD_PASSWORD
        before = _list_identities(world)
        yield made
        made.clear()
        # Identities belong to no project. Another deployment there would take over those it names.
        for id in _list_identities(world) - before:
            world.admin.delete(f"/api/v1/identities/{id}")


def _list_identities(world: World) -> set[str]:
    query = {"orgId": world.org_id, "limit": "1000"}
    listed = ok(world.admin.get("/api/v1/identities", params=query))["identities"]
    return {each["identity"]["id"] for each in listed}


class Writer:
    """Somebody who writes secrets without a pause, and knows which writes were acknowledged.

    Args:
        at: returns the parameters of a request for the secrets of a folder; None while there is no
            such place.
    """

    def __init__(self, client: Client, name: str, at: Callable[[], dict[str, str] | None]) -> None:
        self._client, self._name, self._at = client, name, at
        self.acknowledged: dict[str, str] = {}
        self._ended = Event()
        self._thread = Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        for number in count():
            if self._ended.wait(0.005):
                return
            place = self._at()
            if place is None:
                continue
            name, value = f"{self._name}_{number % 7}", f"fake-{number}"
            secrets = [{"secretKey": name, "secretValue": value}]
            try:
                body = {**place, "mode": "upsert", "secrets": secrets}
                self._client.patch("/api/v4/secrets/batch", json=body)
            except UserError:  # It was not acknowledged.
                continue
            self.acknowledged[name] = value


class Cut:
    """An end of the connection to server and host after a number of changes of either."""

    def __init__(self, left: int) -> None:
        self._left, self._lock = left, Lock()

    def take(self) -> None:
        """Count a change. Raises UserError if none is left."""
        with self._lock:
            if not self._left:
                raise UserError("cut")
            self._left -= 1


@dataclass
class Projects:
    """A deployment, with the clients of the deployer and of nobody."""

    deployer: Client
    anyone: Client
    client_id: str
    organization: str
    content: Json = field(default_factory=file)
    memory: Memory = field(default_factory=Memory)
    isolation: Isolation = "projects"
    password: str = PASSWORD
    factors: SecondFactors = field(default_factory=SecondFactors)
    cut: Cut | None = None

    @property
    def desired(self) -> Workspace:
        return load(json.dumps(self.content))

    def admin(self) -> Client:
        return login.password(self.anyone, EMAIL, self.password, self.organization)

    def reach(self) -> Reached:
        reached = Reached(
            client=self.deployer,
            address="",
            deployer=self.client_id,
            admin=self.admin,
            has_admin=True,
            desired=self.desired,
            isolation=self.isolation,
            admin_email=EMAIL,
            remember=self.remember,
            factors=self.factors,
        )
        return reached.recalling(self.memory)

    def remember(self, memory: Memory) -> None:
        """Keep the memory, as a host does in its file; it is not written if nothing differs."""
        if memory != self.memory:
            if self.cut is not None:
                self.cut.take()
            self.memory = memory

    def plan(self, *, prune: bool = False) -> WorkspacePlan:
        return compute_plan(self.reach(), prune=prune)

    def foreign(self) -> list[str]:
        return [each.what for each in self.plan().foreign]

    def apply(self, *, prune: bool = False) -> list[ApiChange]:
        """Plan, make all changes, and return those that were made."""
        done: list[ApiChange] = []
        apply_plan(self.reach(), self.plan(prune=prune), done.append)
        return done

    def slugs(self) -> list[str]:
        """Return the slugs of the deployment's projects, sorted."""
        return sorted(each["slug"] for each in self.projects())

    def projects(self) -> list[Json]:
        """Return the deployment's projects: others on a shared server have other slugs."""
        listed = contents.projects(self.deployer)
        return [each for each in listed if each["slug"].startswith(self.content["project"]["slug"])]

    def clear(self) -> None:
        """Delete the deployment's projects, and forget them."""
        for each in self.projects():
            body = {"name": each["name"], "hasDeleteProtection": False}
            self.deployer.patch(f"{API}/{each['id']}", json=body)
            self.deployer.delete(f"{API}/{each['id']}")
        self.memory = Memory()

    def id_of(self, key: str) -> str:
        """Return the id of the project of a key, such as `api.live`."""
        slug = slugs_of(self.desired)[key]
        (found,) = (each for each in contents.projects(self.deployer) if each["slug"] == slug)
        return str(found["id"])

    def at(self, key: str) -> dict[str, str]:
        """Return the parameters of a request for the secrets in the project of a key."""
        named, _, environment = key.rpartition(".")
        folder = named if named.startswith("/") else f"/{named}"
        return {"projectId": self.id_of(key), "environment": environment, "secretPath": folder}

    def write(self, key: str, name: str, **fields: Any) -> None:
        body = {**self.at(key), "secretValue": "fake", **fields}
        self.deployer.post(f"/api/v4/secrets/{name}", json=body)

    def log_in(self, identity: str) -> Client:
        """Return a client with the token of a service's identity."""
        id = self.memory.identities[identity]
        auth = self.deployer.get(f"/api/v1/auth/universal-auth/identities/{id}")
        secret = create_client_secret(self.deployer, id, "test").value
        return login.universal(self.anyone, auth["identityUniversalAuth"]["clientId"], secret)


class Failing(httpx.BaseTransport):
    """A transport that fails after a number of requests that change something."""

    def __init__(self, cut: Cut) -> None:
        self._cut, self._way = cut, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET" and "/auth/" not in request.url.path:
            try:
                self._cut.take()
            except UserError:
                raise httpx.ConnectError("cut") from None
        return self._way.handle_request(request)


def is_cut(made: Projects, run: Callable[[Projects], Any], after: int = 1) -> bool:
    """Run with connections that fail after a number of changes; return whether the run failed.

    Repeated runs are thus interrupted at one change after the other, on the server and in the
    memory on the host.
    """
    whole = made.deployer
    made.cut = Cut(after)
    with Client(str(whole._http.base_url), Failing(made.cut)) as cut:
        made.deployer = cut.with_token(str(whole._token))
        try:
            run(made)
        except UserError:
            return True
        finally:
            made.deployer, made.cut = whole, None
    return False
