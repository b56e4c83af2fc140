"""Options and fixtures of the host suite: one connection a host, and each thing read once."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.errors import UserError
from infisical_iac.facts.machine import MachineState
from infisical_iac.presence import absence
from infisical_iac.settings import Settings
from infisical_iac.workspace import actual
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual
from tests.host import containers, sockets, target
from tests.host.cluster import looks
from tests.host.cluster.looks import Node
from tests.host.connection import Connection, Host, connected
from tests.host.logins import Login, log_in, read_credentials, succeeding
from tests.host.secrecy import Secret
from tests.host.stored import read_secrets

_HERE = Path(__file__).resolve().parent
_INVENTORY = "inventory/hetzner.py"
# The kinds of ingress that a file of tests is for; the others are for all.
_OF_INGRESS = {
    "test_caddy.py": ("caddy",),
    "test_engine.py": ("caddy", "none"),
    "test_ingress.py": ("caddy", "traefik"),
    "test_rotation.py": ("caddy",),
}
# What is inside Infisical is the same from each node of a cluster, and asked for on one.
_ONCE = ("test_access.py", "test_api.py")
_OF_CLUSTER = _HERE / "cluster"
_TARGETS = pytest.StashKey[list[target.Target]]()
_REACHED = pytest.StashKey[list[target.Target]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--inventory",
        default=_INVENTORY,
        metavar="FILE",
        help=f"the inventory of the host to verify (default: {_INVENTORY})",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "single(why): a check of a host of its own alone")
    if not any(
        Path(each.partition("::")[0]).resolve().is_relative_to(_HERE) for each in config.args
    ):
        return
    try:
        config.stash[_TARGETS] = found = target.read(config.getoption("--inventory"))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    # Of a cluster, those that answer are verified, and what is in cluster/ tells of the others.
    reached = [each for each in found if each.answers] if len(found) > 1 else found
    if not reached:
        raise pytest.UsageError("no host of the cluster can be reached")
    for each in found:
        if each not in reached:
            print(f"Note: {each.name} can't be reached, and is not verified", file=sys.stderr)
    config.stash[_REACHED] = reached
    # The long style shows the arguments of functions, and some of those are secrets.
    config.option.tbstyle, config.option.fulltrace = "short", False
    config.option.showlocals = False


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # Whoever runs all tests of the repository, naming none, means those that need no host.
    if _TARGETS not in config.stash:
        return True
    settings = config.stash[_TARGETS][0].settings
    if collection_path == _OF_CLUSTER and settings.topology == "single":
        return True
    if collection_path.name == "test_bans.py" and settings.fail2ban == "off":
        return True
    kind = settings.ingress
    return None if kind in _OF_INGRESS.get(collection_path.name, (kind,)) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _TARGETS in config.stash and config.stash[_TARGETS][0].is_in_cluster:
        left_out = [each for each in items if each.get_closest_marker("single")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    reached = metafunc.config.stash[_REACHED]
    workspace, settings = reached[0].workspace, reached[0].settings
    if settings.topology == "swarm" and "verified" in metafunc.fixturenames:
        file = Path(str(metafunc.module.__file__))
        on = reached[:1] if file.name in _ONCE or file.parent == _OF_CLUSTER else reached
        names = [each.name for each in on]
        metafunc.parametrize("verified", on, ids=names, indirect=True, scope="session")
    if "any_service" in metafunc.fixturenames:
        metafunc.parametrize("any_service", settings.services)
    if "account" in metafunc.fixturenames:
        accounts = workspace.accounts()
        metafunc.parametrize("account", accounts, ids=[each.identity for each in accounts])
    if "environment" in metafunc.fixturenames:
        metafunc.parametrize("environment", [each.slug for each in workspace.environments])


@pytest.fixture(scope="session")
def verified(request: pytest.FixtureRequest) -> target.Target:
    """The host that is verified: of a cluster, one after the other."""
    found: target.Target = getattr(request, "param", request.config.stash[_TARGETS][0])
    return found


@pytest.fixture(scope="session")
def targets(pytestconfig: pytest.Config) -> list[target.Target]:
    """All hosts of the inventory."""
    return pytestconfig.stash[_TARGETS]


@pytest.fixture(scope="session")
def connections(pytestconfig: pytest.Config) -> Iterator[dict[str, Connection]]:
    """All hosts that can be reached, by name; there is something on them to verify."""
    reached = pytestconfig.stash[_REACHED]
    with ExitStack() as stack:
        try:
            found = {each.name: stack.enter_context(connected(each)) for each in reached}
        except target.TargetError as error:
            _end(str(error))
        machines = {name: each.machine() for name, each in found.items()}
        if sentence := absence(machines, topology=reached[0].settings.topology):
            _end(sentence)
        yield found


def _end(sentence: str) -> NoReturn:
    pytest.exit(sentence, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def nodes(connections: dict[str, Connection]) -> list[Node]:
    """The nodes of a cluster that can be reached, each looked at once."""
    return looks.nodes(connections)


@pytest.fixture(scope="session")
def settings(verified: target.Target) -> Settings:
    return verified.settings


@pytest.fixture(scope="session")
def workspace(verified: target.Target) -> Workspace:
    return verified.workspace


@pytest.fixture(scope="session")
def connection(verified: target.Target, connections: dict[str, Connection]) -> Connection:
    return connections[verified.name]


@pytest.fixture(scope="session")
def host(connection: Connection) -> Host:
    """testinfra's host, as root; in the place of the fixture that testinfra brings."""
    return connection.host


@pytest.fixture(scope="session")
def machine(connection: Connection) -> MachineState:
    return connection.machine()


@pytest.fixture(scope="session")
def info(host: Host) -> dict[str, Any]:
    """What Docker's engine says of itself."""
    found: dict[str, Any] = json.loads(host.check_output("docker info --format '{{json .}}'"))
    return found


@pytest.fixture(scope="session")
def is_worker(connection: Connection) -> bool:
    """Whether the host is one of a cluster that keeps no data."""
    return containers.is_worker(connection)


@pytest.fixture
def keeps_data(is_worker: bool) -> None:
    """Leave a test out where there is nothing for it."""
    if is_worker:
        pytest.skip("this node keeps no data, and has no keys")


@pytest.fixture(scope="session")
def elsewhere(targets: list[target.Target], settings: Settings, is_worker: bool) -> frozenset[str]:
    """The services that run on other hosts, or may: there can be more hosts than replicas."""
    if is_worker:
        return frozenset(settings.services)
    return frozenset({"infisical"} if len(targets) > settings.infisical_replicas else ())


@pytest.fixture(scope="session")
def inspected(connection: Connection, elsewhere: frozenset[str]) -> dict[str, containers.Inspected]:
    return containers.inspect(connection, elsewhere)


@pytest.fixture(scope="session")
def running(connection: Connection, elsewhere: frozenset[str]) -> dict[str, containers.Running]:
    return containers.running(connection, elsewhere)


@pytest.fixture(scope="session")
def listening(host: Host) -> list[sockets.Socket]:
    return sockets.listening(host)


@pytest.fixture(scope="session")
def secrets(
    request: pytest.FixtureRequest, connection: Connection, is_worker: bool
) -> dict[str, Secret]:
    """Those of the host; of a worker, which has none, those of the others, to look for."""
    if not is_worker:
        return read_secrets(connection)
    others: dict[str, Connection] = request.getfixturevalue("connections")
    return read_secrets(next(each for each in others.values() if not containers.is_worker(each)))


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
    """What is inside Infisical."""
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
