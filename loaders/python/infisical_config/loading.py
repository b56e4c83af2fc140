"""One start: find the place, read its secrets, make the configuration of them."""

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
    """Read the configuration of this service from Infisical, with two requests.

    Args:
        schema: a pydantic model; then the model made of the values comes back.
        options: see Options.

    Raises ConfigError.
    """
    start = Start(**options)
    place = start.place()
    reader = connect(place)
    try:
        secrets = first(reader, start, place)
    finally:
        reader.close()
    return start.finish(start.values(secrets, place), place)


def connect(place: Bootstrap) -> Reader:
    """Return what reads the secrets of a place; nothing is asked yet."""
    from .fetching import Reader  # with the SDK, whose import takes longer than all the rest

    return Reader(place)


def first(reader: Reader, start: Start, place: Bootstrap) -> dict[str, str]:
    """Return what the server says, or the cache if the server can't be asked; raises
    ConfigError.
    """
    Refusals(place, start.environ, start.cache).check()
    try:
        secrets = read(reader, start, place)
    except ConfigError as error:
        if start.cache is None or error.exit_code != TRY_AGAIN_LATER:
            raise
        return fallback.instead(start.cache, place, error, start.warn)
    if start.cache:
        fallback.keep(start.cache, place, secrets, start.warn)
    return secrets


def read(reader: Reader, start: Start, place: Bootstrap) -> dict[str, str]:
    """Return what the server says; a credential that it refuses is noted. Raises ConfigError."""
    try:
        return reader.read(start.timeout)
    except ConfigError:
        if reader.is_refused:
            Refusals(place, start.environ, start.cache).add()
        raise
