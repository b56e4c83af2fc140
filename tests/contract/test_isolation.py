"""Test that a release is refused unless it grants, enforces and limits the access of services."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from infisical_iac.agent import identities, proof
from infisical_iac.agent import isolation as proof_of_isolation
from infisical_iac.agent import login as agent_login
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.contents import MEMORY
from infisical_iac.agent.identities import attach_universal_auth, create_client_secret
from infisical_iac.agent.isolation import NAME
from infisical_iac.agent.privileges import OF_IDENTITIES, list_privileges, reading_of
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.reach import CREDENTIALS
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed
from infisical_iac.init.server import propose_isolation
from infisical_iac.workspace import isolation, memory
from infisical_iac.workspace.converge import apply
from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.moving import carry_out
from tests.unit.agent.fake_runner import FakeRunner

from .first import EMAIL, PASSWORD, Deployer, set_up
from .projects import NAMES_JOB, Projects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infisical_iac.workspace.model import Isolation

    from .conftest import StartStandin
    from .services import Standin

PLACES = [("production", "/backend"), ("production", "/frontend"), ("staging", "/backend")]
SLUG = "example"
_OF_NAMES_JOB = "access of ci-check"
# The releases that do not enforce privileges.
_UNENFORCED = ("lost", "unconditional", "ignored")
# The cache is in Redis, and would keep permissions across a change of the release.
_NO_CACHE = {"STANDIN_PERMISSION_CACHE_SECONDS": "0"}


class Instance:
    """A server with a deployer, which can be restarted as another release."""

    def __init__(self, start: StartStandin, database: str) -> None:
        self._start, self._database = start, database
        self._running: Standin = start(database, **_NO_CACHE).wait()
        with Client(self._running.url) as client:
            self.made: Deployer = set_up(client)

    @property
    def url(self) -> str:
        return self._running.url

    @property
    def port(self) -> int:
        return self._running.port

    def host(self, root: Path) -> FakeRunner:
        """Return the host of this server, with the deployer's credentials."""
        made = FakeRunner(root)
        made.write(agent_login.DEPLOYER_FILE, self.file)
        return made

    @property
    def file(self) -> str:
        """Return the deployer's file on a host, as a deploy writes it."""
        return (
            f"# client secret 1\nINFISICAL_CLIENT_ID={self.made.client_id}\n"
            f"INFISICAL_CLIENT_SECRET={self.made.client_secret}\n"
        )

    def release(self, privileges: str) -> Client:
        """Restart as a release that treats privileges this way; return its deployer's client."""
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


def _list_remains(client: Client) -> tuple[list[str], list[str]]:
    """Return the slugs of all projects and the ids of temporary identities."""
    projects = client.get("/api/v1/projects")["projects"]
    organization = identities.organization_id(client)
    found = identities.find(client, organization, NAME)
    return [each["slug"] for each in projects], [found.id] if found else []


@pytest.mark.parametrize(
    ("mode", "refused"),
    [("privilege", ("another folder", "another environment")), ("viewer", ("another project",))],
)
def test_an_isolating_release_passes_and_the_check_leaves_no_objects(
    instance: Instance, mode: Isolation, refused: tuple[str, ...]
) -> None:
    client = instance.deployer()
    proven = isolation.prove(client, mode)
    assert [each for each in (*refused, "v4", "v3") if each not in proven] == []
    assert _list_remains(client) == ([], [])


def test_the_administrator_can_prove_isolation_too(instance: Instance) -> None:
    with Client(instance.url) as client:
        isolation.prove(login.password(client, EMAIL, PASSWORD), "privilege")


@pytest.mark.parametrize(
    ("privileges", "reason"),
    [
        ("lost", r"\(404: Route POST:/api/v2/identity-project-addit"),
        ("unconditional", r"v4 of .* another folder"),
        ("ignored", r"v4 of .* not show"),
    ],
)
def test_a_release_without_privileges_is_refused_with_the_way_to_projects(
    instance: Instance, privileges: str, reason: str
) -> None:
    client = instance.release(privileges)
    with pytest.raises(CheckFailed, match=reason) as refused:
        isolation.prove(client, "privilege")
    assert refused.value.code == "checks.isolation"
    way = ("infisical_version", "isolation apply --to projects")
    assert [each for each in way if each not in str(refused.value)] == []
    assert _list_remains(client) == ([], [])


@pytest.mark.parametrize("privileges", _UNENFORCED)
def test_an_upgrade_to_a_release_without_privileges_is_given_up_with_the_way_to_projects(
    instance: Instance, tmp_path: Path, privileges: str
) -> None:
    host, plan = instance.host(tmp_path), _plan()
    assert "another folder" in proof.prove_isolation(host, plan, instance.port)
    then = proof.record_before(host, plan, instance.port)
    instance.release(privileges)
    with pytest.raises(RuntimeError) as refused:
        proof.check_as_before(
            host, plan, then, port=instance.port, same_data=True, other_version=True
        )
    found = refused.value.args[0]
    assert found.code == "checks.isolation"
    assert "isolation apply --to projects" in found.message
    assert _list_remains(instance.deployer()) == ([], [])


@pytest.mark.parametrize("privileges", ["lost", "ignored"])
def test_a_release_without_privileges_still_isolates_projects(
    instance: Instance, privileges: str
) -> None:
    assert "another project" in isolation.prove(instance.release(privileges), "viewer")


@pytest.mark.parametrize("privileges", _UNENFORCED)
def test_a_first_deploy_gives_each_service_a_project_where_privileges_are_not_enforced(
    instance: Instance, privileges: str
) -> None:
    deployer, made = instance.release(privileges), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization)
        there.isolation = "privilege"
        there.content["ci"] = NAMES_JOB
        (first, *_) = there.apply()
        assert (first.kind, first.what) == ("~", "isolation")
        assert "isolation = 'projects'" in first.shown
        assert len(there.slugs()) == 6
        planned = there.plan()
        assert planned.due == []
        assert [each.what for each in planned.blocked] == [_OF_NAMES_JOB]
        assert [each for each in planned.notes if "isolation = 'projects'" in each] != []
        there.isolation = "projects"
        planned = there.plan()
        assert (planned.due, planned.notes) == ([], [])
        assert [each.what for each in planned.blocked] == [_OF_NAMES_JOB]


@pytest.mark.parametrize("mode", ["projects", "viewer"])
@pytest.mark.parametrize("privileges", _UNENFORCED)
def test_a_job_that_sees_names_is_blocked_and_all_else_applied_where_privileges_are_not_enforced(
    instance: Instance, privileges: str, mode: Isolation
) -> None:
    deployer, made = instance.release(privileges), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization, isolation=mode)
        there.content["ci"] = NAMES_JOB
        if privileges == "lost":
            assert [each.what for each in there.plan().blocked] == [_OF_NAMES_JOB]
        there.apply()
        assert len(there.slugs()) == (6 if mode == "projects" else 1)
        planned = there.plan()
        assert planned.due == []
        assert [each.what for each in planned.blocked] == [_OF_NAMES_JOB]
        assert {"api-live", "ci-check"} <= {*there.memory.identities}
        # A later apply asks again, as another release may enforce privileges.
        there.deployer = instance.release("enforced")
        with Client(instance.url) as another:
            there.anyone = another
            there.content["services"]["job"] = {"folder": "/job"}
            there.apply()
            there.apply()
            planned = there.plan()
            assert (planned.due, planned.blocked) == ([], [])


@pytest.mark.parametrize("mode", ["projects", "viewer"])
def test_a_later_release_without_privileges_blocks_a_job_that_sees_names_and_nothing_else(
    instance: Instance, mode: Isolation
) -> None:
    deployer, made = instance.deployer(), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization, isolation=mode)
        there.content["ci"] = NAMES_JOB
        there.apply()
        planned = there.plan()
        assert (planned.due, planned.blocked) == ([], [])
    there.deployer = instance.release("lost")
    with Client(instance.url) as there.anyone:
        planned = there.plan()
        assert planned.due == []
        assert [each.what for each in planned.blocked] == [_OF_NAMES_JOB]
        there.content["services"]["job"] = {"folder": "/job"}
        assert there.apply() != []
        assert there.plan().due == []


def test_a_plan_after_the_loss_of_privileges_names_the_way_to_projects(instance: Instance) -> None:
    deployer, made = instance.deployer(), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization, isolation="privilege")
        there.apply()
    there.deployer = instance.release("lost")
    with Client(instance.url) as there.anyone:
        with pytest.raises(CheckFailed) as refused:
            there.plan()
        assert refused.value.code == "checks.isolation"
        assert "isolation apply --to projects" in str(refused.value)
        carry_out(there.reach(), "projects", lambda _: None)
        there.isolation = "projects"
        assert there.plan().due == []


@pytest.mark.parametrize(
    ("privileges", "method", "fact"),
    [
        ("", "privilege", "enforces"),
        ("lost", "projects", "404"),
        ("unconditional", "projects", "v4"),
        ("ignored", "projects", "v4"),
    ],
)
def test_init_proposes_what_a_deployed_server_enforces(
    instance: Instance, privileges: str, method: Isolation, fact: str
) -> None:
    if privileges:
        instance.release(privileges)
    with Client(instance.url) as client:
        proposed = propose_isolation(client, instance.file)
    assert proposed.method == method
    assert fact in proposed.reason
    assert _list_remains(instance.deployer()) == ([], [])


def test_init_proposes_the_projects_that_a_server_has_already(instance: Instance) -> None:
    deployer, made = instance.release("lost"), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization)
        there.apply()
        text = instance.file + memory.render(there.memory)
        assert propose_isolation(anyone, text).method == "projects"
        # The memory of deploys names the projects, so no login is needed.
        assert made.client_secret not in propose_isolation(anyone, text).reason


@pytest.mark.parametrize("status", [401, 500])
def test_init_leaves_the_question_to_the_deploy_if_the_server_cannot_be_asked(
    instance: Instance, status: int
) -> None:
    path = "/api/v1/auth/universal-auth/login"
    with Client(instance.url, Altered(_drop(path, status))) as client:
        proposed = propose_isolation(client, instance.file)
    assert proposed.method == "privilege"
    assert "next deploy" in proposed.reason
    assert instance.made.client_secret not in proposed.reason


def test_an_outage_during_the_proof_is_no_reason_to_do_without_privileges(
    instance: Instance,
) -> None:
    deployer, made = instance.deployer(Altered(_drop(OF_IDENTITIES, 500))), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization)
        there.isolation = "privilege"
        with pytest.raises(CheckFailed) as failed:
            there.apply()
        assert "500" in str(failed.value)
        assert (there.slugs(), there.memory.fell_back) == ([], False)


def test_a_first_deploy_keeps_privileges_that_are_enforced(instance: Instance) -> None:
    deployer, made = instance.deployer(), instance.made
    with Client(instance.url) as anyone:
        there = Projects(deployer, anyone, made.client_id, made.organization)
        there.isolation = "privilege"
        assert [each.what for each in there.apply() if each.what == "isolation"] == []
        assert there.slugs() == ["acme-co"]


class Altered(httpx.BaseTransport):
    """A server with some altered answers."""

    def __init__(self, alter: Callable[[httpx.Request], httpx.Response | None]) -> None:
        self._http, self._alter = httpx.HTTPTransport(), alter

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._alter(request) or self._http.handle_request(request)


def _open_v3(instance: Instance) -> Callable[[httpx.Request], None]:
    """Let every identity read all secrets by v3, as if the server no longer checked permissions."""
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


def test_a_leak_of_only_the_older_secrets_api_is_found(instance: Instance) -> None:
    client = instance.deployer(Altered(_open_v3(instance)))
    with pytest.raises(CheckFailed, match=r"v3 of .* another folder"):
        isolation.prove(client, "privilege")
    with pytest.raises(CheckFailed, match=r"v3 of .* another project"):
        isolation.prove(client, "viewer")


def test_a_secrets_api_that_the_server_dropped_is_not_required(instance: Instance) -> None:
    client = instance.deployer(Altered(_drop("/api/v3/secrets")))
    proven = isolation.prove(client, "privilege")
    assert "v4" in proven
    assert "v3" not in proven


def _drop_lists(request: httpx.Request) -> httpx.Response | None:
    """Answer each reading of secrets as if the server had no such route."""
    return _drop("/api/v")(request) if _is_reading(request) else None


def _is_reading(request: httpx.Request) -> bool:
    paths = ("/api/v4/secrets", "/api/v3/secrets")
    return request.method == "GET" and request.url.path.startswith(paths)


def test_a_server_of_which_no_secrets_api_answers_a_reader_is_refused(instance: Instance) -> None:
    with pytest.raises(CheckFailed, match="no version") as refused:
        isolation.prove(instance.deployer(Altered(_drop_lists)), "privilege")
    assert refused.value.code == "checks.isolation"
    with Client(instance.url, Altered(_drop_lists)) as client:
        proposed = propose_isolation(client, instance.file)
    assert (proposed.method, "no version" in proposed.reason) == ("projects", True)
    assert _list_remains(instance.deployer()) == ([], [])


class Hiding(httpx.BaseTransport):
    """A server that lists granted secrets with hidden values."""

    def __init__(self) -> None:
        self._http = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._http.handle_request(request)
        if not request.url.path.startswith("/api/v4/secrets"):
            return answer
        text = answer.read().replace(b'"public"', b'"<hidden>"')
        return httpx.Response(answer.status_code, content=text)


def test_a_release_that_hides_granted_values_is_refused(instance: Instance) -> None:
    with pytest.raises(CheckFailed, match=r"v4 of .* not show"):
        isolation.prove(instance.deployer(Hiding()), "privilege")


def test_an_answer_other_than_a_refusal_is_an_error(instance: Instance) -> None:
    client = instance.deployer(Altered(_drop("/api/v3/secrets", 400)))
    with pytest.raises(ApiError):
        isolation.prove(client, "privilege")
    assert _list_remains(client) == ([], [])


def test_only_leftovers_of_a_killed_proof_are_deleted(
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

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(proof_of_isolation, "create_client_secret", interrupt)
        patch.setattr(proof_of_isolation, "sweep", lambda client: None)
        with pytest.raises(KeyboardInterrupt):
            isolation.prove(client, "viewer")
    due = list(isolation.leftovers(client))
    assert {each.kind for each in due} == {"-"}
    *projects, identity = (each.what for each in due)
    assert [each.rpartition("-")[0] for each in projects] == [f"project {NAME}"] * 2
    assert identity == f"identity {NAME}"
    for _ in apply(client, due):
        pass
    assert list(isolation.leftovers(client)) == []
    assert sorted(_list_remains(client)[0]) == sorted(slug for _, slug in others)
    assert client.get(f"/api/v1/identities/{foreign}")["identity"]["orgId"] == organization


@pytest.fixture
def host(instance: Instance, tmp_path: Path) -> FakeRunner:
    return instance.host(tmp_path)


@pytest.fixture
def service(instance: Instance, host: FakeRunner) -> str:
    """Secrets in three places; a service with credentials on the host may read one of them.

    Returns the id of their project.
    """
    client = instance.deployer()
    body = {"projectName": SLUG, "slug": SLUG, "shouldCreateDefaultEnvs": False}
    project = str(client.post("/api/v1/projects", json=body)["project"]["id"])
    for environment, folder in PLACES:
        proof_of_isolation._store(client, project, environment, folder)
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
    client.post(OF_IDENTITIES, json=grant)
    auth = attach_universal_auth(client, identity, 600, 600)
    made = create_client_secret(client, identity, "backend")
    text = render(Credential("production", auth.client_id, made.id, made.value))
    host.write(f"{CREDENTIALS}/backend-production.env", text)
    host.write(f"{CREDENTIALS}/another.env", "malformed")
    memory = {"environments": {}, "project": {"id": project, "slug": SLUG}}
    host.write(MEMORY, json.dumps(memory))
    return project


def _plan() -> ProofPlan:
    return ProofPlan(SLUG, "privilege", PublicAddress("http://localhost"))


def _record(instance: Instance, host: FakeRunner) -> Before:
    found = proof.record_before(host, _plan(), instance.port)
    assert found is not None
    return Before.from_json(json.loads(json.dumps(found.to_json())))


def _check(instance: Instance, host: FakeRunner, then: Before) -> list[str]:
    return proof.check_as_before(host, _plan(), then, port=instance.port, same_data=True)


@contextmanager
def _fails(code: str, match: str) -> Iterator[None]:
    with pytest.raises(RuntimeError) as failed:
        yield
    assert failed.value.args[0].code == code
    assert re.search(match, failed.value.args[0].message)


def test_a_service_that_reads_more_or_less_after_a_change_is_refused(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    then = _record(instance, host)
    assert then.reach is not None
    assert {name: len(ids) for name, ids in then.reach.shown.items()} == {"v4": 1, "v3": 1}
    assert [each for each in _check(instance, host, then) if "backend-production" in each] != []
    instance.release("unconditional")
    with _fails("checks.isolation", r"v4 .*: PROOF in production:/fr"):
        _check(instance, host, then)
    for release in ("lost", "ignored"):
        instance.release(release)
        with _fails("checks.reach", r"v4 .*: PROOF in production:/backend"):
            _check(instance, host, then)


def test_a_grant_that_was_lost_is_found(instance: Instance, host: FakeRunner, service: str) -> None:
    then, client = _record(instance, host), instance.deployer()
    organization = identities.organization_id(client)
    identity = identities.find(client, organization, "backend")
    assert identity is not None
    holder = {"identityId": identity.id, "projectId": service}
    (held,) = list_privileges(client, OF_IDENTITIES, holder)
    client.delete(f"{OF_IDENTITIES}/{held['id']}")
    with _fails("checks.reach", r"v4 .*: PROOF in production:/backend"):
        _check(instance, host, then)


def test_a_leak_of_only_the_older_secrets_api_is_found_on_the_host(
    instance: Instance, host: FakeRunner, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, send = _record(instance, host), LoopbackClient._send
    deployer = agent_login.deployer(host, instance.port)

    def leak(client: LoopbackClient, method: str, target: str, body: object = None) -> object:
        is_leak = method == "GET" and target.startswith("/api/v3/secrets")
        token = deployer.token if is_leak else client.token
        return send(client.with_token(token), method, target, body)

    monkeypatch.setattr(LoopbackClient, "_send", leak)
    with _fails("checks.isolation", r"v3 .*: PROOF in production:/fr"):
        _check(instance, host, then)
    with _fails("checks.isolation", r"v3 of .* another folder"):
        proof.prove_isolation(host, _plan(), instance.port)


def test_a_deployer_of_another_database_can_not_log_in(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    then = _record(instance, host)
    text = (host.text(agent_login.DEPLOYER_FILE) or "").replace(instance.made.client_secret, "0")
    host.write(agent_login.DEPLOYER_FILE, text)
    with _fails("checks.login", "deployer"):
        _check(instance, host, then)


def test_a_value_that_changed_in_the_same_version_is_found(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    then = _record(instance, host)
    id, secret = next(iter(then.secrets.items()))
    altered = replace(then, secrets={**then.secrets, id: secret._replace(digest="0" * 64)})
    with _fails("checks.data", "PROOF in "):
        _check(instance, host, altered)


def test_a_service_of_a_project_renamed_by_hand_is_compared_too(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    instance.deployer().patch(f"/api/v1/projects/{service}", json={"slug": "renamed-by-hand"})
    then = _record(instance, host)
    assert then.reach is not None
    assert {name: len(ids) for name, ids in then.reach.shown.items()} == {"v4": 1, "v3": 1}
    assert [each for each in _check(instance, host, then) if "backend-production" in each] != []


def test_access_is_not_compared_without_a_project(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    instance.deployer().delete(f"/api/v1/projects/{service}")
    assert _record(instance, host).reach is None


def test_access_is_not_compared_without_working_credentials(
    instance: Instance, host: FakeRunner, service: str
) -> None:
    client = instance.deployer()
    organization = identities.organization_id(client)
    found = identities.find(client, organization, "backend")
    assert found is not None
    client.delete(f"/api/v1/identities/{found.id}")
    assert _record(instance, host).reach is None
