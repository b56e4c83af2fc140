"""Options of several commands, and the connection to the host that they name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infisical_iac.core.own_repository import INVENTORY
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings

# The exit status of a command that succeeded and found something that needs attention.
FOUND = 2

# Takes the lock of a connected host. Raises Refused if another run holds it.
Lock = Callable[["Host"], None]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def name_inventory(*names: str, help: str, connects: bool = True) -> Decorator:
    """Return the option for the inventory, with additional names and its own help text.

    Args:
        connects: whether the command connects to the hosts, so that it gets `--accept-host-key`.
    """
    inventory = click.option(
        *("-i", "--inventory", *names, "inventory"),
        type=click.Path(),
        default=INVENTORY,
        envvar="INFISICAL_IAC_INVENTORY",
        show_default=True,
        show_envvar=True,
        help=help,
    )
    if not connects:
        return inventory
    return lambda command: inventory(accept_host_key_option(command))


def _accept_host_keys(
    context: click.Context, parameter: click.Parameter, fingerprints: tuple[str, ...]
) -> None:
    if fingerprints:
        # The import is slow, and most commands are run without the option.
        from infisical_iac.core import host_keys

        host_keys.set_accepted(fingerprints)


accept_host_key_option = click.option(
    "--accept-host-key",
    metavar="SHA256:…",
    multiple=True,
    envvar="INFISICAL_IAC_ACCEPT_HOST_KEY",
    show_envvar=True,
    expose_value=False,
    callback=_accept_host_keys,
    help="Fingerprint of an unknown SSH host key to accept. Repeat it for several hosts.",
)


inventory_option = name_inventory(help="The inventory that names the host.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
html_option = click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page for a browser to this file: static, without scripts and secrets.",
)
yes_option = click.option("--yes", is_flag=True, help="Skip the confirmation question.")


def project_file_option(former: str) -> Decorator:
    """Return the option `--project-file`; its former name is hidden, and warns."""

    def add_option(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "--project-file",
            type=click.Path(path_type=Path),
            help="The project file. [default: the setting workspace_file]",
        )
        # 0.3 removes this former name.
        @click.option(former, "former_file", type=click.Path(path_type=Path), hidden=True)
        @wraps(command)
        def with_project_file(
            *args: Any, project_file: Path | None, former_file: Path | None, **options: Any
        ) -> Any:
            if former_file:
                echo(f"Warning: {former} is now called --project-file: use that name", err=True)
            return command(*args, project_file=project_file or former_file, **options)

        return with_project_file

    return add_option


def lock_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--lock-timeout` and `--break-lock` to a command, as one argument `lock` of type Lock."""

    @click.option(
        "--lock-timeout",
        type=click.IntRange(min=0),
        default=5,
        show_default=True,
        help="Seconds to wait for another run on the host to release its lock.",
    )
    @click.option("--break-lock", is_flag=True, help="Break a stale lock.")
    @wraps(command)
    def with_lock(*args: Any, lock_timeout: int, break_lock: bool, **options: Any) -> Any:
        def take(host: "Host") -> None:
            from infisical_iac.core import lock

            lock.take(host, wait=lock_timeout, by_force=break_lock)

        return command(*args, lock=take, **options)

    return with_lock


@contextmanager
def open_host(
    inventory: str, lock: Lock | None = None, *, quorum: bool = True
) -> "Iterator[tuple[Host, Settings]]":
    """Connect to the host of an inventory, and yield it with its settings.

    Args:
        lock: takes the host's lock; None for a command that only reads.
        quorum: as of `core.inventory.connect`.
    """
    # The import patches the process with gevent, which commands without a host do not need.
    from infisical_iac.core import inventory as hosts
    from infisical_iac.core.settings import load

    with hosts.connect(inventory, quorum=quorum) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        if lock:
            lock(host)
        yield host, settings
