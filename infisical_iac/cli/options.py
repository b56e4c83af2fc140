"""Options of several commands, and the connection to the host that they name."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infisical_iac.core.errors import FileError
from infisical_iac.core.own_repository import INVENTORY
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings


class LocalPath(click.Path):
    """The type of an option or argument that takes a path on this machine; its value is a Path.

    A path that can't be used raises FileError, not an error of usage: its sentence has a remedy and
    a code.

    Args:
        exists: whether there must be such a file or directory.
        file_okay, dir_okay: whether it may be a file, and whether it may be a directory.
    """

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True
    ) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as a Path. Raises FileError if it can't be used."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise self._refusal(Path(value), param) from None

    def _refusal(self, path: Path, param: click.Parameter | None) -> FileError:
        kind = (
            "directory"
            if not self.file_okay
            else "file"
            if not self.dir_okay
            else "file or directory"
        )
        name = ""
        if param:
            option = isinstance(param, click.Option)
            name = max(param.opts, key=len) if option else param.human_readable_name.strip("[].")
        if not path.exists():
            where = "" if path.is_absolute() else f" in {Path.cwd()}"
            return FileError(
                f"there is no {kind} {path}{where}: give an existing one as {name}",
                code="file.missing",
            )
        if path.is_dir() and not self.dir_okay:
            return FileError(f"{path} is a directory: give a file as {name}", code="file.directory")
        if not path.is_dir() and not self.file_okay:
            return FileError(
                f"{path} is not a directory: give one as {name}", code="file.no_directory"
            )
        return FileError(f"{path} can't be read: check its permissions", code="file.not_readable")


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
    type=LocalPath(dir_okay=False),
    help="Also write a page for a browser to this file: static, without scripts and secrets.",
)
yes_option = click.option("--yes", is_flag=True, help="Skip the confirmation question.")


_project_file = click.option(
    "--project-file",
    type=LocalPath(),
    help="The project file. [default: the setting workspace_file]",
)


def project_file_option(former: str = "") -> Decorator:
    """Return the option `--project-file`; a former name is hidden, and warns."""
    if not former:
        return _project_file

    def add_option(command: Callable[..., Any]) -> Callable[..., Any]:
        @_project_file
        # 0.3 removes this former name.
        @click.option(former, "former_file", type=LocalPath(), hidden=True)
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
    """Add `--lock-timeout` and `--break-lock` to a command, as one argument `lock` of type Lock.

    It prints the ends of changes that no command has followed.
    """
    return _with_lock(command, _tell_ended)


def quiet_lock_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options as `lock_options` does, for a command that prints such ends by itself."""
    return _with_lock(command, lambda _: None)


def _tell_ended(host: "Host") -> None:
    from infisical_iac.change import ended
    from infisical_iac.core import lock
    from infisical_iac.core.connection import current
    from infisical_iac.core.settings import load

    for each in lock.with_untold_ends(host):
        with current(each):
            sentences, _ = ended.tell(load(each.data.dict()))  # type: ignore[no-untyped-call]
        for sentence in sentences:
            echo(sentence, err=True)


def _with_lock(command: Callable[..., Any], then: "Callable[[Host], None]") -> Callable[..., Any]:
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
            then(host)

        return command(*args, lock=take, **options)

    return with_lock


@contextmanager
def open_host(
    inventory: str,
    lock: Lock | None = None,
    *,
    quorum: bool = True,
    shares: bool = True,
    check: "Callable[[Settings], object]" = lambda _: None,
) -> "Iterator[tuple[Host, Settings]]":
    """Connect to the host of an inventory, and yield it with its settings.

    The settings are read before the connection, so that a mistake in them is reported at once.

    Args:
        lock: takes the host's lock; None for a command that only reads.
        quorum, shares: as of `core.inventory.connect`.
        check: called with each host's settings before the first connection; raises a UserError to
            end there.
    """
    # The import patches the process with gevent, which commands without a host do not need.
    from infisical_iac.core import inventory as hosts
    from infisical_iac.core.settings import load

    settings: dict[str, Settings] = {}

    def read_settings(found: "Sequence[Host]") -> None:
        for each in found:
            settings[each.name] = load(each.data.dict())  # type: ignore[no-untyped-call]
            check(settings[each.name])

    with hosts.connect(inventory, quorum=quorum, shares=shares, check=read_settings) as host:
        if lock:
            lock(host)
        yield host, settings[host.name]


def require_project_file(settings: "Settings") -> None:
    """Raise FileError for a mistake in the project file: a check before any connection."""
    from infisical_iac.workspace.load import load_declared

    load_declared(settings.workspace)
