"""Build and start each recipe as its page says, on this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.recipes.conftest import LOADERS, Make, Recipe, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.services import RedisServer
    from tests.example.service import Service

_NPM_CI = ("npm", "ci", "--silent", "--no-audit", "--no-fund")


@pytest.fixture
def stop() -> Iterator[list[Service]]:
    """Services that are stopped at the end of a test."""
    started: list[Service] = []
    yield started
    for each in started:
        each.stop()


def _venv(recipe: Recipe) -> None:
    run(recipe.directory, "python3", "-m", "venv", ".venv")
    pip = (".venv/bin/pip", "install", "--quiet")
    run(recipe.directory, *pip, "-r", "requirements.txt")


def test_express_starts_with_a_developers_file_and_overrides(
    make: Make, stop: list[Service]
) -> None:
    recipe = make("express")
    run(recipe.directory, *_NPM_CI)
    file = recipe.deliver(".env.local", "development")
    started = recipe.start(*recipe.script("start"))
    stop.append(started)
    assert started.get("/").json() == {
        "database": "development.db.example.com",
        "mode": "development",
    }
    started.stop()
    with file.open("a") as text:
        text.write("# overrides\nDATABASE_URL=postgres://mine.example.com/app\n")
    assert started.start() is None
    assert started.get("/").json()["database"] == "mine.example.com"
    assert f"{file} overrides DATABASE_URL\n" in started.output


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_next_builds_and_starts_with_the_credentials_of_any_environment(
    make: Make, stop: list[Service], environment: str
) -> None:
    """Those have NODE_ENV=ENVIRONMENT for older loaders, which would break `next build`."""
    recipe = make("nextjs")
    public = f"https://api.{environment}.example.com"
    recipe.put(environment, NEXT_PUBLIC_API_URL=public)
    run(recipe.directory, *_NPM_CI)
    delivered = recipe.deliver(".env.local", environment).read_text()
    assert f"NODE_ENV={environment}\n" in delivered
    assert f"INFISICAL_ENVIRONMENT={environment}\n" in delivered
    run(recipe.directory, "npm", "run", "build", environment={"NEXT_TELEMETRY_DISABLED": "1"})
    shutil.copytree(
        recipe.directory / ".next" / "static",
        recipe.directory / ".next" / "standalone" / ".next" / "static",
    )
    started = recipe.start(
        "node_modules/.bin/with-secrets", "--", "node", ".next/standalone/server.js"
    )
    stop.append(started)
    assert public in started.get("/").text
    assert started.get("/status").json() == {"database": f"{environment}.db.example.com"}


def test_fastapi_and_celery_share_the_settings_of_one_service(
    make: Make, stop: list[Service], redis_server: RedisServer
) -> None:
    recipe = make("fastapi-celery")
    recipe.put("development", CELERY_BROKER_URL=redis_server.url_for("recipes"))
    recipe.put("development", LOG_LEVEL="warning")
    _venv(recipe)
    recipe.deliver(".env.local", "development")
    runner = (".venv/bin/python", "-m", "infisical_config", "--")
    uvicorn = ("uvicorn", "app.main:app", "--port", str(recipe.port))
    api = recipe.start(*runner, ".venv/bin/python", "-m", *uvicorn)
    stop.append(api)
    assert api.get("/").json() == {"database": "development.db.example.com"}
    celery = (".venv/bin/python", "-m", "celery", "-A", "app.tasks", "worker", "--concurrency", "1")
    with subprocess.Popen([*runner, *celery], cwd=recipe.directory) as worker:
        try:
            answer = httpx.post(f"http://127.0.0.1:{recipe.port}/measure/hello", timeout=60)
        finally:
            worker.terminate()
    assert answer.json() == {"length": 5, "log_level": "warning"}


def test_django_migrates_and_serves(make: Make, stop: list[Service]) -> None:
    recipe = make("django")
    database = str(recipe.directory / "shop.sqlite3")
    recipe.put("development", DJANGO_SECRET_KEY="fake-key-of-django", DJANGO_DATABASE=database)
    _venv(recipe)
    recipe.deliver(".env.local", "development")
    runner = (".venv/bin/python", "-m", "infisical_config", "--", ".venv/bin/python")
    run(recipe.directory, *runner, "manage.py", "migrate", "--verbosity", "0")
    bind = f"127.0.0.1:{recipe.port}"
    started = recipe.start(*runner, "-m", "gunicorn", "shop.wsgi", "--bind", bind)
    stop.append(started)
    answer = started.get("/").json()
    assert (answer["users"], answer["signed"].count(":")) == (0, 2)


@pytest.mark.parametrize("runner", ["node", "python"])
def test_a_binary_starts_under_either_runner_without_the_client_secret(
    make: Make, runner: str
) -> None:
    recipe = make("binary")
    run(recipe.directory, "gcc", "-o", "server", "main.c")
    recipe.deliver(".env.local", "staging")
    commands = {
        "node": ("node", str(LOADERS / "node/bin/with-secrets.js"), "--"),
        "python": ("python3", "-m", "infisical_config", "--"),
    }
    path = str(LOADERS / "python")
    done = run(recipe.directory, *commands[runner], "./server", environment={"PYTHONPATH": path})
    assert done.stdout == "database staging.db.example.com:5432/app, client secret not seen\n"
