"""Inspect a staging host without the deploy: its API, its containers, its secrets."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath

import paramiko
from pydantic import TypeAdapter

from infisical_iac.agent import contents
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.workspace import canary
from infisical_iac.workspace.model import Isolation
from tests.staging.host import StagingHost

PORT = 8080
# The isolation of every staging host.
ISOLATION: Isolation = TypeAdapter(Isolation).validate_python(
    os.environ.get("STAGING_ISOLATION") or "privilege"
)
PROJECT = "chainalign"
# For each folder of the project file, the service or folder that its project is named after.
_NAMES = {"/backend": "backend", "/python-services": "python-service", "/shared": "shared"}
# Slugs have at most 36 characters, and the end of a longer one is a hash of its parts.
_SHORTENED = {"chainalign-python-service-development": "chainalign-python-service-d-b21045a0"}
_ENVIRONMENTS = ("development", "staging", "production")


@contextmanager
def api(host: StagingHost) -> Iterator[Client]:
    """Yield a client without a token, through its own SSH connection."""
    known = json.loads((host.directory / "host.json").read_text())
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(known["known_hosts"])
        ssh.connect("127.0.0.1", known["port"], known["user"], key_filename=known["key"])
        transport = ssh.get_transport()
        assert transport is not None
        with Client(f"http://127.0.0.1:{PORT}", SSHTransport(transport)) as client:
            yield client


@contextmanager
def deployer(host: StagingHost) -> Iterator[Client]:
    """Yield a client that is logged in as the deployer."""
    with api(host) as client:
        found = env_file(host, "/etc/infisical/deployer.env")
        yield login.universal(
            client, found["INFISICAL_CLIENT_ID"], found["INFISICAL_CLIENT_SECRET"]
        )


@contextmanager
def administrator(host: StagingHost) -> Iterator[Client]:
    """Yield a client that is logged in as the first administrator."""
    with api(host) as client:
        found = env_file(host, "/etc/infisical/admin.env")
        yield login.password(
            client, found["INFISICAL_ADMIN_EMAIL"], found["INFISICAL_ADMIN_PASSWORD"]
        )


def place(client: Client, folder: str, environment: str = "production") -> dict[str, str]:
    """Return the parameters of a request for a folder's secrets, with each isolation.

    Args:
        client: with the token of the deployer.
    """
    project = contents.project(client, PROJECT) or contents.project(
        client, _slug_of(_NAMES.get(folder, ""), environment)
    )
    assert project is not None
    return {"projectId": project["id"], "environment": environment, "secretPath": folder}


def _slug_of(name: str, environment: str) -> str:
    slug = f"{PROJECT}-{name}-{environment}"
    return _SHORTENED.get(slug, slug)


def slug_of(folder: str, environment: str) -> str:
    """Return the slug of the project of a folder, with the isolation of the staging hosts."""
    return _slug_of(_NAMES[folder], environment) if ISOLATION == "projects" else PROJECT


def slugs() -> list[str]:
    """Return the slugs of the projects of the project file, sorted."""
    return sorted({slug_of(folder, each) for folder in _NAMES for each in _ENVIRONMENTS})


def write_secrets(host: StagingHost, folder: str, secrets: Mapping[str, str]) -> None:
    """Store obviously fake secrets in a folder of production."""
    with deployer(host) as client:
        where = place(client, folder)
        for name, value in secrets.items():
            client.post(f"/api/v4/secrets/{name}", json={**where, "secretValue": value})


def set_canary(host: StagingHost, text: str | None) -> None:
    """Give the canary another value, or remove it for None."""
    with deployer(host) as client:
        project = contents.project(client, canary.SLUG)
        assert project is not None
        path = f"/api/v4/secrets/{canary.SECRET}"
        place = {"projectId": project["id"], "environment": canary.ENVIRONMENT, "secretPath": "/"}
        if contents.secrets(client, project["id"], canary.ENVIRONMENT, folder=canary.FOLDER):
            client.delete(path, json=place)
        if text is not None:
            client.post(path, json={**place, "secretValue": text})


def env_file(host: StagingHost, path: str) -> dict[str, str]:
    """Return the variables of an env file on the host."""
    lines = host.run(f"cat {path}").stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def containers(host: StagingHost) -> dict[str, str]:
    """Return the id and start time of the stack's containers, by service."""
    format = (
        '{{ index .Config.Labels "com.docker.compose.service" }} {{ .Id }} {{ .State.StartedAt }}'
    )
    listed = host.run(
        "docker ps --all --quiet --filter label=com.docker.compose.project=infisical | "
        f"xargs --no-run-if-empty docker inspect --format '{format}'"
    ).stdout.splitlines()
    return dict(line.split(" ", 1) for line in listed)


def secrets(host: StagingHost) -> dict[str, str]:
    """Return every secret that the deploy made on the host, by file and variable."""
    files = "/etc/infisical/keys/* /etc/infisical/*.env /etc/infisical/credentials/*.env"
    found = {}
    for line in host.run(f"grep --with-filename . {files}").stdout.splitlines():
        path, _, text = line.partition(":")
        variable, _, value = text.partition("=")
        if path.startswith("/etc/infisical/keys/"):
            found[PurePath(path).name] = text.strip()
        elif variable.endswith(("PASSWORD", "SECRET")):
            found[f"{path} {variable}"] = value
    return found


def environment(host: StagingHost, variable: str) -> list[str]:
    """Return a variable's value in each container of Infisical on the host."""
    return host.run(
        "for id in $(docker ps --quiet --filter 'name=^infisical.infisical'); do "
        f"docker exec $id cat /proc/1/environ | tr '\\0' '\\n' | sed -n 's/^{variable}=//p'; done"
    ).stdout.splitlines()


def reset_stack(host: StagingHost) -> None:
    """Remove the stack from the host; Docker and the images stay."""
    host.run(
        "cd /etc/infisical && docker compose --progress quiet down --volumes --timeout 2 "
        "2>/dev/null; docker volume ls --quiet --filter name=^infisical_postgres_given_up_ | "
        "xargs --no-run-if-empty docker volume rm; "
        "rm -rf /etc/infisical /var/lib/infisical-backup /var/backups/infisical",
        check=False,
    )
