"""Connect to a host once, by pyinfra, for testinfra and for the client of the API."""

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import paramiko
import testinfra  # type: ignore[import-untyped]
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from infisical_iac.core.agent import Question, ask
from infisical_iac.core.connection import verify_host_keys, without_delay
from infisical_iac.host.machine import absence, machine_question
from infisical_iac.host.model import MachineState
from tests.host.target import Target, TargetError

# testinfra's class Host; the package has no types.
Host: TypeAlias = Any
T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """A host to run commands on as root.

    Attributes:
        host: testinfra's object for the host.
        ssh: the SSH connection, None for the machine that the tests run on.
        sudo: whether the user needs sudo to be root.
    """

    host: Host
    ssh: paramiko.Transport | None
    sudo: bool

    def quietly(self, command: str, stdin: str = "", *, as_root: bool = True) -> str:
        """Return the standard output of a command that reads or prints secrets.

        Neither `stdin` nor the output is logged. The exit status is ignored.
        """
        words = ["sudo", "sh", "-c", command] if self.sudo and as_root else ["sh", "-c", command]
        if self.ssh is None:
            done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=120)
            return done.stdout
        channel = self.ssh.open_session()
        channel.settimeout(120)
        channel.exec_command(shlex.join([*words[:-1], f"exec 2>/dev/null; {command}"]))
        channel.sendall(stdin.encode())
        channel.shutdown_write()
        with channel.makefile("rb") as output:
            return output.read().decode(errors="replace")

    def inspect(self, asked: Question[T]) -> T:
        """Return the answer to a question; testinfra logs neither of them."""
        return ask(asked, self.quietly)

    def machine(self) -> MachineState:
        """Return the observed state of the machine."""
        return self.inspect(machine_question())


@contextmanager
def connect(target: Target) -> Iterator[Connection]:
    """Connect as pyinfra does, with the inventory's user, port, key and known hosts.

    Raises TargetError if the host can't be reached, or if its host key is not accepted.
    """
    verify_host_keys()
    inventory = Inventory(([(target.name, target.data)], {}))  # type: ignore[no-untyped-call]
    state = State(inventory, Config())  # type: ignore[no-untyped-call]
    reached = state.inventory.get_host(target.name)
    reached.init(state)
    try:
        reached.connect(show_errors=False, raise_exceptions=True)
    except ConnectError as error:
        raise TargetError(f"{target.name} can't be reached: {error.args[0]}") from None
    without_delay(reached)
    client = getattr(reached.connector, "client", None)
    sudo = bool(target.data.get("_sudo"))
    try:
        yield _local(sudo) if client is None else _remote(client, sudo)
    finally:
        reached.disconnect()


@contextmanager
def connect_all(targets: list[Target], *, away: bool) -> Iterator[dict[str, Connection]]:
    """Yield connections to the hosts to verify, by name.

    Args:
        away: whether other hosts of the cluster are unreachable.

    Raises TargetError if a host can't be reached, or if nothing is deployed on them.
    """
    with ExitStack() as stack:
        found = {each.name: stack.enter_context(connect(each)) for each in targets}
        machines = {name: each.machine() for name, each in found.items()}
        topology = targets[0].settings.cluster.topology
        if sentence := absence(machines, topology=topology, has_unreachable=away):
            raise TargetError(sentence)
        yield found


def _local(sudo: bool) -> Connection:
    return Connection(testinfra.get_host("local://", sudo=sudo), None, sudo)


def _remote(client: paramiko.SSHClient, sudo: bool) -> Connection:
    transport = client.get_transport()
    assert transport is not None
    # testinfra caches its backends by name, and there may be several connections.
    host = testinfra.get_host(f"paramiko://verified-{id(client)}", sudo=sudo)
    host.backend.client = client
    return Connection(host, transport, sudo)
