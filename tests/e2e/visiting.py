"""Query a staging host's public address, as a service and as an attacker."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infisical_iac.agent import contents
from tests.e2e.inspection import PROJECT, deployer, env_file
from tests.e2e.web import ask
from tests.staging import ingress
from tests.staging.host import StagingHost

# A client ID that no identity has.
NOBODY = "00000000-0000-0000-0000-000000000000"
LOGIN = "/api/v1/auth/universal-auth/login"
# In the network of Docker's bridge, outside the range that Docker assigns.
_ELSEWHERE = "172.17.255.77"


@contextmanager
def elsewhere(address: str = _ELSEWHERE) -> Iterator[str]:
    """Yield another address of this machine that can reach staging hosts."""
    change = ("address", "{}", f"{address}/32", "dev", "docker0")
    subprocess.run(["ip", *(each.format("replace") for each in change)], check=True)
    try:
        yield address
    finally:
        subprocess.run(["ip", *(each.format("delete") for each in change)], check=True)


def log_in(
    host: StagingHost, client_id: str, secret: str, *options: str, trust: Path | None = None
) -> tuple[int, str]:
    """Log in from outside; return the status and the token. `trust` is as for `ask`."""
    body = json.dumps({"clientId": client_id, "clientSecret": secret})
    content = ("--header", "Content-Type: application/json", "--data", body)
    status, text = ask(host, LOGIN, *content, *options, trust=trust)
    return status, json.loads(text)["accessToken"] if status == 200 else ""


def read_by_service(host: StagingHost, service: str) -> set[str]:
    """Read production from outside as a service does; return the secrets sent and read."""
    found = env_file(host, f"/etc/infisical/credentials/{service}.production.env")
    secret = found["INFISICAL_CLIENT_SECRET"]
    status, token = log_in(host, found["INFISICAL_CLIENT_ID"], secret)
    assert status == 200
    with deployer(host) as client:
        project = contents.project(client, PROJECT)
    assert project is not None
    place = f"projectId={project['id']}&environment=production&secretPath=%2Fpython-services"
    bearer = ("--header", f"Authorization: Bearer {token}")
    status, body = ask(host, f"/api/v4/secrets?{place}", *bearer)
    assert status == 200
    values = {each["secretValue"] for each in json.loads(body)["secrets"]}
    return {secret, token, token.rpartition(".")[2], *values}


def is_kept_out(host: StagingHost, address: str) -> bool:
    """Return whether an address stops getting answers, within a time limit."""
    end = time.monotonic() + 20
    while ask(host, "/api/status", "--interface", address)[0] != 0:
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def make_certificate(host: StagingHost, directory: Path, *, days: int = 90) -> dict[str, str]:
    """Make `own.crt` and `own.key` for the host's name; return the settings with both files."""
    certificate, key, name = directory / "own.crt", directory / "own.key", ingress.name(host)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=obviously-fake", "-addext", f"subjectAltName=DNS:{name}"),
            *("-days", str(days), "-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return {"tls_certificate": str(certificate), "tls_key": str(key)}
