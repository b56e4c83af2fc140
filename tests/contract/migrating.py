"""Files to migrate into a separate project, and the commands that migrate them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import click
from click.testing import CliRunner

from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace import credential_file, credentials
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.goal import Goal, slugs_of
from infisical_iac.workspace.load import load

from .world import EMAIL, World, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import httpx
    import pytest

    from infisical_iac.workspace.model import Isolation

_numbers = count(1)
ENVIRONMENTS = ("development", "production")
OF_IDENTITIES = "/api/v2/identity-project-additional-privilege"

_PEM = "-----BEGIN FAKE KEY-----\nbm90LWEta2V5\n-----END FAKE KEY-----\n"
ENV_FILE = "backend/.env.production"
FILE = f"""\
# a comment
DATABASE_URL=postgres://fake:fake-password@db:5432/app
HASH='$2b$10$fakefakefakefakefake'
JSON={{"fake": "json value"}}
PEM="{_PEM}"
UNICODE=fälschung–🔑
EMPTY=
"""
VALUES = {
    "/backend/DATABASE_URL": "postgres://fake:fake-password@db:5432/app",
    "/backend/HASH": "$2b$10$fakefakefakefakefake",
    "/backend/JSON": '{"fake": "json value"}',
    "/backend/PEM": _PEM,
    "/backend/UNICODE": "fälschung–🔑",
    "/backend/EMPTY": "",
}


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Return all visible output."""
        return f"{self.stdout}{self.stderr}"

    @property
    def error(self) -> str:
        """Return the error of the command; "" if it succeeded."""
        return self.stderr.partition("Error: ")[2]


@dataclass(frozen=True)
class Case:
    """A repository with `.env` files, and its project on a shared stand-in."""

    world: World
    name: str
    root: Path
    services: tuple[str, ...]
    folders_made: bool = True

    @property
    def plan_file(self) -> Path:
        return self.root / "migration.yaml"

    @property
    def workspace_file(self) -> Path:
        return self.root / "workspace.json"

    def prepare(self) -> Case:
        """Make the project, its environments and folders, and the project file with them."""
        content = {
            "project": {"name": self.name, "slug": self.name},
            "environments": [{"slug": each, "name": each} for each in ENVIRONMENTS],
            "services": {each: {"folder": f"/{each}"} for each in self.services},
        }
        self.workspace_file.write_text(json.dumps(content), encoding="utf-8")
        body = {"projectName": self.name, "slug": self.name, "shouldCreateDefaultEnvs": False}
        id = ok(self.world.deployer.post("/api/v1/projects", json=body))["project"]["id"]
        for each in ENVIRONMENTS:
            stage = {"name": each, "slug": each}
            ok(self.world.deployer.post(f"/api/v1/projects/{id}/environments", json=stage))
            for service in self.services if self.folders_made else ():
                place = {"projectId": id, "environment": each, "path": "/", "name": service}
                ok(self.world.deployer.post("/api/v2/folders", json=place))
        return self

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def run(self, command: str, *arguments: str, url: str = "") -> Ran:
        return self.invoke(*self._command(command, *arguments), url=url)

    def error(self, command: str, *arguments: str) -> UserError:
        """Return the error of a command that must fail, with its code."""
        given = self._command(command, *arguments)
        done = CliRunner(env=self.environment()).invoke(main, given, standalone_mode=False)
        assert isinstance(done.exception, click.ClickException), done.output
        error = done.exception.__context__
        assert isinstance(error, UserError), done.output
        return error

    def _command(self, command: str, *arguments: str) -> list[str]:
        target = str(self.root) if command == "plan" else str(self.plan_file)
        output = ["--output", str(self.plan_file)] if command == "plan" else []
        given = [target, *output, "--project-file", str(self.workspace_file), *arguments]
        return ["migrate", command, *given]

    def invoke(self, *arguments: str, url: str = "", **variables: str) -> Ran:
        """Run a command against the stand-in, or a server at a URL."""
        given = {**self.environment(url), **variables}
        result = CliRunner(env=given).invoke(main, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def deploy(self) -> None:
        """Apply the project file."""
        given = ["workspace", "apply", "--yes", "--project-file", str(self.workspace_file)]
        result = CliRunner(env=self.environment()).invoke(main, given)
        assert result.exit_code == 0, result.output

    def environment(self, url: str = "") -> Mapping[str, str]:
        return self.world.variables(url)

    def decide(self, before: str, after: str) -> None:
        """Edit the plan as a person does."""
        text = self.plan_file.read_text(encoding="utf-8")
        assert before in text
        self.plan_file.write_text(text.replace(before, after), encoding="utf-8")

    def place(self, environment: str, folder: str) -> dict[str, Any]:
        project = ok(self.world.deployer.get(f"/api/v1/projects/slug/{self.name}"))["id"]
        return {"projectId": project, "environment": environment, "secretPath": folder}

    def identities(self) -> dict[str, str]:
        """Return the ids of all identities, by name."""
        at: dict[str, str | int] = {"orgId": self.world.org_id, "limit": 1000}
        listed = ok(self.world.deployer.get("/api/v1/identities", params=at))["identities"]
        return {each["identity"]["name"]: each["identity"]["id"] for each in listed}

    def put(self, environment: str, folder: str, **values: str) -> None:
        """Write secrets without the commands."""
        secrets = [{"secretKey": key, "secretValue": value} for key, value in values.items()]
        body = {**self.place(environment, folder), "mode": "upsert", "secrets": secrets}
        ok(self.world.deployer.patch("/api/v4/secrets/batch", json=body))

    def read_values(self, environment: str = "production") -> dict[str, dict[str, Any]]:
        """Return the values in an environment, by folder and name."""
        query = {**self.place(environment, "/"), "recursive": "true"}
        query["expandSecretReferences"] = "false"
        listed = ok(self.world.deployer.get("/api/v4/secrets", params=query))["secrets"]
        return {f"{each['secretPath']}/{each['secretKey']}": each for each in listed}

    def values(self, environment: str = "production") -> dict[str, str]:
        return {name: each["secretValue"] for name, each in self.read_values(environment).items()}


@dataclass(frozen=True)
class Split(Case):
    """A case whose secrets are in several projects; the first service imports a shared folder."""

    def prepare(self) -> Split:
        """Write the project file, and apply it."""
        first, *_ = self.services
        content: dict[str, Any] = {
            "project": {"name": self.name, "slug": self.name},
            "environments": [{"slug": each, "name": each} for each in ENVIRONMENTS],
            "shared_folders": ["/shared"],
            "services": {each: {"folder": f"/{each}"} for each in self.services},
        }
        content["services"][first]["imports"] = ["/shared"]
        self.workspace_file.write_text(json.dumps(content), encoding="utf-8")
        self.deploy()
        return self

    def deploy(self) -> None:
        given = ["workspace", "apply", "--yes", "--project-file", str(self.workspace_file)]
        applied = self.invoke(*given, "--isolation", "projects")
        assert applied.exit_code == 0, applied.output

    def id_of(self, key: str) -> str:
        """Return the id of the project of a key, such as `/shared.production`."""
        slug = slugs_of(load(self.workspace_file))[key]
        return str(ok(self.world.deployer.get(f"/api/v1/projects/slug/{slug}"))["id"])

    def place(self, environment: str, folder: str) -> dict[str, Any]:
        name = folder if folder == "/shared" else folder.strip("/")
        project = self.id_of(f"{name}.{environment}")
        return {"projectId": project, "environment": environment, "secretPath": folder}

    def names_in(self, client: httpx.Client, environment: str, folder: str) -> list[str]:
        """Return the values that a client is shown in a folder; empty if it is refused."""
        answer = client.get("/api/v4/secrets", params=self.place(environment, folder))
        listed = answer.json().get("secrets", ())
        return sorted(f"{each['secretKey']}={each['secretValue']}" for each in listed)

    def check(self, *arguments: str) -> Ran:
        given = [str(self.root), "--project-file", str(self.workspace_file), *arguments]
        return self.invoke("check", *given)


def number() -> int:
    """Return a number that no other case has in its name."""
    return next(_numbers)


def new(world: World, root: Path, *services: str, folders_made: bool = True) -> Case:
    """Return a prepared case with its own name."""
    name = f"move-{next(_numbers)}"
    return Case(world, name, root, services or ("backend",), folders_made).prepare()


def deploy_case(world: World, root: Path) -> Case:
    """Return a case of two deployed services with a secret in each environment."""
    names = tuple(f"{each}-{next(_numbers)}" for each in ("api", "web"))
    case = new(world, root, *names)
    for service in names:
        for environment in ENVIRONMENTS:
            case.write(f"{service}/.env.{environment}", f"FAKE=fake-{service}-{environment}\n")
    case.deploy()
    assert case.run("plan").exit_code == 2
    assert case.run("apply").exit_code == 0
    return case


def issue_credentials(case: Case, isolation: Isolation = "privilege") -> None:
    """Write a new credential of each service's identity into `credentials/`."""
    token = case.world.deployer.headers["Authorization"].split()[1]
    with Client(case.world.standin.url, token=token) as client:
        desired = load(case.workspace_file)
        actual = read(client, Goal(desired=desired, isolation=isolation, admin_email=EMAIL))
        for each in credentials.plan(desired, credentials.holders(client, actual), {}):
            text = credential_file.render(credentials.create(client, each))
            case.write(f"credentials/{each.account.credentials}.env", text)


def grant(by: httpx.Client, path: str, **to: str) -> None:
    """Let a member read all of production, without the commands."""
    permission = {
        "subject": "secrets",
        "action": ["describeSecret", "readValue"],
        "conditions": {"environment": {"$eq": "production"}},
    }
    body = {"slug": "by-hand", "type": {"isTemporary": False}, "permissions": [permission], **to}
    ok(by.post(path, json=body))


def add_reader_of_names(world: World, case: Case) -> Mapping[str, str]:
    """Make an identity that sees names and no values; return its login as variables."""
    identity = world.member()
    project = case.place("production", "/")["projectId"]
    url = f"/api/v1/projects/{project}/memberships/identities/{identity.id}"
    ok(world.deployer.post(url, json={"roles": [{"role": "no-access"}]}))
    rule = {"subject": "secrets", "action": ["describeSecret"]}
    body = {"slug": "names", "type": {"isTemporary": False}, "permissions": [rule]}
    body |= {"identityId": identity.id, "projectId": project}
    ok(world.deployer.post(OF_IDENTITIES, json=body))
    return {
        "INFISICAL_CLIENT_ID": identity.client_id,
        "INFISICAL_CLIENT_SECRET": identity.client_secret,
    }


def refuse(
    monkeypatch: pytest.MonkeyPatch, is_refused: Callable[[str, Mapping[str, Any]], bool]
) -> None:
    """Make the server refuse requests, chosen by path and options."""
    send = Client._send

    def refusing(self: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        if is_refused(path, request):
            raise ApiError(403, "PermissionDenied", "not allowed", method, path)
        return send(self, method, path, **request)

    monkeypatch.setattr(Client, "_send", refusing)


def backend(world: World, root: Path) -> Case:
    """Return a case with one file of one service, which holds VALUES."""
    case = new(world, root)
    case.write("backend/package.json", '{"dependencies": {"dotenv": "^17.0.0"}}')
    case.write(ENV_FILE, FILE)
    return case
