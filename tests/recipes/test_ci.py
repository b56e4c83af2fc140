"""Run the pipelines of `examples/recipes/ci` as they are written, without any stored secret.

The tests play the platform: they sign the token of each job, run its commands in the order of
`needs`, and receive the deploy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from infisical_iac.workspace.load import load
from tests.recipes.conftest import DATABASE, Make, Recipe
from tests.serving import serving
from tests.staging.shell import REPOSITORY
from tests.token_issuer import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Claims = dict[str, str]
    Read = Callable[[Mapping[str, Any], Mapping[str, str]], "Job"]

_CI = REPOSITORY / "examples" / "recipes" / "ci"
_URL = "https://api.production.example.com"
_TOKEN = "fake-token-of-a-deploy"
# Steps that GitHub's runner does itself; here the copy and Node exist already.
_SKIPPED = ("actions/checkout@", "actions/setup-node@")
_MOST_SECONDS = 600


class Job(NamedTuple):
    """A job of a pipeline.

    Attributes:
        steps: commands, each with its variables.
        claims: the claims of the platform's token about it.
        audience: of the token that it gets as a variable; empty if it may ask for one.
    """

    needs: list[str]
    steps: list[tuple[str, dict[str, str]]]
    claims: Claims
    audience: str = ""


def _github(job: Mapping[str, Any], variables: Mapping[str, str]) -> Job:
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    steps = []
    for step in job["steps"]:
        if step.get("uses", "").startswith(_SKIPPED):
            continue
        given = {
            name: re.sub(r"\$\{\{ vars\.(\w+) \}\}", lambda found: variables[found[1]], value)
            for name, value in step.get("env", {}).items()
        }
        steps.append((step["run"], given))
    claims = {"repository": "acme/backend", "ref": "refs/heads/main"}
    if "environment" in job:
        claims["environment"] = job["environment"]
    subject = job.get("environment", "refs/heads/main")
    return Job(job.get("needs", []), steps, {"sub": f"repo:acme/backend:{subject}", **claims})


def _gitlab(job: Mapping[str, Any], variables: Mapping[str, str]) -> Job:
    given = {
        name: re.sub(r"\$(\w+)", lambda found: variables[found[1]], value)
        for name, value in job["variables"].items()
    }
    given = {"INFISICAL_API_URL": variables["INFISICAL_API_URL"], **given}
    claims = {"project_path": "acme/backend", "ref": "main", "ref_type": "branch"}
    if "environment" in job:
        claims["environment"] = job["environment"]["name"]
    claims["sub"] = "project_path:acme/backend:ref_type:branch:ref:main"
    steps = [(line, given) for line in job["script"]]
    return Job(job.get("needs", []), steps, claims, job["id_tokens"]["INFISICAL_JWT"]["aud"])


@dataclass(frozen=True)
class Platform:
    """GitHub or GitLab: its example, and how its jobs are read."""

    pipeline: str
    project: str
    read: Read
    owner: str

    def jobs(self, variables: Mapping[str, str]) -> dict[str, Job]:
        """Return the jobs of the example by name."""
        content = yaml.safe_load((_CI / self.pipeline).read_text())
        jobs = content.get("jobs", content)
        return {name: self.read(job, variables) for name, job in jobs.items()}


_PLATFORMS = [
    Platform("github-actions.yaml", "project-github.yaml", _github, "repository"),
    Platform("gitlab-ci.yml", "project-gitlab.yaml", _gitlab, "project_path"),
]


@dataclass
class DeployServer:
    """A server like Coolify or Dokploy for a pipeline: an address that starts a deploy.

    Attributes:
        deploys: the method, path and header `Authorization` of each request.
    """

    port: int = 0
    deploys: list[tuple[str, str, str]] = field(default_factory=list)

    def listen(self) -> ThreadingHTTPServer:
        """Return the server, bound to a free port."""
        deploys = self.deploys

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = self.headers.get("Authorization", "")
                deploys.append((self.command, self.path, given))
                self.send_response(200 if given == f"Bearer {_TOKEN}" else 401)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        return server


@pytest.fixture
def deploy_server() -> Iterator[DeployServer]:
    with serving(DeployServer()) as server:
        yield server


@dataclass
class Runner:
    """Runs the jobs of a copy as a platform does."""

    recipe: Recipe
    issuer: TokenIssuer
    machine: dict[str, str]

    def run(self, job: Job, **claims: str) -> subprocess.CompletedProcess[str]:
        """Run the commands of a job until one fails; return the last, with the output of all.

        Args:
            claims: override those of the job.
        """
        said: dict[str, Any] = {**job.claims, **claims}
        output = ""
        with serving(TokenIssuer("127.0.0.1")) as github:
            github.token = self.issuer.token  # type: ignore[method-assign]
            github.claims = said
            given = {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/token?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": github.bearer,
            }
            if job.audience:
                given = {"INFISICAL_JWT": self.issuer.token(aud=job.audience, **said)}
            for command, variables in job.steps:
                done = subprocess.run(
                    ["bash", "-ec", command],
                    cwd=self.recipe.directory,
                    env={**os.environ, **self.machine, **given, **variables},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=_MOST_SECONDS,
                )
                output += done.stdout
                if done.returncode:
                    break
        done.stdout = output
        return done

    def log_in(self, identity: str, job: Job) -> str:
        """Return the access token that a job gets."""
        said: dict[str, Any] = {**job.claims}
        token = self.issuer.token(**said)
        body = {"identityId": identity, "jwt": token}
        server = self.recipe.case.world.standin
        answer = server.client().post("/api/v1/auth/oidc-auth/login", json=body)
        assert answer.status_code == 200, answer.text
        access: str = answer.json()["accessToken"]
        return access


def _declare(recipe: Recipe, project_file: str, issuer: TokenIssuer) -> dict[str, str]:
    """Apply the jobs of a project file; return the ids of their identities by variables.

    The issuer of the tests takes the place of the platform's.
    """
    workspace = load(_CI / project_file)
    assert workspace.warnings() == []
    content = json.loads(recipe.case.workspace_file.read_text())
    content["shared_folders"] = workspace.shared_folders
    names = {name: f"{name}-{recipe.service}" for name in workspace.ci}
    content["ci"] = {}
    for name, job in workspace.ci.items():
        claims = job.auth.claims
        assert claims is not None
        assert claims.issuer in (
            "https://token.actions.githubusercontent.com",
            "https://gitlab.com",
        )
        auth = {"issuer": issuer.url, "audience": claims.audience, "claims": dict(claims.claims)}
        auth["ca_certificate"] = issuer.authority
        sees = job.sees if job.sees == "names" else {k: [*v] for k, v in job.sees.items()}
        content["ci"][names[name]] = {"sees": sees, "auth": {"oidc": auth}}
    recipe.case.workspace_file.write_text(json.dumps(content))
    recipe.case.deploy()
    shutil.copy(recipe.case.workspace_file, recipe.directory / "acme.yaml")
    ids = recipe.case.identities()
    return {
        f"INFISICAL_{name.upper()}_IDENTITY": ids[f"ci-{unique}"] for name, unique in names.items()
    }


@pytest.mark.parametrize("platform", _PLATFORMS, ids=["github", "gitlab"])
def test_a_pipeline_without_a_stored_secret_checks_builds_and_deploys(
    make: Make,
    issuer: TokenIssuer,
    deploy_server: DeployServer,
    machine: dict[str, str],
    platform: Platform,
) -> None:
    recipe = make("nextjs")
    ids = _declare(recipe, platform.project, issuer)
    address = recipe.case.world.standin.url
    for each in ("development", "staging", "production"):
        recipe.put(each, NEXT_PUBLIC_API_URL=f"https://api.{each}.example.com")
    webhook = f"http://127.0.0.1:{deploy_server.port}/api/v1/deploy?uuid=fake"
    recipe.put("production", "/deploy", DEPLOY_WEBHOOK=webhook, DEPLOY_TOKEN=_TOKEN)
    (recipe.directory / ".gitignore").write_text(".env\n.env.*\nnode_modules\n.next\n")
    exceptions = "ignore:\n  PORT: Next.js reads it\n"
    (recipe.directory / ".infisical-check.yaml").write_text(exceptions)
    shutil.copy(_CI / platform.pipeline, recipe.directory)
    jobs = platform.jobs({**ids, "INFISICAL_API_URL": address})
    assert {name: job.needs for name, job in jobs.items()} == {
        "check": [],
        "build": [],
        "deploy": ["check", "build"],
    }
    runner = Runner(recipe, issuer, machine)
    outputs = {}
    for name, job in jobs.items():
        done = runner.run(job)
        assert done.returncode == 0, f"{name}: {done.stdout[-4000:]}"
        outputs[name] = done.stdout
    assert "✓ 0 findings" in outputs["check"]
    assert "--offline" not in outputs["check"]
    built = (recipe.directory / ".next/static").rglob("*.js")
    assert any(_URL in file.read_text() for file in built)
    accepted = [("POST", "/api/v1/deploy?uuid=fake", f"Bearer {_TOKEN}")]
    assert deploy_server.deploys == accepted
    for value in (DATABASE.format(environment="production"), webhook, _TOKEN):
        assert value not in "".join(outputs.values())
    _expect_names_only(runner, ids["INFISICAL_CHECK_IDENTITY"], jobs["check"])

    # The steps that log in are refused in another repository, on another branch and elsewhere.
    steps = {name: job._replace(steps=job.steps[-1:]) for name, job in jobs.items()}
    branch = {"ref": "refs/heads/change" if platform.read is _github else "change"}
    foreign = {platform.owner: "mallory/backend"}
    for name, claims in (
        ("check", foreign),
        ("build", foreign),
        ("build", branch),
        ("deploy", foreign),
        ("deploy", {"environment": "review"}),
    ):
        refused = runner.run(steps[name], **claims)
        assert refused.returncode != 0, name
        assert "claim not allowed" in refused.stdout, f"{name}: {refused.stdout[-2000:]}"
    assert deploy_server.deploys == accepted


def _expect_names_only(runner: Runner, identity: str, job: Job) -> None:
    case = runner.recipe.case
    token = runner.log_in(identity, job)
    place = case.place("production", "/backend")
    with case.world.standin.client(token) as client:
        names = client.get("/api/v4/secrets", params={**place, "viewSecretValue": "false"})
        everything = client.get("/api/v4/secrets", params=place)
        one = client.get("/api/v4/secrets/DATABASE_URL", params=place)
    assert "DATABASE_URL" in {each["secretKey"] for each in names.json()["secrets"]}
    for answer in (names, everything, one):
        assert "fake-password" not in answer.text


@pytest.mark.parametrize("file", sorted(_CI.iterdir()), ids=lambda file: file.name)
def test_no_file_of_ci_names_a_secret_of_the_platform(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"\bsecrets(\.\w|\[)", text)
    assert "INFISICAL_CLIENT" not in text
