"""Copies of the recipes in `examples/recipes`, each with a service in an Infisical of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile
from tests.contract.conftest import issuer, postgres, redis_server, world
from tests.contract.migrating import Case, Ran
from tests.example.service import Service
from tests.ports import free_port
from tests.staging import build
from tests.staging.host import LABEL
from tests.staging.shell import REPOSITORY, STATE, docker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.world import World

__all__ = ["issuer", "postgres", "redis_server", "world"]

LOADERS = REPOSITORY / "loaders"
_RECIPES = REPOSITORY / "examples" / "recipes"
_MADE = ("node_modules", "vendor", ".venv", "__pycache__", ".next")
_MOST_SECONDS = 600
_numbers = count(1)

# The values that the recipes read; the tests search images for them.
DATABASE = "postgres://fake:fake-password-of-a-recipe@{environment}.db.example.com:5432/app"


def run(
    directory: Path,
    *command: str | Path,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command, with its output; fail the test if it fails."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=directory,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
    )
    assert done.returncode == 0 or not check, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done


@dataclass
class Recipe:
    """A copy of a recipe, and its service in Infisical.

    Attributes:
        directory: the copy, with the loaders in `vendor/`.
        port: a free port of this machine, which is the secret PORT.
        services: the folders by service; the first is the recipe's own.
    """

    directory: Path
    case: Case
    services: dict[str, str]
    port: int = field(default_factory=free_port)

    @property
    def service(self) -> str:
        """The name of the recipe's own service."""
        return next(iter(self.services))

    def credentials(self, environment: str, service: str = "") -> str:
        """Return the text that is delivered for a service in an environment."""
        ran = self._credentials("show", service or self.service, "--env", environment, "--yes")
        return ran.stdout

    def variables(self, environment: str, service: str = "") -> dict[str, str]:
        """Return the delivered variables."""
        lines = self.credentials(environment, service).splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def deliver(self, name: str, environment: str) -> Path:
        """Write the delivered text into a file of the copy, as `--output` and a target do."""
        file = self.directory / name
        file.touch(mode=0o600)
        file.write_text(self.credentials(environment))
        return file

    def revoke(self, environment: str) -> None:
        """End the client secret that was delivered, and make a new one."""
        self._credentials("rotate", self.service, "--env", environment, "--overlap", "0")

    def put(self, environment: str, folder: str = "", **values: str) -> None:
        """Store secrets."""
        self.case.put(environment, folder or self.services[self.service], **values)

    def script(self, name: str) -> list[str]:
        """Return the command of a script of npm, which npm would start by a shell."""
        script = json.loads((self.directory / "package.json").read_text())["scripts"][name]
        return [f"node_modules/.bin/{script.split()[0]}", *script.split()[1:]]

    def start(self, *command: str) -> Service:
        """Start a command of the recipe; its process gets PATH and HOME only."""
        made = Service(self.directory, command, self.port)
        status = made.start()
        assert status is None, (status, made.output[-3000:])
        return made

    def _credentials(self, command: str, *arguments: str) -> Ran:
        where = ("--credentials", str(self.case.root / "credentials"))
        file = ("--project-file", str(self.case.workspace_file))
        ran = self.case.invoke("credentials", command, *arguments, *where, *file)
        assert ran.exit_code == 0, ran.output
        return ran


Make = Callable[..., Recipe]


@pytest.fixture
def make(world: World, tmp_path: Path, _loaders: Path) -> Make:
    """Copy a recipe, and deploy its service with secrets in three environments."""

    def make_one(name: str, *others: str) -> Recipe:
        number = next(_numbers)
        case = Case(world, f"recipe-{number}", tmp_path, ())
        folders = {f"backend-{number}": "/backend"}
        folders |= {f"{other}-{number}": f"/{other}" for other in others}
        environments = ("development", "staging", "production")
        case.write("workspace.json", _project(case.name, environments, folders))
        case.deploy()
        directory = tmp_path / name
        shutil.copytree(_RECIPES / name, directory, ignore=shutil.ignore_patterns(*_MADE))
        shutil.copytree(_loaders, directory / "vendor")
        made = Recipe(directory, case, folders)
        for service, folder in folders.items():
            for each in environments:
                made._credentials("rotate", service, "--env", each)
                url = DATABASE.format(environment=each)
                made.put(each, folder, DATABASE_URL=url, PORT=str(made.port))
        place = case.place("development", "/backend")
        known = LocalFile(place["projectId"], world.standin.url, "/backend")
        local_file.write(directory, known)
        return made

    return make_one


def _project(name: str, environments: Sequence[str], folders: dict[str, str]) -> str:
    return json.dumps(
        {
            "project": {"name": name, "slug": name},
            "environments": [{"slug": each, "name": each} for each in environments],
            "services": {service: {"folder": folder} for service, folder in folders.items()},
        }
    )


@pytest.fixture(scope="session")
def _loaders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of both loaders, as a service has them in `vendor/`."""
    vendor = tmp_path_factory.mktemp("loaders") / "vendor"
    vendor.mkdir()
    run(vendor, "npm", "pack", "--silent", LOADERS / "node")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(vendor, *pip, LOADERS / "python")
    return vendor


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a runner: pip and pipx, which find this checkout as a release."""
    home = tmp_path_factory.mktemp("runner")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(REPOSITORY, *pip, "--wheel-dir", home / "dist", ".")
    run(home, "python3", "-m", "venv", "python")
    run(home, home / "python/bin/pip", "install", "--quiet", "pipx")
    return {
        "PATH": f"{home}/python/bin:{os.environ['PATH']}",
        "PIPX_HOME": f"{home}/pipx",
        "PIP_FIND_LINKS": f"{home}/dist {os.environ.get('PIP_FIND_LINKS', '')}".strip(),
        "NEXT_TELEMETRY_DISABLED": "1",
        "CI": "true",
    }


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with Node and Python, in place of the official ones, which no registry may have."""
    debian = build.base("trixie")
    directory = tmp_path_factory.mktemp("runtime")
    shutil.copy(build.RECIPES / "runtime" / "Dockerfile", directory)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", directory / "authorities.crt")
    tag, recipe = "infisical-iac/runtime:trixie", build.digest(directory, build.image_id(debian))
    if build.recipe_of(tag) != recipe:
        build.build(tag, directory, recipe, debian)
    return tag


@pytest.fixture
def images() -> Iterator[list[str]]:
    """The images that a test builds, which are removed at its end."""
    tags: list[str] = []
    yield tags
    for tag in tags:
        docker("rmi", "--force", tag, check=False)


@pytest.fixture(scope="session")
def buildkit() -> dict[str, str]:
    """The environment of a docker command with BuildKit, by Debian's plug-in."""
    if run(REPOSITORY, "docker", "buildx", "version", check=False).returncode == 0:
        return {"DOCKER_BUILDKIT": "1"}
    config = STATE / "recipes" / "docker"
    plugin = config / "cli-plugins" / "docker-buildx"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        # Not installed: a `docker build` of other tests would have another builder.
        run(config, "apt-get", "-qq", "download", "docker-buildx")
        (package,) = config.glob("docker-buildx_*.deb")
        run(config, "dpkg", "-x", package, config / "package")
        found = config / "package/usr/libexec/docker/cli-plugins/docker-buildx"
        shutil.copy(found, plugin)
    return {"DOCKER_CONFIG": str(config), "DOCKER_BUILDKIT": "1"}


@dataclass
class Container:
    """A container on this machine's network, which is removed at the end of the test."""

    id: str

    def logs(self) -> str:
        """Return all output."""
        done = run(REPOSITORY, "docker", "logs", self.id)
        return done.stdout + done.stderr

    def execute(self, *command: str) -> str:
        """Run a command in it, with its variables; return the output."""
        return run(REPOSITORY, "docker", "exec", self.id, *command).stdout

    def wait(self) -> int:
        """Return the status that it ends with."""
        return int(run(REPOSITORY, "docker", "wait", self.id).stdout)


@pytest.fixture
def containers() -> Iterator[Callable[..., Container]]:
    """Start a container of an image with variables, and a command instead of its own."""
    started: list[str] = []

    def start(image: str, *command: str, **variables: str) -> Container:
        given = [f"--env={name}={value}" for name, value in variables.items()]
        base = ("run", "--detach", "--network", "host", "--label", LABEL)
        started.append(docker(*base, *given, image, *command))
        return Container(started[-1])

    yield start
    for each in started:
        docker("rm", "--force", "--volumes", each, check=False)
