"""Print the end of the demo: the address, the objects that were made, and the next command."""

import json
from collections.abc import Mapping
from typing import Any

from tests.staging import access, ingress
from tests.staging.host import StagingHost
from tests.staging.shell import STATE
from tests.staging.stack import official_infisical

_TEXT = """
Infisical runs on the staging host {name!r}{note}.

{address}  reach it    ssh -F .staging/{name}/ssh_config -N -L {port}:127.0.0.1:{port} {name}
              then open http://127.0.0.1:{port}; the password of admin@example.com is on the host:
              ssh -F .staging/{name}/ssh_config {name} {sudo}cat /etc/infisical/admin.env
  made        {containers}
              project chainalign with {environments}
              {count} credentials in /etc/infisical/credentials: {credentials}

Next: run the deploy again, which finds everything in place,
    {rerun}
try the other commands on it,
    . .venv/bin/activate; export INFISICAL_IAC_INVENTORY=inventory/staging.py{export}
    infisical-iac status
    infisical-iac backup now && infisical-iac restore --drill
try your own services, such as web in ../web (docs/operate/repository.md),
    infisical-iac init --add-service web=../web     # into services: of group_data/chainalign.yaml
    infisical-iac apply && infisical-iac migrate scan ../web
    and start them with the tunnel open, and INFISICAL_DOMAIN=http://127.0.0.1:{port} set
or take everything down with `make demo-down`.
"""
_STANDIN = (
    ", as the stand-in of tests/standin, which has Infisical's API and no web interface "
    "(no image registry answers here; STAGING_INFISICAL_IMAGE=archive.tar puts a real one in its "
    "place)"
)


def text(host: StagingHost, *, port: int = 8080) -> str:
    """Return the text for a deployed host, read from that host."""
    containers = host.run("docker ps --format '{{ .Image }} ({{ .Status }})' | sort").stdout
    files = host.run("cd /etc/infisical/credentials && ls *.env").stdout.split()
    environments = json.loads(host.run("cat /etc/infisical/workspace.json").stdout)["environments"]
    images = json.loads((STATE / "images.json").read_text())
    prefix = "" if host.name == "demo" else f"STAGING_HOST={host.name} "
    return _TEXT.format(
        address=_address(host),
        name=host.name,
        sudo="" if access.read(host.directory).user == "root" else "sudo ",
        note=describe_infisical(images),
        port=port,
        containers="\n              ".join(containers.splitlines()),
        environments=", ".join(environments),
        count=len(files),
        credentials=", ".join(file.removesuffix(".env") for file in files),
        export=f" {prefix.strip()}" if prefix else "",
        rerun=f"{prefix}.venv/bin/pyinfra inventory/staging.py deploy.py",
    )


def describe_infisical(choice: Mapping[str, Any]) -> str:
    """Return a note on the server that runs as Infisical; empty for the image of an archive."""
    if choice["standin"]:
        return _STANDIN
    source = choice["source"]
    return f", as the official image {source}" if source == official_infisical() else ""


def _address(host: StagingHost) -> str:
    """Return the host's HTTPS address, and the CA that verifies its certificate."""
    if not ingress.is_public(host):
        return ""
    name = ingress.name(host)
    root = ingress.root(host).relative_to(STATE.parent)
    return (
        f"  its address https://{name}, certified by its own authority in {root}:\n"
        f"              curl --cacert {root} --resolve {name}:443:{ingress.address(host)} \\\n"
        f"                  https://{name}/api/status\n"
    )
