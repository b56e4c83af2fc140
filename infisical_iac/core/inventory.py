"""The hosts of an inventory, connected as pyinfra's own command line connects them."""

# It gives the process to gevent and must do so before anything else is imported by it.
import pyinfra_cli  # noqa: F401, I001

import logging
import signal
from collections.abc import Iterator
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
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory

from infisical_iac.core.connection import current, without_delay
from infisical_iac.core.errors import SettingsError, Unreachable
from infisical_iac.core import lock
from infisical_iac.core.topology import InventoryHosts, hook, topology_of


class _Errors(logging.Handler):
    """Keeps the errors that were logged, as plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.all.append(click.unstyle(record.getMessage()).strip())

    @property
    def last(self) -> str:
        """The last one, empty if there is none."""
        return self.all[-1] if self.all else ""

    def of(self, host: Host) -> str:
        """The last one about a host, without its name."""
        prefix = click.unstyle(host.print_prefix).strip()
        found = [each for each in self.all if each.startswith(prefix)]
        return found[-1].removeprefix(prefix).strip() if found else "no reason given"


@contextmanager
def connect(inventory: str, *, quorum: bool = True, shares: bool = True) -> Iterator[Host]:
    """The host of an inventory, connected and current for facts and commands.

    Of a cluster it is the lead; the others are connected too, and what a command that took the
    lock has made of the state that they share is given to them at its end. Those that can't be
    reached are told.

    pyinfra's own log is kept quiet; what it says of an error is in the error that is raised.
    Raises SettingsError if there is none, if there are several that are no cluster, or if none
    can be reached, and Refused for a cluster that nothing should be done to.

    Args:
        quorum: whether a cluster must be able to work; else it is only looked at.
        shares: whether to give the others what has been changed; a deploy does so by itself.
    """
    errors = _Errors()
    logger.handlers, logger.propagate = [errors], False
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    if not Path("group_data/all.py").is_file():
        raise SettingsError(
            "this is not the directory of this project: change to it", code="settings.inventory"
        )
    if "@" not in inventory and not Path(inventory).is_file():
        raise SettingsError(
            f"there is no inventory {inventory}: see those in inventory/", code="settings.inventory"
        )
    state = State(check_for_changes=False)
    config = Config()  # type: ignore[no-untyped-call]
    with ctx_state.use(state), ctx_config.use(config):
        try:
            hosts = make_inventory(inventory, cwd=str(Path.cwd()))
            state.init(hosts, config)
        except (PyinfraError, SystemExit) as error:
            raise SettingsError(str(error), code="settings.inventory") from None
        except Exception as error:  # it is a program, which may fail in any way
            raise SettingsError(
                f"{inventory} can't be read: {error}", code="settings.inventory"
            ) from None
        with ctx_inventory.use(hosts), _interruptible():
            yield from _connect_hosts(state, inventory, errors, quorum=quorum, shares=shares)


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
        connect_all(state)
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
        named = hosts[0].name if len(hosts) == 1 else "no host"
        raise Unreachable(
            errors.last or f"{named} can't be connected to: {error}", code="unreachable.host"
        ) from None
    finally:
        disconnect_all(state)
