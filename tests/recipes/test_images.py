"""Build the images of the recipes, and start them as their pages say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.contract.services import port_open, wait_until
from tests.contract.world import ok
from tests.ports import free_port
from tests.recipes.conftest import DATABASE, Make, Recipe, run
from tests.staging import stack
from tests.staging.host import LABEL
from tests.staging.shell import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.contract.services import RedisServer
    from tests.recipes.conftest import Container

_PUBLIC = "https://api.production.example.com"


def _find(image: str, texts: Sequence[str]) -> set[str]:
    """Return those of the texts that are anywhere in an image: its layers, or its description."""
    found: set[str] = set()
    longest = max(map(len, texts))
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        end = b""
        while block := saving.stdout.read(1 << 24):
            part = end + block
            found |= {text for text in texts if text.encode() in part}
            end = part[-longest:]
    assert saving.returncode == 0
    return found


def test_a_next_image_holds_no_secret_of_its_build(
    make: Make,
    base: str,
    buildkit: dict[str, str],
    images: list[str],
    containers: Callable[..., Container],
) -> None:
    recipe = make("nextjs")
    recipe.put("production", NEXT_PUBLIC_API_URL=_PUBLIC)
    file = recipe.deliver("web.production.env", "production")
    variables = recipe.variables("production")
    secret = variables["INFISICAL_CLIENT_SECRET"]
    texts = (secret, DATABASE.format(environment="production"), _PUBLIC)
    for stage in ("build", ""):
        tag = f"recipe-nextjs:{stage or 'run'}"
        images.append(tag)
        target = ("--target", stage) if stage else ()
        run(
            *(recipe.directory, "docker", "build", "--network", "host", "--tag", tag, *target),
            *("--build-arg", f"BASE={base}", "--secret", f"id=infisical,src={file}", "."),
            environment=buildkit,
        )
        file_in_image = ("run", "--rm", "--entrypoint", "sh", tag, "-c")
        listed = run(recipe.directory, "docker", *file_in_image, "ls -a /app /run")
        assert not {"web.production.env", "secrets"} & {*listed.stdout.split()}
        assert _find(tag, texts) == {_PUBLIC}
        assert secret not in run(recipe.directory, "docker", "history", "--no-trunc", tag).stdout
    variables |= {"HOSTNAME": "127.0.0.1", "NODE_ENV": "production"}
    started = containers("recipe-nextjs:run", **variables)
    wait_until(lambda: port_open(recipe.port), "the image did not start", started.logs, 30)
    address = f"http://127.0.0.1:{recipe.port}"
    assert _PUBLIC in httpx.get(address).text
    assert httpx.get(f"{address}/status").json() == {"database": "production.db.example.com"}


Build = Callable[[Recipe], str]


@pytest.fixture
def build(base: str, buildkit: dict[str, str], images: list[str]) -> Build:
    """Build a recipe's image as its Dockerfile says, next to credentials that stay out of it."""

    def build_one(recipe: Recipe) -> str:
        tag = f"recipe-{recipe.directory.name}:run"
        images.append(tag)
        for name, environment in (("credentials.env", "production"), (".env.local", "development")):
            recipe.deliver(name, environment)
        given = ("--tag", tag, "--build-arg", f"BASE={base}")
        command = ("docker", "build", "--network", "host", *given, ".")
        run(recipe.directory, *command, environment=buildkit)
        secrets = [
            text
            for each in ("production", "development")
            for text in (
                recipe.variables(each)["INFISICAL_CLIENT_SECRET"],
                DATABASE.format(environment=each),
            )
        ]
        # The project's id is committed: without it, the search would find nothing in any image.
        project = json.loads((recipe.directory / ".infisical.json").read_text())["workspaceId"]
        assert _find(tag, [*secrets, project]) == {project}
        history = run(recipe.directory, "docker", "history", "--no-trunc", tag).stdout
        assert not [text for text in secrets if text in history]
        return tag

    return build_one


def _command(image: str, port: int) -> list[str]:
    """Return an image's own command, with another port for the one in it."""
    done = run(REPOSITORY, "docker", "image", "inspect", image)
    command: list[str] = json.loads(done.stdout)[0]["Config"]["Cmd"]
    return [each.replace(":8000", f":{port}") for each in command]


def test_the_fastapi_image_serves_and_its_worker_works(
    make: Make, build: Build, containers: Callable[..., Container], redis_server: RedisServer
) -> None:
    recipe = make("fastapi-celery")
    broker = redis_server.url_for("recipe-images")
    recipe.put("production", CELERY_BROKER_URL=broker, LOG_LEVEL="warning")
    image = build(recipe)
    variables = recipe.variables("production")
    api = containers(image, **variables, UVICORN_PORT=str(recipe.port))
    services = yaml.safe_load((recipe.directory / "compose.yaml").read_text())["services"]
    containers(image, *services["worker"]["command"].split(), **variables)
    wait_until(lambda: port_open(recipe.port), "the image did not start", api.logs, 60)
    address = f"http://127.0.0.1:{recipe.port}"
    assert httpx.get(address).json() == {"database": "production.db.example.com"}
    answer = httpx.post(f"{address}/measure/hello", timeout=60)
    assert answer.json() == {"length": 5, "log_level": "warning"}


def test_the_django_image_migrates_and_serves(
    make: Make, build: Build, containers: Callable[..., Container]
) -> None:
    recipe = make("django")
    values = {"DJANGO_SECRET_KEY": "fake-key-of-django", "DJANGO_DATABASE": "/tmp/shop.sqlite3"}
    recipe.put("production", **values)
    image = build(recipe)
    variables = recipe.variables("production")
    started = containers(image, *_command(image, recipe.port), **variables)
    wait_until(lambda: port_open(recipe.port), "the image did not start", started.logs, 60)
    runner = ("python", "-m", "infisical_config", "--", "python", "manage.py")
    started.execute(*runner, "migrate", "--verbosity", "0")
    answer = httpx.get(f"http://127.0.0.1:{recipe.port}").json()
    assert (answer["users"], answer["signed"].count(":")) == (0, 2)


def test_the_image_of_a_binary_starts_it_without_the_client_secret(
    make: Make, build: Build, containers: Callable[..., Container]
) -> None:
    recipe = make("binary")
    run(recipe.directory, "gcc", "-static", "-o", "server", "main.c")
    started = containers(build(recipe), **recipe.variables("production"))
    assert started.wait() == 0
    text = "database production.db.example.com:5432/app, client secret not seen\n"
    assert started.logs() == text


@dataclass(frozen=True)
class Composed:
    """A recipe under compose as it is, with its containers on this machine's network."""

    recipe: Recipe
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """Run compose on it, and return the output."""
        named = ("docker", "compose", "--project-name", self.recipe.service, "--progress", "quiet")
        return run(self.recipe.directory, *named, *arguments, environment=self.environment).stdout


Compose = Callable[..., Composed]


@pytest.fixture
def compose(base: str, buildkit: dict[str, str]) -> Iterator[Compose]:
    """Build and start a recipe by compose; services may differ in more than their network."""
    started: list[Composed] = []

    def start(recipe: Recipe, **services: dict[str, Any]) -> Composed:
        _override(recipe, base, services)
        started.append(Composed(recipe, buildkit))
        started[-1].run("up", "--detach", "--build")
        return started[-1]

    yield start
    for each in started:
        each.run("down", "--rmi", "local", "--volumes", "--timeout", "5")


def _override(recipe: Recipe, base: str, more: Mapping[str, dict[str, Any]]) -> None:
    known = yaml.safe_load((recipe.directory / "compose.yaml").read_text())["services"]
    assert {each["restart"] for each in known.values()} == {"unless-stopped"}
    lines = ["services:"]
    for name, service in known.items():
        here = {"network_mode": "host", "labels": {LABEL: "recipe"}, **more.get(name, {})}
        if "build" in service:
            here["build"] = {"network": "host", "args": {"BASE": base}}
        # JSON is YAML too, but has no tags.
        lines.append(f"  {name}: {{{json.dumps(here)[1:-1]}, ports: !reset []}}")
    (recipe.directory / "compose.override.yaml").write_text("\n".join(lines))


def test_compose_starts_the_fastapi_recipe_with_its_worker_and_redis(
    make: Make, compose: Compose
) -> None:
    """Only the ports differ from the file, and Redis has the image that other tests have."""
    stack.ensure()
    recipe, redis = make("fastapi-celery"), free_port()
    recipe.put("production", CELERY_BROKER_URL=f"redis://127.0.0.1:{redis}/0", LOG_LEVEL="warning")
    recipe.deliver("credentials.env", "production")
    started = compose(
        recipe,
        api={"environment": {"UVICORN_PORT": str(recipe.port)}},
        redis={"image": stack.REDIS, "command": ["redis-server", "--port", str(redis)]},
    )
    wait_until(
        lambda: port_open(recipe.port), "the API did not start", lambda: started.run("logs"), 60
    )
    address = f"http://127.0.0.1:{recipe.port}"
    assert httpx.get(address).json() == {"database": "production.db.example.com"}
    answer = httpx.post(f"{address}/measure/hello", timeout=60)
    assert answer.json() == {"length": 5, "log_level": "warning"}
    running = started.run("ps", "--services", "--status", "running").split()
    assert sorted(running) == ["api", "redis", "worker"]


def test_restarts_with_a_revoked_secret_do_not_lock_the_identity(
    make: Make, compose: Compose
) -> None:
    """Three wrong logins in 30 s lock an identity, if nobody turned that off for it."""
    recipe = make("express")
    recipe.deliver("credentials.env", "staging")
    address = f"http://127.0.0.1:{recipe.port}"
    started = compose(recipe)
    wait_until(lambda: port_open(recipe.port), "the service did not start", seconds=30)
    answer = httpx.get(address).json()
    assert answer == {"database": "staging.db.example.com", "mode": "production"}
    _allow_lockouts(recipe, "staging")
    recipe.revoke("staging")
    started.run("restart", "--timeout", "5")
    wait_until(lambda: _restarts(started) >= 4, "it did not restart", seconds=60)
    log = started.run("logs", "--no-log-prefix")
    assert log.count("used up or revoked") == 1
    assert log.count("not tried again for") >= 3
    recipe.deliver("credentials.env", "staging")
    started.run("up", "--detach")
    wait_until(lambda: port_open(recipe.port), "the right secret is locked out", seconds=30)
    assert httpx.get(address).json()["database"] == "staging.db.example.com"


def _allow_lockouts(recipe: Recipe, environment: str) -> None:
    """Turn lock-outs on, as Infisical has them for identities that this project did not make."""
    id = recipe.case.identities()[f"{recipe.service}-{environment}"]
    url = f"/api/v1/auth/universal-auth/identities/{id}"
    ok(recipe.case.world.deployer.patch(url, json={"lockoutEnabled": True}))


def _restarts(started: Composed) -> int:
    id = started.run("ps", "--all", "--quiet").strip()
    done = run(started.recipe.directory, "docker", "inspect", id)
    count: int = json.loads(done.stdout)[0]["RestartCount"]
    return count
