"""The way in to a staging host: which one is chosen, and the authority that it is trusted by."""

import json
from pathlib import Path

from tests.staging.host import StagingHost
from tests.staging.shell import docker

KINDS = ("none", "caddy", "traefik")
_ROOT = "/data/caddy/pki/authorities/local/root.crt"


def choose(host: StagingHost, kind: str) -> None:
    """Have `group_data/staging.py` say that the host has this kind of ingress."""
    file = host.directory / "ingress.json"
    if kind == "none":
        file.unlink(missing_ok=True)
        return
    file.write_text(json.dumps({"ingress": kind, "site_url": f"https://{name(host)}"}) + "\n")


def is_chosen(host: StagingHost, kind: str) -> bool:
    """Whether the host has this kind of ingress."""
    file = host.directory / "ingress.json"
    return file.exists() and json.loads(file.read_text())["ingress"] == kind


def name(host: StagingHost) -> str:
    """The name in a staging host's address."""
    return f"{host.name}.staging.internal"


def address(host: StagingHost) -> str:
    """Where the host is reached from this machine, on whatever port it listens."""
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "--format", network, host.container)


def root(host: StagingHost) -> Path:
    """The certificate of the authority that Caddy of a deployed host made, fetched from there."""
    file = host.directory / "root.crt"
    file.write_text(host.run(f"docker exec infisical-caddy-1 cat {_ROOT}").stdout)
    return file
