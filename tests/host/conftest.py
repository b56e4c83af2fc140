"""Options and fixtures of the host suite: one connection a host, and each state read once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import resolve_auto
from infisical_iac.workspace.model import Workspace
from tests.host import choosing, containers, sockets, target
from tests.host.cluster import observed
from tests.host.cluster.observed import Node
from tests.host.connection import Connection, Host, connect_all
from tests.host.secrecy import Secret
from tests.host.stored import read_secrets

_INVENTORY = "inventory/hetzner.py"
_TARGETS = pytest.StashKey[list[target.Target]]()
_REACHED = pytest.StashKey[list[target.Target]]()
_REFUSAL = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--inventory",
        default=_INVENTORY,
        metavar="FILE",
        help=f"the inventory of the host to verify (default: {_INVENTORY})",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "single(why): a check of a single host only")
    # A run of all tests of the repository selects only those that need no host.
    if not choosing.is_asked_for(config.args):
        return
    try:
        config.stash[_TARGETS] = found = target.read(config.getoption("--inventory"))
        config.stash[_REACHED] = choosing.select_reachable(found)
    except UserError as error:
        config.stash[_REFUSAL] = str(error)
    # The long style shows the arguments of functions, and some of those are secrets.
    config.option.tbstyle, config.option.fulltrace = "short", False
    config.option.showlocals = False


def pytest_collection(session: pytest.Session) -> None:
    # Pytest prints an error of `pytest_configure` itself, and `verify` would not have its sentence.
    if refusal := session.config.stash.get(_REFUSAL, ""):
        pytest.exit(refusal, returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if _TARGETS not in config.stash:
        return True
    return choosing.is_left_out(collection_path, config.stash[_TARGETS][0].settings) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _TARGETS in config.stash and config.stash[_TARGETS][0].is_in_cluster:
        for each in items:
            if marker := each.get_closest_marker("single"):
                each.add_marker(pytest.mark.skip(reason=marker.args[0]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    reached = metafunc.config.stash[_REACHED]
    workspace, settings = reached[0].workspace, reached[0].settings
    if settings.cluster.topology == "swarm" and "verified_target" in metafunc.fixturenames:
        on = choosing.select_nodes(Path(str(metafunc.module.__file__)), reached)
        names = [each.name for each in on]
        metafunc.parametrize("verified_target", on, ids=names, indirect=True, scope="session")
    if "any_service" in metafunc.fixturenames:
        metafunc.parametrize("any_service", settings.services)
    if "account" in metafunc.fixturenames:
        accounts = [each for each in workspace.accounts() if each.auth is None]
        metafunc.parametrize("account", accounts, ids=[each.identity for each in accounts])
    if "other_account" in metafunc.fixturenames:
        others = [each for each in workspace.every_account() if each not in workspace.accounts()]
        others += [each for each in workspace.accounts() if each.auth is not None]
        none = pytest.param(None, marks=pytest.mark.skip(reason="the file names no such login"))
        ids = [each.identity for each in others] or ["none"]
        metafunc.parametrize("other_account", others or [none], ids=ids)
    if "environment" in metafunc.fixturenames:
        metafunc.parametrize("environment", [each.slug for each in workspace.environments])


@pytest.fixture(scope="session")
def verified_target(request: pytest.FixtureRequest) -> target.Target:
    """The host that is verified; of a cluster, each node in turn."""
    found: target.Target = getattr(request, "param", request.config.stash[_TARGETS][0])
    return found


@pytest.fixture(scope="session")
def targets(pytestconfig: pytest.Config) -> list[target.Target]:
    """All hosts of the inventory."""
    return pytestconfig.stash[_TARGETS]


@pytest.fixture(scope="session")
def connections(pytestconfig: pytest.Config) -> Iterator[dict[str, Connection]]:
    """Connections to all reachable hosts, by name; Infisical is deployed on them."""
    reached, all_hosts = pytestconfig.stash[_REACHED], pytestconfig.stash[_TARGETS]
    try:
        with connect_all(reached, away=len(reached) < len(all_hosts)) as found:
            yield found
    except target.TargetError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def nodes(connections: dict[str, Connection]) -> list[Node]:
    """The reachable nodes of a cluster, each inspected once."""
    return observed.nodes(connections)


@pytest.fixture(scope="session")
def settings(verified_target: target.Target, machine: MachineState) -> Settings:
    return resolve_auto(verified_target.settings, machine)


@pytest.fixture(scope="session")
def workspace(verified_target: target.Target) -> Workspace:
    return verified_target.workspace


@pytest.fixture(scope="session")
def connection(verified_target: target.Target, connections: dict[str, Connection]) -> Connection:
    return connections[verified_target.name]


@pytest.fixture(scope="session")
def host(connection: Connection) -> Host:
    """testinfra's host, as root; it replaces testinfra's own fixture."""
    return connection.host


@pytest.fixture(scope="session")
def machine(connection: Connection) -> MachineState:
    return connection.machine()


@pytest.fixture(scope="session")
def info(host: Host) -> dict[str, Any]:
    """The output of `docker info`."""
    found: dict[str, Any] = json.loads(host.check_output("docker info --format '{{json .}}'"))
    return found


@pytest.fixture(scope="session")
def is_worker(connection: Connection) -> bool:
    """Return whether the host is a worker of a cluster, which keeps no data."""
    return containers.is_worker(connection)


@pytest.fixture
def keeps_data(is_worker: bool) -> None:
    """Skip a check of data and keys on a worker."""
    if is_worker:
        pytest.skip("this node keeps no data, and has no keys")


@pytest.fixture(scope="session")
def hardening(settings: Settings) -> None:
    """Skip a check of hardening if the setting `hardening` is off."""
    if settings.host.hardening == "off":
        pytest.skip("setting 'hardening' is off, and the host is left as it was")


@pytest.fixture(scope="session")
def elsewhere(targets: list[target.Target], settings: Settings, is_worker: bool) -> frozenset[str]:
    return containers.elsewhere(settings, hosts=len(targets), is_worker=is_worker)


@pytest.fixture(scope="session")
def inspections(
    connection: Connection, elsewhere: frozenset[str]
) -> dict[str, containers.Inspected]:
    return containers.inspect(connection, elsewhere)


@pytest.fixture(scope="session")
def running(connection: Connection, elsewhere: frozenset[str]) -> dict[str, containers.Running]:
    return containers.running(connection, elsewhere)


@pytest.fixture(scope="session")
def listening(host: Host) -> list[sockets.Socket]:
    return sockets.listening(host)


@pytest.fixture(scope="session")
def secrets(
    connection: Connection, connections: dict[str, Connection], is_worker: bool
) -> dict[str, Secret]:
    """The host's secrets; for a worker, which has none, those of a data node."""
    if not is_worker:
        return read_secrets(connection)
    others = connections.values()
    return read_secrets(next(each for each in others if not containers.is_worker(each)))
