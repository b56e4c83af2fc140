"""Connect to the hosts of an inventory, as pyinfra's own command line does."""

# This import patches the process with gevent, and must come before all others.
import pyinfra_cli  # noqa: F401, I001

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from infisical_iac.core.terminal import echo
import gevent  # type: ignore[import-untyped]
from pyinfra import logger
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory

from infisical_iac.core.connection import (
    UnknownKey,
    current,
    verify_host_keys,
    without_delay,
)
from infisical_iac.core.errors import SettingsError, Unreachable, UserError
from infisical_iac.core.own_repository import require_inventory
from infisical_iac.core import host_keys, lock
from infisical_iac.core.topology import InventoryHosts, hook, topology_of


class _Errors(logging.Handler):
    """A log handler that collects errors as plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.all.append(click.unstyle(record.getMessage()).strip())

    @property
    def last(self) -> str:
        """The last error; empty if there is none."""
        return self.all[-1] if self.all else ""

    def of(self, host: Host) -> str:
        """Return the last error about a host, without the host's name."""
        prefix = click.unstyle(host.print_prefix).strip()
        found = [each for each in self.all if each.startswith(prefix)]
        return found[-1].removeprefix(prefix).strip() if found else "no reason given"


# A host may be behind jump hosts, whose keys are asked for one after the other.
_MOST_QUESTIONS = 10


class _HostKeyErrors(BaseStateCallback):
    """The hosts that were not connected to because of a host key.

    Attributes:
        unknown: the unknown keys, by host; a jump host's key is listed under the host behind it.
        refused: the errors about keys that can't be accepted.
    """

    def __init__(self) -> None:
        self.unknown: dict[Host, UnknownKey] = {}
        self.refused: list[UserError] = []

    def host_connect_error(  # type: ignore[override]
        self, state: State, host: Host, error: Exception
    ) -> None:
        match error.args:
            case [_, UnknownKey() as unknown]:
                self.unknown[host] = unknown
            case [_, UserError() as refused]:
                self.refused.append(refused)

    def take_unknown(self) -> dict[Host, UnknownKey]:
        """Return the unknown keys, and forget them. Raises the first of the refused errors."""
        if self.refused:
            raise self.refused[0]
        found, self.unknown = self.unknown, {}
        return found


@contextmanager
def connect(
    inventory: str,
    *,
    quorum: bool = True,
    shares: bool = True,
    check: Callable[[Sequence[Host]], None] = lambda _: None,
) -> Iterator[Host]:
    """Connect to the hosts of an inventory, and make one of them current in this context.

    That is the single host or, of a cluster, the leader. Unreachable hosts of a cluster are
    reported.

    Args:
        inventory: an inventory file, or a host as pyinfra's connectors name it, such as `@local`.
        quorum: whether a cluster must have a quorum; without one it can only be inspected.
        shares: whether to copy the leader's keys and records to the other hosts at the end, if the
            lock was taken. A deploy has a step for that.
        check: called with all hosts before the first connection; raises a UserError to end there.

    pyinfra's log is not printed; its errors are in the error that is raised. Raises SettingsError
    for an inventory that can't be used, Unreachable if no host can be reached, and Refused for a
    host key that is not accepted, or for a cluster on which nothing should be done.
    """
    verify_host_keys()
    with _open(inventory) as (state, errors), _interruptible():
        check(list(state.inventory))
        yield from _connect_hosts(state, inventory, errors, quorum=quorum, shares=shares)


@contextmanager
def read_hosts(inventory: str) -> Iterator[list[Host]]:
    """Yield the hosts of an inventory with their data, without a connection to any.

    Raises SettingsError for an inventory that can't be used.
    """
    with _open(inventory) as (state, _):
        yield list(state.inventory)


@contextmanager
def _open(inventory: str) -> Iterator[tuple[State, _Errors]]:
    errors = _Errors()
    logger.handlers, logger.propagate = [errors], False
    require_inventory(inventory)
    state = State(check_for_changes=False)
    config = Config()  # type: ignore[no-untyped-call]
    with ctx_state.use(state), ctx_config.use(config):
        try:
            hosts = make_inventory(inventory, cwd=str(Path.cwd()))
            state.init(hosts, config)
        except (PyinfraError, SystemExit) as error:
            raise SettingsError(str(error), code="settings.inventory") from None
        except Exception as error:  # An inventory is a program, which can raise anything.
            raise SettingsError(
                f"{inventory} is no inventory that can be read ({error}): name one such as "
                "inventory/hetzner.py, or correct this file",
                code="settings.inventory",
            ) from None
        with ctx_inventory.use(hosts):
            yield state, errors


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C interrupt the main greenlet, and not the one that happens to run.

    gevent's own handlers run in its loop only, which stands still at a question.
    """
    main = gevent.getcurrent()

    def raise_interrupt(*_: object) -> None:
        sys.unraisablehook = _pass_over
        if gevent.getcurrent() is main:
            raise KeyboardInterrupt
        gevent.get_hub().loop.run_callback(main.throw, KeyboardInterrupt)

    signal.signal(signal.SIGINT, raise_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _pass_over(_: object) -> None:
    """Print nothing about an error that Python can't raise.

    An interrupted run leaves greenlets that read a command's output. At the end of the process,
    gevent's loop has ended, and each of them would print a traceback.
    """


def _connect_hosts(
    state: State, inventory: str, errors: _Errors, *, quorum: bool, shares: bool
) -> Iterator[Host]:
    hosts = list(state.inventory)
    answering = hook(InventoryHosts, topology_of(hosts))()
    if len(hosts) != 1 and not answering.several:
        raise SettingsError(
            f"{inventory} names {len(hosts)} hosts: give an inventory of one, or set "
            "topology to 'swarm' for all of them if they are a cluster",
            code="settings.inventory",
        )
    try:
        state.set_stage(StateStage.Connect)
        _connect_verified(state)
        for host in hosts:
            if host in state.active_hosts:
                without_delay(host)
            else:
                echo(f"Note: {host.name} can't be reached: {errors.of(host)}", err=True)
        host = answering.leader(hosts, quorum=quorum)
        with current(host):
            try:
                yield host
            finally:
                if shares and lock.is_held(host):
                    answering.share()
    except PyinfraError as error:
        failure = f"{hosts[0].name} can't be reached" if len(hosts) == 1 else "no host answers"
        raise Unreachable(errors.last or f"{failure}: {error}", code="unreachable.host") from None
    finally:
        disconnect_all(state)


def _connect_verified(state: State) -> None:
    """Connect to all hosts of the state, and ask a person about each unknown host key.

    No other host waits for the answer: a host with an unknown key is connected to once the key is
    accepted.

    Raises PyinfraError if no host is connected, and Refused for a key that is not accepted.
    """
    errors = _HostKeyErrors()
    state.add_callback_handler(errors)  # type: ignore[no-untyped-call]
    failure = None
    try:
        connect_all(state)
    except PyinfraError as error:
        failure = error
    for _ in range(_MOST_QUESTIONS):
        if not (unknown := errors.take_unknown()):
            break
        host_keys.ask_to_accept(dict(unknown.values()))
        for host in unknown:
            host.connect()
            if host.connected:
                state.failed_hosts.discard(host)
                state.activate_host(host)
    if failure and not state.active_hosts:
        raise failure
