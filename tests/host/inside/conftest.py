"""Fixtures that read the state in Infisical and its logins once."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.core.settings import Settings
from infisical_iac.workspace import actual
from infisical_iac.workspace.foreign import AccessState
from infisical_iac.workspace.foreign_actual import read_access
from infisical_iac.workspace.goal import Goal, Layout, Memory, pair
from infisical_iac.workspace.memory import locate, parse
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual
from tests.host.connection import Connection
from tests.host.inside.logins import Login, call_or_fail, log_in, read_credentials
from tests.host.secrecy import Secret


@pytest.fixture(scope="session")
def api(connection: Connection, settings: Settings) -> Iterator[Client]:
    transport = SSHTransport(connection.ssh) if connection.ssh else None
    with Client(f"http://127.0.0.1:{settings.stack.http_port}", transport) as client:
        yield client


@pytest.fixture(scope="session")
def admin(api: Client, settings: Settings, secrets: dict[str, Secret]) -> Client:
    password = secrets["admin.env: INFISICAL_ADMIN_PASSWORD"]
    return call_or_fail(
        lambda: login.password(api, settings.workspace.admin_email, password.reveal())
    )


@pytest.fixture(scope="session")
def deployer(api: Client, secrets: dict[str, Secret]) -> Client:
    id, secret = (
        secrets[f"deployer.env: INFISICAL_CLIENT_{part}"].reveal() for part in ("ID", "SECRET")
    )
    return call_or_fail(lambda: login.universal(api, id, secret))


@pytest.fixture(scope="session")
def memory(connection: Connection) -> Memory:
    """The ids of the objects that deploys have made, as stored on the host."""
    return parse(connection.quietly("cat /etc/infisical/workspace.json"))


@pytest.fixture(scope="session")
def goal(workspace: Workspace, settings: Settings, memory: Memory) -> Goal:
    return Goal(
        desired=workspace,
        isolation=settings.workspace.isolation,
        admin_email=settings.workspace.admin_email,
    ).recalling(memory)


@pytest.fixture(scope="session")
def actual_state(deployer: Client, admin: Client, goal: Goal) -> Actual:
    """The actual state of the project in Infisical."""
    return call_or_fail(lambda: actual.read(deployer, goal, lambda: admin))


@pytest.fixture(scope="session")
def projects(goal: Goal, actual_state: Actual) -> list[tuple[Goal, Actual]]:
    """Each desired project with its actual state; the isolation `projects` has several."""
    found = pair(goal, actual_state)
    if not found:
        pytest.skip("the project file names no service and no shared folder")
    return found


@pytest.fixture(scope="session")
def layout(deployer: Client, goal: Goal) -> Layout:
    """The ids of the projects that hold the folders of the project file."""
    return call_or_fail(lambda: locate(deployer, goal))


class Seen(NamedTuple):
    """Everybody's access, and the id of the deployer's client secret."""

    access: AccessState
    deployer_secret: str


@pytest.fixture(scope="session")
def seen_access(
    connection: Connection,
    deployer: Client,
    admin: Client,
    actual_state: Actual,
    goal: Goal,
    secrets: dict[str, Secret],
) -> Seen:
    access = call_or_fail(
        lambda: read_access(
            deployer,
            goal,
            actual_state,
            lambda: admin,
            secrets["deployer.env: INFISICAL_CLIENT_ID"].reveal(),
        )
    )
    first = connection.quietly("head -n 1 /etc/infisical/deployer.env")
    secret = secrets["deployer.env: INFISICAL_CLIENT_SECRET"].reveal()
    is_named = first.startswith("# client secret ")
    # If the file lacks the id, take the one that Infisical lists.
    return Seen(access, first.removeprefix("# client secret ").strip() if is_named else secret[:4])


@pytest.fixture(scope="session")
def logins(connection: Connection, api: Client, workspace: Workspace) -> dict[str, Login]:
    """One login of each service's identity, by name; a failed login is not repeated."""
    return log_in(api, read_credentials(connection, workspace))
