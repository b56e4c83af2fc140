"""Where the inside of Infisical is reached: through a host's SSH, or at a URL."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.errors import UserError
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Isolation, Workspace

if TYPE_CHECKING:
    from pyinfra.api.host import Host

_VARIABLES = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", "INFISICAL_ADMIN_EMAIL")


class ReachError(UserError):
    """There is no way to the API as things are given."""


@dataclass(frozen=True)
class Reached:
    """An Infisical, and what is wanted inside it.

    `remembered` tells environments by the slugs they had after the last run, and `remember`
    keeps those for the next; at a URL there is nowhere to keep them.
    """

    client: Client
    desired: Workspace
    isolation: Isolation
    admin_email: str
    remembered: Mapping[str, str]
    remember: Callable[[Mapping[str, str]], None]


@contextmanager
def reach(
    inventory: str, file: Path | None, isolation: Isolation | None, *, writes: bool = False
) -> Iterator[Reached]:
    """The Infisical at INFISICAL_API_URL if that is set, else the one on the inventory's host.

    Args:
        file: the workspace file; None takes the host's setting, or the shipped one.
        isolation: None takes the host's setting, or `privilege`.
        writes: whether changes are to be made; the host is then locked against other runs.

    Raises a UserError if neither can be had.
    """
    url = os.environ.get("INFISICAL_API_URL", "")
    if url:
        with _at(url, file or Path("group_data/chainalign.yaml"), isolation) as reached:
            yield reached
    else:
        with _on_host(inventory, file, isolation, writes) as reached:
            yield reached


@contextmanager
def _at(url: str, file: Path, isolation: Isolation | None) -> Iterator[Reached]:
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise ReachError(f"INFISICAL_API_URL is set, but not {' and '.join(missing)}: set them too")
    if not url.startswith(("http://", "https://")):
        raise ReachError(f"INFISICAL_API_URL is {url!r}: write https:// and the server's name")
    id, secret, email = (os.environ[name] for name in _VARIABLES)
    desired = load(file)
    with Client(url.rstrip("/").removesuffix("/api")) as client:
        authorized = login.universal(client, id, secret)
        yield Reached(authorized, desired, isolation or "privilege", email, {}, lambda _: None)


@contextmanager
def _on_host(
    inventory: str, file: Path | None, isolation: Isolation | None, writes: bool
) -> Iterator[Reached]:
    # Importing these gives the process to gevent, which the way by URL has no need of.
    from infisical_iac.cli.connect import connected
    from infisical_iac.operations import lock, session, workspace
    from infisical_iac.settings import load as load_settings

    with connected(inventory) as host:
        settings = load_settings(_data(host))
        if writes:
            lock.take(host)
        yield Reached(
            session.deployer(settings.http_port),
            load(file or Path(settings.workspace_file)),
            isolation or settings.isolation,
            settings.admin_email,
            workspace.remembered(),
            workspace.keep,
        )


def _data(host: "Host") -> Mapping[str, object]:
    data: Mapping[str, object] = host.data.dict()  # type: ignore[no-untyped-call]
    return data
