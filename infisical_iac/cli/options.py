"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pyinfra.api.host import Host

# The exit status of a command that did its work and found something for people to look at.
FOUND = 2

inventory_option = click.option(
    *("-i", "--inventory"),
    type=click.Path(),
    default="inventory/hetzner.py",
    envvar="INFISICAL_IAC_INVENTORY",
    show_default=True,
    show_envvar=True,
    help="The inventory that names the host.",
)
workspace_file_option = click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="The workspace file [default: the setting workspace_file]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")


_lock_timeout = click.option(
    "--lock-timeout",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Seconds to wait for another run on the host to end.",
)
_break_lock = click.option(
    "--break-lock", is_flag=True, help="Take the lock from another run, which is surely gone."
)


def lock_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--lock-timeout` and `--break-lock`, for commands that change the host."""
    return _lock_timeout(_break_lock(command))


def locking(lock_timeout: int, break_lock: bool) -> "Callable[[Host], None]":
    """Return what takes the lock of a connected host as those options say; it raises Locked."""

    def take(host: "Host") -> None:
        from infisical_iac.core import lock

        lock.take(host, wait=lock_timeout, by_force=break_lock)

    return take
