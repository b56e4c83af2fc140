"""Use the Infisical of a staging host, as its services and its operator do."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from infisical_iac.api.client import Client
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import locate
from tests.contract.services import wait_until
from tests.e2e.inspection import ISOLATION, PORT, deployer
from tests.ports import free_port
from tests.staging.host import StagingHost
from tests.staging.shell import REPOSITORY

# The example of the migration uses the other two environments, and reports other values there as
# conflicts.
ENVIRONMENT = "staging"
WORKSPACE = load(REPOSITORY / "group_data" / "chainalign.yaml")
_MOST_SECONDS = 60


class Infisical:
    """The Infisical of `host`, which this machine reaches at `address`."""

    def __init__(self, host: StagingHost, address: str):
        self.host = host
        self.address = address
        self._stored: set[tuple[str, str]] = set()
        with deployer(host) as client:
            goal = Goal(desired=WORKSPACE, isolation=ISOLATION, admin_email="")
            self.layout = locate(client, goal)

    def store(self, folder: str, **secrets: str) -> None:
        """Store secrets in a folder; they replace secrets of the same names."""
        listed = [{"secretKey": name, "secretValue": value} for name, value in secrets.items()]
        body = {**self._place(folder), "mode": "upsert", "secrets": listed}
        with deployer(self.host) as client:
            client.patch("/api/v4/secrets/batch", json=body)
        self._stored |= {(folder, name) for name in secrets}

    def clear(self) -> None:
        """Delete all secrets that `store` has stored."""
        with deployer(self.host) as client:
            for folder, name in self._stored:
                client.delete(f"/api/v4/secrets/{name}", json=self._place(folder))
        self._stored.clear()

    @contextmanager
    def stop_temporarily(self) -> Iterator[None]:
        """Stop Infisical while the context is open."""
        compose = "cd /etc/infisical && docker compose --progress quiet"
        self.host.run(f"{compose} stop --timeout 5 infisical")
        try:
            yield
        finally:
            # The summary of the demo shows Infisical's health.
            self.host.run(f"{compose} up --detach --no-recreate --no-deps --wait infisical")
            _wait(self.address)

    def _place(self, folder: str) -> dict[str, str]:
        project = self.layout.find(ENVIRONMENT, folder)
        return {"projectId": project, "environment": ENVIRONMENT, "secretPath": folder}


@contextmanager
def reach(host: StagingHost) -> Iterator[Infisical]:
    """Yield the Infisical of a host, through a tunnel from a port of this machine."""
    port = free_port()
    forward = f"127.0.0.1:{port}:127.0.0.1:{PORT}"
    config = str(host.directory / "ssh_config")
    tunnel = subprocess.Popen(["ssh", "-F", config, "-N", "-L", forward, host.name])
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address)
        yield Infisical(host, address)
    finally:
        tunnel.terminate()
        tunnel.wait(timeout=10)


def _wait(address: str) -> None:
    with Client(address) as client:
        wait_until(client.answers, f"{address} did not answer", seconds=_MOST_SECONDS)
