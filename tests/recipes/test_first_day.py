"""Follow docs/develop/first-day.md as it is written, with a laptop, an invitation and the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile
from tests.contract.mailed import accept, invite
from tests.contract.migrating import Case
from tests.contract.services import port_open, wait_until
from tests.contract.world import PASSWORD, ok
from tests.on_terminal import run_on_terminal
from tests.ports import free_port
from tests.recipes.conftest import run
from tests.staging.shell import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.contract.postgres import Postgres
    from tests.contract.world import World

_PAGE = (REPOSITORY / "docs" / "develop" / "first-day.md").read_text()
_EXAMPLES = REPOSITORY / "examples"
# The services of the page, each with its directory in the examples and its folder.
_SERVICES = {
    "backend": ("chainalign/after/backend", "/backend"),
    "python-services": ("chainalign/after/python-services", "/python-services"),
    "express": ("recipes/express", "/express"),
}
_MADE = ("node_modules", "vendor", ".venv", "__pycache__", "cache", ".dockerignore")
_EVA = "eva-of-the-first-day@example.com"
_MOST_SECONDS = 300


def _section(title: str) -> str:
    """Return the text of one of the page's sections."""
    return _PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def _blocks(title: str) -> list[list[str]]:
    """Return the commands in a section, by block: those after `$ `, or else all lines."""
    found = []
    for text in re.findall(r"(?:^    .*\n?)+", _section(title), re.MULTILINE):
        lines = [line.strip() for line in text.splitlines()]
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        found.append(typed or lines)
    return found


def _rows() -> dict[str, list[str]]:
    """Return the cells of the table of services, by service."""
    rows = [
        line.split("|")[1:-1] for line in _section("4. Start").splitlines() if line[:3] == "| `"
    ]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {name.strip("`"): rest for name, *rest in cells}


@dataclass(frozen=True)
class Laptop:
    """Eva's machine: only a home, the usual programs, and the configuration of their registries."""

    home: Path
    remote: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of her shell; GitHub is a directory of this machine."""
        own = ("INFISICAL", "DBUS", "XDG", "PYTHON", "VIRTUAL", "PYTEST")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        here = Path.home()
        return kept | {
            "HOME": str(self.home),
            "npm_config_userconfig": str(here / ".npmrc"),
            "npm_config_cache": str(here / ".npm"),
            "PIP_CONFIG_FILE": str(here / ".config/pip/pip.conf"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.remote}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "git@github.com:acme/",
        }

    def type(self, directory: Path, commands: Sequence[str]) -> str:
        """Run commands in a new terminal, as they are on the page; return what they print."""
        script = ("sh", "-ec", "\n".join(commands))
        done = run(directory, "env", "-i", *_assigned(self.environment), *script)
        return done.stdout + done.stderr

    @contextmanager
    def started(self, service: str, command: str, port: int) -> Iterator[Path]:
        """Start a service until it listens, and yield the file with what it prints."""
        log = self.home / f"{service}.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                cwd=self.home / "services" / service,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            try:
                wait_until(lambda: port_open(port), f"{service} did not start", log.read_text, 60)
                yield log
            finally:
                os.killpg(process.pid, 15)
                process.wait(20)


def _assigned(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


@dataclass(frozen=True)
class Prepared:
    """The prepared repository, the invitation, and the ports of the services."""

    laptop: Laptop
    invitation: str
    world: World
    ports: dict[str, int]


@pytest.fixture
def prepared(world: World, postgres: Postgres, tmp_path: Path, _loaders: Path) -> Prepared:
    """The operator's part, done: project, secrets, an invitation, and a prepared repository."""
    ports = {name: free_port() for name in _SERVICES}
    (link,) = ok(invite(world.admin, world.org_id, _EVA))["completeInviteLinks"]
    case = Case(world, "first-day", tmp_path, ())
    services = {name: {"folder": folder} for name, (_, folder) in _SERVICES.items()}
    for each in ("backend", "python-services"):
        services[each]["imports"] = ["/shared"]  # type: ignore[assignment]
    content = {
        "project": {"name": "First day", "slug": "first-day"},
        "environments": [{"slug": each, "name": each} for each in ("development", "production")],
        "shared_folders": ["/shared"],
        "services": services,
        "people": {_EVA: {"development": "viewer"}},
    }
    case.write("workspace.json", json.dumps(content))
    given = ("--yes", "--project-file", str(case.workspace_file))
    applied = case.invoke("workspace", "apply", *given, INFISICAL_ADMIN_PASSWORD=PASSWORD)
    assert applied.exit_code == 0, applied.output
    _store(case, postgres, ports)
    work = tmp_path / "prepared"
    for name, (example, folder) in _SERVICES.items():
        directory = work / name
        shutil.copytree(_EXAMPLES / example, directory, ignore=shutil.ignore_patterns(*_MADE))
        shutil.copytree(_loaders, directory / "vendor")
        id = case.place("development", folder)["projectId"]
        local_file.write(directory, LocalFile(id, world.standin.url, folder))
    _push(work, tmp_path / "github" / "services.git")
    (home := tmp_path / "home").mkdir()
    return Prepared(Laptop(home, tmp_path / "github"), link["link"], world, ports)


def _store(case: Case, postgres: Postgres, ports: dict[str, int]) -> None:
    case.put("development", "/shared", JWT_SECRET="fake-jwt-secret")
    greeting = {"MAIL_GREETING": "Hello ${name}"}
    options = {"FORECAST_OPTIONS": '{"model": "demand-v2", "horizon": 28}'}
    more = {"backend": greeting, "python-services": options, "express": {}}
    for name, (_, folder) in _SERVICES.items():
        url = postgres.create_database(f"first_day_{name.partition('-')[0]}")
        values = {"DATABASE_URL": url, "PORT": str(ports[name]), **more[name]}
        case.put("development", folder, **values)


def _push(work: Path, remote: Path) -> None:
    author = ("-c", "user.name=Operator", "-c", "user.email=operator@example.com")
    run(work, "git", "init", "--quiet", "--initial-branch=main")
    run(work, "git", "add", "--all")
    run(work, "git", *author, "commit", "--quiet", "--message", "Prepare the services")
    run(work, "git", "clone", "--quiet", "--bare", ".", remote)


def test_the_page_alone_starts_three_services_within_five_minutes(prepared: Prepared) -> None:
    laptop, began = prepared.laptop, time.monotonic()
    accept(prepared.world.standin, prepared.invitation)

    clone, node, python = _blocks("2. Clone and install")
    for each in (clone, node, python):
        laptop.type(laptop.home, each)
    rows = _rows()
    assert rows.keys() == _SERVICES.keys()
    for service in ("backend", "express"):
        assert rows[service][1] == "`npm ci`"
    assert node[-1] == "npm ci"
    laptop.type(laptop.home / "services" / "express", node[-1:])

    backend = laptop.home / "services" / "backend"
    ((login,),) = _blocks("3. Log in, once")
    with run_on_terminal(login.split(), directory=backend, environment=laptop.environment) as shown:
        shown.answer("E-mail", _EVA)
        shown.answer("Password", PASSWORD)
        assert shown.finish() == 0, shown.shown

    for service, (_, _, start, prints) in rows.items():
        port = prepared.ports[service]
        with laptop.started(service, start.strip("`"), port) as log:
            expected = re.match(r"`([^`]+)`", prints)
            if expected:
                said = f"{expected[1]} {port}"
                wait_until(lambda log=log, said=said: said in log.read_text(), f"no {said}")  # type: ignore[misc]
            else:
                assert httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
    assert time.monotonic() - began < _MOST_SECONDS

    database, npm, python_start, runner = _blocks("4. Start")
    assert database[0].startswith("docker run ")  # the database is the fixture's here
    assert [*npm, *python_start] == ["npm run dev", ".venv/bin/python app.py"]
    with laptop.started("backend", runner[0], prepared.ports["backend"]) as log:
        assert f"reads development /backend as {_EVA}" in log.read_text()
    doctor = laptop.type(backend, *_blocks("If something fails")[:1])
    assert "WRONG" not in doctor
    assert [*laptop.home.rglob(".env"), *laptop.home.rglob(".env.local")] == []
