"""One host of an inventory, connected as pyinfra's own command line connects it."""

# It gives the process to gevent and must do so before anything else is imported by it.
import pyinfra_cli  # noqa: F401, I001

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import gevent  # type: ignore[import-untyped]
from pyinfra import logger
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory

from infisical_iac.connection import without_delay
from infisical_iac.errors import UserError


class ConnectError(UserError):
    """The inventory names no single host that can be connected to."""


class _Errors(logging.Handler):
    """Keeps the last error that was logged, as plain text."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.last = click.unstyle(record.getMessage()).strip()


@contextmanager
def connected(inventory: str) -> Iterator[Host]:
    """The only host of an inventory, connected and current for facts and commands.

    pyinfra's own log is kept quiet; what it says of an error is in the error that is raised.
    Raises ConnectError if there is none, if there are several, or if it can't be reached.
    """
    errors = _Errors()
    logger.handlers, logger.propagate = [errors], False
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    if not Path("group_data/all.py").is_file():
        raise ConnectError("this is not the directory of this project: change to it")
    if "@" not in inventory and not Path(inventory).is_file():
        raise ConnectError(f"there is no inventory {inventory}: see those in inventory/")
    state = State(check_for_changes=False)
    config = Config()  # type: ignore[no-untyped-call]
    with ctx_state.use(state), ctx_config.use(config):
        try:
            hosts = make_inventory(inventory, cwd=str(Path.cwd()))
            state.init(hosts, config)
        except (PyinfraError, SystemExit) as error:
            raise ConnectError(str(error)) from None
        except Exception as error:  # it is a program, which may fail in any way
            raise ConnectError(f"{inventory} can't be read: {error}") from None
        with ctx_inventory.use(hosts), _interruptible():
            yield from _only(state, inventory, errors)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt the work itself, not whatever greenlet happens to run."""
    main = gevent.getcurrent()
    watcher = gevent.signal_handler(signal.SIGINT, main.throw, KeyboardInterrupt)
    try:
        yield
    finally:
        watcher.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _only(state: State, inventory: str, errors: _Errors) -> Iterator[Host]:
    names = [host.name for host in state.inventory]
    if len(names) != 1:
        raise ConnectError(f"{inventory} names {len(names)} hosts: give an inventory of one")
    try:
        state.set_stage(StateStage.Connect)
        connect_all(state)
        host = state.inventory.get_host(names[0])
        without_delay(host)
        with ctx_host.use(host):
            yield host
    except PyinfraError as error:
        raise ConnectError(errors.last or f"{names[0]} can't be connected to: {error}") from None
    finally:
        disconnect_all(state)
