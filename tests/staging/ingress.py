"""Choose a staging host's ingress, and get the CA that verifies its certificate."""

import json
from pathlib import Path

from infisical_iac.stack.ingress_kinds import KINDS
from tests.staging.cluster import StagingCluster
from tests.staging.host import StagingHost
from tests.staging.shell import docker, run

OF_HOST = tuple(KINDS)
# This project installs a cluster's Docker.
OF_CLUSTER = tuple(name for name, kind in KINDS.items() if not kind.engine_owner)
# Unless another kind is chosen, the host is reached through SSH only.
DEFAULT = "none"
_ROOT = "/data/caddy/pki/authorities/local/root.crt"


def choose(host: StagingHost | StagingCluster, kind: str) -> None:
    """Write group data in which the host, or each host of the cluster, has this ingress."""
    file = host.directory / "ingress.json"
    if kind == DEFAULT:
        file.unlink(missing_ok=True)
        return
    chosen = {"ingress": kind, "site_url": f"https://{name(host)}"}
    if isinstance(host, StagingCluster):
        chosen |= {"tls_certificate": str(certificate(host)), "tls_key": str(_key(host))}
    file.write_text(json.dumps(chosen) + "\n")


def is_public(host: StagingHost) -> bool:
    """Return whether the host has an ingress that serves its own certificate."""
    file = host.directory / "ingress.json"
    return file.exists() and KINDS[json.loads(file.read_text())["ingress"]].is_public


def name(host: StagingHost | StagingCluster) -> str:
    """Return the host name in a staging host's URL, which a cluster's hosts share."""
    return f"{host.name}.staging.internal"


def address(host: StagingHost) -> str:
    """Return the address where this machine reaches the host, on any port."""
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "--format", network, host.container)


def root(host: StagingHost) -> Path:
    """Fetch the CA certificate that a deployed host's Caddy made; return its file."""
    file = host.directory / "root.crt"
    file.write_text(host.run(f"docker exec infisical-caddy-1 cat {_ROOT}").stdout)
    return file


def certificate(cluster: StagingCluster) -> Path:
    """Return the self-signed certificate of a cluster's hosts; make it if it is missing."""
    file = cluster.directory / "certificate.pem"
    if not file.exists():
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "90"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name(cluster)}"),
            *("-addext", f"subjectAltName=DNS:{name(cluster)}"),
            *("-keyout", str(_key(cluster)), "-out", str(file)),
        )
    return file


def _key(cluster: StagingCluster) -> Path:
    return cluster.directory / "key.pem"
