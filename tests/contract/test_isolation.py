"""Test what an upgrade asks a release: to grant, to enforce, and to refuse what is beyond the
grant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from infisical_iac.api import identities, login
from infisical_iac.api.client import Client
from infisical_iac.api.universal_auth import attach_universal_auth, create_client_secret
from infisical_iac.core.errors import ApiError, CheckFailed
from infisical_iac.stack import session
from infisical_iac.workspace import isolation, model, reading, reconcile
from infisical_iac.workspace.converge import apply
from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.isolation import NAME
from infisical_iac.workspace.model import reading_of

from .first import EMAIL, PASSWORD, Deployer, set_up
from .services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from infisical_iac.workspace.model import Isolation

    from .conftest import StartStandin
    from .services import Standin

PLACES = [("production", "/backend"), ("production", "/frontend"), ("staging", "/backend")]
SLUG = "example"
# It is in Redis, and outlives the change of a release.
_NO_CACHE = {"STANDIN_PERMISSION_CACHE_SECONDS": "0"}


class Instance:
    """A server that can be started again as another release, with a deployer in it."""

    def __init__(self, start: StartStandin, database: str) -> None:
        self._start, self._database = start, database
        self._running: Standin = start(database, **_NO_CACHE).wait()
        with Client(self._running.url) as client:
            self.made: Deployer = set_up(client)

    @property
    def url(self) -> str:
        return self._running.url

    def release(self, privileges: str) -> Client:
        """Return the deployer's client of a release that treats privileges so."""
        self._running.close()
        settings = {"STANDIN_PRIVILEGES": privileges}
        self._running = self._start(self._database, **_NO_CACHE, **settings).wait()
        return self.deployer()

    def deployer(self, transport: httpx.BaseTransport | None = None) -> Client:
        client = Client(self.url, transport)
        return login.universal(client, self.made.client_id, self.made.client_secret)


@pytest.fixture
def instance(start: StartStandin, database: str) -> Instance:
    return Instance(start, database)


def _left(client: Client) -> tuple[list[str], list[str]]:
    """Return projects and identities that are there."""
    projects = client.get("/api/v1/projects")["projects"]
    organization = identities.organization_id(client)
    found = identities.find(client, organization, NAME)
    return [each["slug"] for each in projects], [found.id] if found else []


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [("privilege", "another folder and another environment"), ("viewer", "another project")],
)
def test_a_release_that_isolates_proves_it_and_keeps_nothing_of_it(
    instance: Instance, wanted: Isolation, refused: str
) -> None:
    client = instance.deployer()
    assert isolation.prove(client, wanted) == (
        f"A temporary identity read what it was granted and was refused {refused}, by v4 and v3 of "
        "the secrets API."
    )
    assert _left(client) == ([], [])


def test_the_administrator_can_have_it_proven_too(instance: Instance) -> None:
    with Client(instance.url) as client:
        isolation.prove(login.password(client, EMAIL, PASSWORD), "privilege")


@pytest.mark.parametrize(
    ("privileges", "reason"),
    [
        ("lost", r"no privilege can be granted \(404: Route POST:/api/v2/identity-project-addit"),
        ("unconditional", "v4 of the secrets API shows another folder in its folder's list and"),
    ],
)
def test_a_release_without_privileges_is_refused_with_the_choices(
    instance: Instance, privileges: str, reason: str
) -> None:
    client = instance.release(privileges)
    with pytest.raises(CheckFailed, match=reason) as refused:
        isolation.prove(client, "privilege")
    said = str(refused.value)
    assert "stay on the release that runs (set infisical_version back)" in said
    assert "set isolation to viewer, with which every service may read all environments" in said
    assert "an edition of Infisical with a license" in said
    assert _left(client) == ([], [])


def test_a_release_without_privileges_isolates_projects_all_the_same(instance: Instance) -> None:
    assert "another project" in isolation.prove(instance.release("lost"), "viewer")


class Altered(httpx.BaseTransport):
    """A server in whose answers something is other than the stand-in has it."""

    def __init__(self, alter: Callable[[httpx.Request], httpx.Response | None]) -> None:
        self._http, self._alter = httpx.HTTPTransport(), alter

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._alter(request) or self._http.handle_request(request)


def _open_v3(instance: Instance) -> Callable[[httpx.Request], None]:
    """Let everybody read all by the older generation, as if it asked for no right any more."""
    with Client(instance.url) as client:
        login_path = "/api/v1/auth/universal-auth/login"
        body = {"clientId": instance.made.client_id, "clientSecret": instance.made.client_secret}
        token = client.post(login_path, json=body)["accessToken"]

    def alter(request: httpx.Request) -> None:
        if request.url.path.startswith("/api/v3/secrets") and request.method == "GET":
            request.headers["Authorization"] = f"Bearer {token}"

    return alter


def _drop(prefix: str, status: int = 404) -> Callable[[httpx.Request], httpx.Response | None]:
    def alter(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.startswith(prefix):
            return None
        body = {"message": f"Route {request.url.path} not found", "error": "Not Found"}
        return httpx.Response(status, json=body)

    return alter


def test_the_older_generation_is_asked_too(instance: Instance) -> None:
    client = instance.deployer(Altered(_open_v3(instance)))
    with pytest.raises(CheckFailed, match="v3 of the secrets API shows another folder"):
        isolation.prove(client, "privilege")
    with pytest.raises(CheckFailed, match="v3 of the secrets API shows another project"):
        isolation.prove(client, "viewer")


def test_a_generation_that_the_server_has_no_more_is_not_asked(instance: Instance) -> None:
    client = instance.deployer(Altered(_drop("/api/v3/secrets")))
    assert "by v4 of the secrets API" in isolation.prove(client, "privilege")


class Hiding(httpx.BaseTransport):
    """A server that names what was granted, and hides its values."""

    def __init__(self) -> None:
        self._http = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._http.handle_request(request)
        if not request.url.path.startswith("/api/v4/secrets"):
            return answer
        text = answer.read().replace(b'"public"', b'"<hidden>"')
        return httpx.Response(answer.status_code, content=text)


def test_a_release_that_hides_what_was_granted_is_refused(instance: Instance) -> None:
    with pytest.raises(CheckFailed, match="v4 of the secrets API hides what was granted"):
        isolation.prove(instance.deployer(Hiding()), "privilege")


def test_an_answer_that_is_no_refusal_proves_nothing(instance: Instance) -> None:
    client = instance.deployer(Altered(_drop("/api/v3/secrets", 400)))
    with pytest.raises(ApiError):
        isolation.prove(client, "privilege")
    assert _left(client) == ([], [])


def test_what_a_killed_proof_has_left_is_taken_away_and_nothing_else(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = instance.deployer()
    others = [("theirs", f"{NAME}-theirs"), (NAME, "theirs-too"), ("theirs", f"{NAME}-01234567")]
    for name, slug in others:
        body = {"projectName": name, "slug": slug, "shouldCreateDefaultEnvs": False}
        client.post("/api/v1/projects", json=body)
    organization = identities.organization_id(client)
    foreign = client.post(
        "/api/v1/identities",
        json={"name": NAME, "organizationId": organization, "role": "no-access"},
    )["identity"]["id"]

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(isolation, "create_client_secret", killed)
        patch.setattr(isolation, "sweep", lambda client: None)
        with pytest.raises(KeyboardInterrupt):
            isolation.prove(client, "viewer")
    due = list(isolation.leftovers(client))
    assert [str(each).partition(":")[0].rpartition("-")[0] for each in due] == [
        f"- project {NAME}",
        f"- project {NAME}",
        "- identity infisical-iac",
    ]
    for _ in apply(client, due):
        pass
    assert list(isolation.leftovers(client)) == []
    assert sorted(_left(client)[0]) == sorted(slug for _, slug in others)
    assert client.get(f"/api/v1/identities/{foreign}")["identity"]["orgId"] == organization


@pytest.fixture
def service(
    instance: Instance, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> reading.Secrets:
    """Secrets in three places, one of which a service may read; its credentials are on the host."""
    client = instance.deployer()
    body = {"projectName": SLUG, "slug": SLUG, "shouldCreateDefaultEnvs": False}
    project = client.post("/api/v1/projects", json=body)["project"]["id"]
    stored: dict[str, reading.ReadSecret] = {}
    for environment, folder in PLACES:
        isolation._store(client, project, environment, folder)
        at = {"projectId": project, "environment": environment, "secretPath": folder}
        listed = client.get("/api/v4/secrets", params=at)["secrets"]
        stored |= {each["id"]: reading.secret(environment, each) for each in listed}
    identity = identities.create(client, identities.organization_id(client), "backend").id
    url = f"/api/v1/projects/{project}/memberships/identities/{identity}"
    client.post(url, json={"roles": [{"role": "no-access", "isTemporary": False}]})
    grant = {
        "identityId": identity,
        "projectId": project,
        "slug": "read",
        "type": {"isTemporary": False},
        "permissions": reading_of("production", ["/backend"]),
    }
    client.post(model.OF_IDENTITIES, json=grant)
    auth = attach_universal_auth(client, identity, 600, 600)
    made = create_client_secret(client, identity, "backend")
    text = render(Credential("production", auth.client_id, made.id, made.value))
    files = {"backend-production.env": text, "another.env": "malformed"}

    def run(command: str, *, doing: str) -> str:
        if command.startswith("ls "):
            return "\n".join(files)
        return files[command.rpartition("/")[2]]

    memory = {"environments": {}, "project": {"id": project, "slug": SLUG}}
    monkeypatch.setattr(reading, "run", run)
    monkeypatch.setattr(reconcile, "run", lambda command, *, doing: json.dumps(memory))
    monkeypatch.setattr(session, "api", lambda port: Client(instance.url))
    return stored


def test_a_service_is_shown_after_a_change_what_it_was_shown_before(
    instance: Instance, service: reading.Secrets
) -> None:
    client, port = instance.deployer(), free_port()
    then = reading.before(client, SLUG, port)
    assert then is not None
    assert {name: len(ids) for name, ids in then.shown.items()} == {"v4": 1, "v3": 1}
    assert reading.compare(client, SLUG, port, then, service) == (
        "The identity of backend-production is shown what it was shown before, and nothing else."
    )
    widened = instance.release("unconditional")
    with pytest.raises(CheckFailed, match=r"was refused before, by v4 .*: PROOF in production:/fr"):
        reading.compare(widened, SLUG, port, then, service)
    lost = instance.release("lost")
    with pytest.raises(CheckFailed, match=r"may read, by v4 .*: PROOF in production:/backend"):
        reading.compare(lost, SLUG, port, then, service)


def test_a_service_of_a_project_that_was_renamed_by_hand_is_asked_too(
    instance: Instance, service: reading.Secrets
) -> None:
    client, port = instance.deployer(), free_port()
    project = client.get(f"/api/v1/projects/slug/{SLUG}")["id"]
    client.patch(f"/api/v1/projects/{project}", json={"slug": "renamed-by-hand"})
    then = reading.before(client, SLUG, port)
    assert then is not None
    assert {name: len(ids) for name, ids in then.shown.items()} == {"v4": 1, "v3": 1}
    assert reading.compare(client, SLUG, port, then, service).startswith("The identity of ")


def test_nothing_is_compared_where_there_is_no_project(
    instance: Instance, service: reading.Secrets
) -> None:
    client = instance.deployer()
    project = client.get(f"/api/v1/projects/slug/{SLUG}")["id"]
    client.delete(f"/api/v1/projects/{project}")
    assert reading.before(client, SLUG, free_port()) is None


def test_credentials_that_do_not_work_before_are_no_reason_to_give_up(
    instance: Instance, service: reading.Secrets
) -> None:
    client = instance.deployer()
    organization = identities.organization_id(client)
    found = identities.find(client, organization, "backend")
    assert found is not None
    client.delete(f"/api/v1/identities/{found.id}")
    assert reading.before(client, SLUG, free_port()) is None
