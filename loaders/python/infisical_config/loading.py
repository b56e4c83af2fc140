"""Start a service: find the place, read its secrets, make the configuration from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

from . import fallback
from .errors import TRY_AGAIN_LATER, ConfigError
from .refusals import Refusals
from .starting import Options, Start

if TYPE_CHECKING:
    from .bootstrap import Bootstrap
    from .fetching import Reader
    from .schema import M
    from .view import Config


@overload
def load(*, schema: type[M], **options: Unpack[Options]) -> M: ...
@overload
def load(*, schema: None = None, **options: Unpack[Options]) -> Config: ...
def load(**options: Any) -> Any:
    """Read the configuration of this service from Infisical: log in, then list each folder.

    Args:
        schema: a pydantic model; then an instance of it is returned.
        options: see Options.

    Raises ConfigError.
    """
    start = Start(**options)
    place = start.place()
    return start.finish(start.values(fetch(start, place), place), place)


def fetch(start: Start, place: Bootstrap) -> dict[str, str]:
    """Return the secrets of a place; raises ConfigError."""
    reader = connect(start, place)
    try:
        return first(reader, start, place)
    finally:
        reader.close()


def connect(start: Start, place: Bootstrap) -> Reader:
    """Return a reader of the secrets of a place; makes no request yet."""
    from .fetching import Folder, Reader  # imports http.client and ssl, which take long

    folder = Folder
    if start.client == "sdk":
        from .sdk import SdkFolder

        folder = SdkFolder
    return Reader(place, Refusals(place, start.environ, start.cache), folder)


def first(reader: Reader, start: Start, place: Bootstrap) -> dict[str, str]:
    """Return the server's secrets, or cached ones if it is down.

    Raises ConfigError.
    """
    # The cache's key is derived from the client secret.
    has_secret = not place.person and place.platform is None
    cache = start.cache if has_secret else None
    if has_secret:
        Refusals(place, start.environ, cache).check()
    try:
        secrets = read(reader, start, place, waits=True)
    except ConfigError as error:
        if cache is None or error.exit_code != TRY_AGAIN_LATER:
            raise
        return fallback.instead(cache, place, error, start.warn)
    if cache:
        fallback.keep(cache, place, secrets, start.warn)
    return secrets


def read(reader: Reader, start: Start, place: Bootstrap, *, waits: bool = False) -> dict[str, str]:
    """Return the server's secrets; raises ConfigError.

    Args:
        waits: whether to wait after a refusal that can't be noted.
    """
    try:
        return reader.read(start.timeout)
    except ConfigError:
        if reader.is_forgotten and waits:
            Refusals(place, start.environ, start.cache).wait(start.warn)
        raise
