"""Read once what is inside Infisical, and who can log in to it."""

from collections.abc import Iterator

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.settings import Settings
from infisical_iac.workspace import actual
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual
from tests.host.connection import Connection
from tests.host.inside.logins import Login, log_in, read_credentials, succeeding
from tests.host.secrecy import Secret


@pytest.fixture(scope="session")
def api(connection: Connection, settings: Settings) -> Iterator[Client]:
    transport = SSHTransport(connection.ssh) if connection.ssh else None
    with Client(f"http://127.0.0.1:{settings.http_port}", transport) as client:
        yield client


@pytest.fixture(scope="session")
def admin(api: Client, settings: Settings, secrets: dict[str, Secret]) -> Client:
    password = secrets["admin.env: INFISICAL_ADMIN_PASSWORD"]
    return succeeding(lambda: login.password(api, settings.admin_email, password.reveal()))


@pytest.fixture(scope="session")
def deployer(api: Client, secrets: dict[str, Secret]) -> Client:
    id, secret = (
        secrets[f"deployer.env: INFISICAL_CLIENT_{part}"].reveal() for part in ("ID", "SECRET")
    )
    return succeeding(lambda: login.universal(api, id, secret))


@pytest.fixture(scope="session")
def inside(deployer: Client, admin: Client, workspace: Workspace, settings: Settings) -> Actual:
    """Return what is inside Infisical."""
    return succeeding(
        lambda: actual.read(
            deployer,
            workspace=workspace,
            isolation=settings.isolation,
            admin_email=settings.admin_email,
            admin=lambda: admin,
        )
    )


@pytest.fixture(scope="session")
def logins(connection: Connection, api: Client, workspace: Workspace) -> dict[str, Login]:
    """One login of each service's identity, by its name; a wrong one is not tried again."""
    return log_in(api, read_credentials(connection, workspace))
