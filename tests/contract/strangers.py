"""A deployed project, everything that may give foreign access to it, and its reports."""

from __future__ import annotations

import json
import secrets
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner
from pyinfra.context import ctx_host

from infisical_iac.agent import identities
from infisical_iac.cli import status
from infisical_iac.cli.main import main
from infisical_iac.core import connection, journal
from infisical_iac.core.errors import ApiError
from infisical_iac.core.journal import Journals
from infisical_iac.monitoring import drift
from infisical_iac.monitoring.access_matrix import AccessHolder, list_holders
from infisical_iac.monitoring.report import StatusReport
from infisical_iac.stack import session
from infisical_iac.workspace import foreign, reconcile
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.goal import Memory, Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.second_factor import SecondFactors
from tests.host.inside.test_foreign import list_findings

from .first import EMAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pytest

    from infisical_iac.api.client import Client
    from infisical_iac.core.change import Row
    from infisical_iac.workspace.model import Isolation, Workspace
    from infisical_iac.workspace.state import ApiChange

    from .world import Document

HOST = "host-of-strangers"
ADA = "ada@example.com"
MALLORY = "mallory@example.com"
AUTH = "/api/v1/auth"
_PRIVILEGE = "/api/v2/identity-project-additional-privilege"
_OF_PERSONS = "/api/v1/user-project-additional-privilege"
_FILE: Document = {
    "project": {"name": "Acme", "slug": "acme-co"},
    "environments": [{"slug": "qa", "name": "QA"}],
    "services": {"api": {"folder": "/api"}},
    "people": {ADA: {"qa": "viewer"}},
}
_READING = {
    "slug": "wide-open",
    "type": {"isTemporary": False},
    "permissions": [{"subject": "secrets", "action": ["describeSecret", "readValue"]}],
}


@dataclass
class Project:
    """A project, with the clients of the deployer and of the administrator.

    Attributes:
        service: the name of a service's identity.
        environment: the environment of that identity.
        deployer_name: the name of the deployer's identity.
    """

    deployer: Client
    client_id: str
    secret_id: str
    by_password: Client
    memory: Memory = field(default_factory=Memory)
    accepted: list[Document] = field(default_factory=list)
    people: Document = field(default_factory=lambda: dict(_FILE["people"]))
    services: Document = field(default_factory=lambda: dict(_FILE["services"]))
    service: str = "api-qa"
    environment: str = "qa"
    deployer_name: str = "deployer"
    isolation: Isolation = "privilege"

    @property
    def desired(self) -> Workspace:
        content = {**_FILE, "people": self.people, "services": self.services}
        return load(json.dumps({**content, "accepted": self.accepted}))

    def fill_names(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return texts of the table of STRANGERS with the names of this project."""
        named = {"{service}": self.service, "{environment}": self.environment}
        found = list(texts)
        for word, name in named.items():
            found = [each.replace(word, name) for each in found]
        return tuple(found)

    @property
    def path(self) -> str:
        return f"/api/v1/projects/{self.memory.project}"

    @property
    def organization(self) -> str:
        return identities.organization_id(self.deployer)

    def identity(self) -> str:
        return self.memory.identities[self.service]

    def administrator(self) -> Callable[[], Client]:
        """Return a login of the administrator that works only in the thread of the current host."""
        here = threading.get_ident()

        def log_in() -> Client:
            assert threading.get_ident() == here, "the current host is not known here"
            return self.by_password

        return log_in

    def reach(self) -> Reached:
        return Reached(
            client=self.deployer,
            address="",
            deployer=self.client_id,
            admin=self.administrator(),
            has_admin=True,
            desired=self.desired,
            isolation=self.isolation,
            admin_email=EMAIL,
            memory=self.memory,
            remember=partial(setattr, self, "memory"),
            deployer_secret=self.secret_id,
        )

    def plan(self, *, prune: bool = False) -> WorkspacePlan:
        return compute_plan(self.reach(), prune=prune)

    def foreign(self) -> list[str]:
        """Return the names of the access that the project file does not give."""
        return [each.what for each in self.plan().foreign]

    def apply(self, *, prune: bool = False) -> list[ApiChange]:
        """Plan, make all changes, and return those that were made."""
        done: list[ApiChange] = []
        apply_plan(self.reach(), self.plan(prune=prune), done.append)
        return done

    def make_identity(self, name: str, role: str = "no-access") -> str:
        body = {"name": name, "organizationId": self.organization, "role": role}
        return str(self.deployer.post("/api/v1/identities", json=body)["identity"]["id"])

    def join(self, id: str, role: str = "viewer") -> None:
        roles = {"roles": [{"role": role, "isTemporary": False}]}
        self.deployer.post(f"{self.path}/memberships/identities/{id}", json=roles)

    def invite(self, email: str, role: str = "member") -> None:
        body = {
            "inviteeEmails": [email],
            "organizationId": self.organization,
            "organizationRoleSlug": role,
        }
        self.by_password.post("/api/v1/invite-org/signup", json=body)

    def seat(self, email: str) -> str:
        """Return the id of a person's membership of the project."""
        listed = self.deployer.get(f"{self.path}/memberships")["memberships"]
        return next(str(each["id"]) for each in listed if each["user"]["email"] == email)

    @contextmanager
    def observe(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """Observe the project as a deploy does on a host, and give the commands the result."""
        monkeypatch.setattr(session, "deployer", lambda _: self.deployer)
        monkeypatch.setattr(session, "deployer_id", lambda _: self.client_id)
        monkeypatch.setattr(session, "deployer_secret", lambda _: self.secret_id)
        monkeypatch.setattr(session, "administrator", lambda _: self.by_password)
        monkeypatch.setattr(reconcile, "read_text", lambda _: "")
        # Administrators of the server have a test of their own.
        monkeypatch.setattr(drift, "_find_admins", lambda: ([], []))
        monkeypatch.setattr(connection, "current", lambda _: nullcontext())
        found = journal.Journal(is_read=True)
        monkeypatch.setitem(journal._journals, HOST, found)
        goal = self.reach()
        actual = read(self.deployer, goal, lambda: self.by_password)
        with ctx_host.use(SimpleNamespace(name=HOST)):
            found.plans["workspace"] = found.current_plan
            reconcile._report_foreign(goal, actual, self.administrator(), 8080, canary_id="")
            deployment = SimpleNamespace(
                host=None,
                hosts=[],
                journal=Journals({HOST: found}),
                plan=lambda: ([], []),
                lines=list,
                is_up_to_date=True,
                has_work=False,
            )

            @contextmanager
            def open_deployment(*_: Any, **__: Any) -> Iterator[Any]:
                yield deployment

            # Importing the real module would let gevent patch the whole process.
            fake = SimpleNamespace(open_deployment=open_deployment, prepare=lambda _: deployment)
            monkeypatch.setitem(sys.modules, "infisical_iac.core.deployment", fake)
            yield deployment

    def commands(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
        """Return exit status and output of each command that reports foreign access."""
        with self.observe(monkeypatch):
            rows, _ = self._assess(monkeypatch)
            monkeypatch.setattr(status, "_collect_rows", lambda *_: rows)
            ran = {name: CliRunner().invoke(main, [name]) for name in ("plan", "drift", "status")}
        return {
            **{name: (each.exit_code, each.output) for name, each in ran.items()},
            "verify": self._verify(),
        }

    def list_holders(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, AccessHolder]:
        """Return everybody with access by name, as the page of `status` shows them."""
        with self.observe(monkeypatch):
            _, facts = self._assess(monkeypatch)
        assert facts.desired
        return {each.name: each for each in list_holders(facts.desired, EMAIL, facts.access)}

    def _assess(self, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Row], StatusReport]:
        """Return the rows of `status` on what is inside, and the facts of its page."""
        # Second factors are read from the database, which these tests do not have.
        monkeypatch.setattr(reconcile, "read_factors", SecondFactors)
        monkeypatch.setattr("infisical_iac.workspace.load.load_declared", lambda _: self.desired)
        settings: Any = SimpleNamespace(
            stack=SimpleNamespace(http_port=8080), workspace=SimpleNamespace(admin_email=EMAIL)
        )
        facts, host = StatusReport("strangers", datetime.now(UTC)), SimpleNamespace(name=HOST)
        drifted, inside = status._assess_drift(host, settings, facts)  # type: ignore[arg-type]
        return [drifted, *inside], facts

    def _verify(self) -> tuple[int, str]:
        findings = self.plan().foreign
        lines = [each for each in (list_findings(findings, kind) for kind in foreign.KINDS) if each]
        return int(bool(lines)), "\n".join(lines)


@dataclass(frozen=True)
class Stranger:
    """An object that gives foreign access.

    Attributes:
        make: makes the thing manually.
        whats: the objects that a plan reports, without the part that differs from run to run.
        pruned: the beginnings of the lines that report the removal.
    """

    make: Callable[[Project], object]
    whats: tuple[str, ...]
    pruned: tuple[str, ...]


def _privilege_of_another(project: Project) -> None:
    _in_project(project)
    listed = project.deployer.get(f"{project.path}/memberships/identities")["identityMemberships"]
    (id,) = (each["identityId"] for each in listed if each["identity"]["name"] == "ci-runner")
    body = {**_READING, "identityId": id, "projectId": project.memory.project}
    project.deployer.post(_PRIVILEGE, json=body)


def _privilege_of_ada(project: Project) -> None:
    body = {**_READING, "projectMembershipId": project.seat(ADA)}
    project.by_password.post(_OF_PERSONS, json=body)


def _privilege_of_deployer(project: Project) -> None:
    listed = identities.in_organization(project.deployer, project.organization)
    names = {each["identity"]["name"]: each["identity"]["id"] for each in listed}
    body = {**_READING, "identityId": names[project.deployer_name]}
    project.deployer.post(_PRIVILEGE, json={**body, "projectId": project.memory.project})


def _import(project: Project) -> None:
    place = {"projectId": project.memory.project, "environment": project.environment}
    with suppress(ApiError):  # a folder stays once its import was pruned
        project.deployer.post("/api/v2/folders", json={**place, "path": "/", "name": "by-hand"})
    body = {"path": "/api", "import": {"environment": project.environment, "path": "/by-hand"}}
    project.deployer.post("/api/v2/secret-imports", json={**place, **body})


def _in_project(project: Project) -> None:
    project.join(project.make_identity("ci-runner"))


def _of_project(project: Project) -> None:
    project.deployer.post(f"{project.path}/identities", json={"name": "scoped"})


def _organization_admin(project: Project) -> None:
    project.make_identity("root-bot", "admin")


def _person(project: Project) -> None:
    project.invite(MALLORY)
    body = {"usernames": [MALLORY], "emails": [], "roleSlugs": ["member"]}
    project.by_password.post(f"{project.path}/memberships", json=body)


def _admin_person(project: Project) -> None:
    project.invite("root@example.com", "admin")


def _secret(project: Project) -> None:
    path = f"{AUTH}/universal-auth/identities/{project.identity()}/client-secrets"
    project.deployer.post(path, json={"description": "by hand"})


def _secret_of_deployer(project: Project) -> None:
    listed = identities.in_organization(project.deployer, project.organization)
    names = {each["identity"]["name"]: each["identity"]["id"] for each in listed}
    path = f"{AUTH}/universal-auth/identities/{names[project.deployer_name]}/client-secrets"
    project.deployer.post(path, json={"description": identities.DEPLOYER_SECRET})


def _token_auth(project: Project) -> None:
    path = f"{AUTH}/token-auth/identities/{project.identity()}"
    project.deployer.post(path, json={})
    project.deployer.post(f"{path}/tokens", json={"name": "endless"})


def _aws_auth(project: Project) -> None:
    path = f"{AUTH}/aws-auth/identities/{project.identity()}"
    project.deployer.post(path, json={"allowedAccountIds": "123456789012"})


def _login_of_the_instance(project: Project) -> None:
    listed = identities.in_organization(project.deployer, project.organization)
    names = {each["identity"]["name"]: each["identity"]["id"] for each in listed}
    path = f"{AUTH}/universal-auth/identities/{names['Instance Admin Identity']}"
    project.by_password.post(path, json={})


def _service_token(project: Project) -> None:
    body = {
        "name": "legacy",
        "workspaceId": project.memory.project,
        "scopes": [{"environment": project.environment, "secretPath": "/**"}],
        "permissions": ["read"],
        "encryptedKey": "",
        "iv": "",
        "tag": "",
        "expiresIn": None,
    }
    project.by_password.post("/api/v2/service-token", json=body)


def _second(project: Project) -> None:
    id = identities.create(project.deployer, project.organization, project.service).id
    project.join(id, "no-access")


def make_group(project: Project, role: str = "no-access") -> str:
    """Return the id of a new group, which a server without a license refuses."""
    name = f"auditors-{secrets.token_hex(4)}"
    made = project.by_password.post(
        "/api/v1/groups", json={"name": "auditors", "slug": name, "role": role}
    )
    return str(made["id"])


def _group(project: Project) -> None:
    roles = {"roles": [{"role": "viewer", "isTemporary": False}]}
    project.deployer.post(f"{project.path}/memberships/groups/{make_group(project)}", json=roles)


def _admin_group(project: Project) -> None:
    make_group(project, "admin")


_WIDE = "privilege wide-open of {}, permissions "
_CI = "identity ci-runner with role viewer"
_CI_ENDS = f"- {_CI}: membership of the project"

STRANGERS: dict[str, Stranger] = {
    "an identity in the project": Stranger(_in_project, (_CI,), (_CI_ENDS,)),
    "an identity of the project's own": Stranger(
        _of_project,
        ("identity scoped with role no-access",),
        ("- identity scoped with role no-access: the identity itself",),
    ),
    "an identity that is admin of the organization": Stranger(
        _organization_admin,
        ("organization admin identity root-bot",),
        ("~ organization admin identity root-bot: role in the organization admin → no-access",),
    ),
    "a person who is admin of the organization": Stranger(
        _admin_person,
        ("organization admin root@example.com",),
        ("~ organization admin root@example.com: role in the organization admin → member",),
    ),
    "a client secret of a service": Stranger(
        _secret,
        ("client secret 'by hand' of {service}",),
        ("- client secret 'by hand' of {service}: with its tokens",),
    ),
    "a client secret of the deployer": Stranger(
        _secret_of_deployer,
        ("client secret 'infisical-iac: deployer' of infisical-iac-deployer",),
        ("- client secret 'infisical-iac: deployer' of infisical-iac-deployer: with its tokens",),
    ),
    "token auth of a service": Stranger(
        _token_auth,
        ("token-auth of {service}",),
        ("- token-auth of {service}: with all tokens of it",),
    ),
    "another login of a service": Stranger(
        _aws_auth,
        ("aws-auth of {service}",),
        ("- aws-auth of {service}: with all tokens of it",),
    ),
    "a login of the instance admin identity": Stranger(
        _login_of_the_instance,
        ("universal-auth of Instance Admin Identity",),
        ("- universal-auth of Instance Admin Identity: with all tokens of it",),
    ),
    "a privilege of another identity": Stranger(
        _privilege_of_another,
        (_WIDE.format("ci-runner"), _CI),
        ("- privilege wide-open of ci-runner", _CI_ENDS),
    ),
    "a privilege of a person": Stranger(
        _privilege_of_ada, (_WIDE.format(ADA),), (f"- privilege wide-open of {ADA}",)
    ),
    "a privilege of the deployer": Stranger(
        _privilege_of_deployer,
        (_WIDE.format("infisical-iac-deployer"),),
        ("- privilege wide-open of infisical-iac-deployer",),
    ),
    "an import into the folder of a service": Stranger(
        _import,
        ("import of /by-hand into /api in {environment}",),
        ("- import of /by-hand into /api in {environment}",),
    ),
    "a person in the project": Stranger(
        _person,
        (f"person {MALLORY} with role member",),
        (f"- person {MALLORY}: no member of the project any more",),
    ),
    "a service token": Stranger(
        _service_token,
        ("service token legacy to read /** in {environment}",),
        ("- service token legacy to read /** in {environment}",),
    ),
    "a second identity": Stranger(
        _second,
        ("second identity {service}",),
        ("- access of the duplicate {service}: membership of",),
    ),
    "a group in the project": Stranger(
        _group,
        ("group auditors with role viewer",),
        ("- group auditors with role viewer: membership of the project",),
    ),
    "a group that is admin of the organization": Stranger(
        _admin_group,
        ("organization admin group auditors",),
        ("~ organization admin group auditors: role in the organization admin → no-access",),
    ),
}
