"""Write the cache, and start from it while Infisical is down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .bootstrap import Bootstrap
    from .cache import Cache


def keep(
    cache: Cache, place: Bootstrap, secrets: Mapping[str, str], warn: Callable[[str], None]
) -> None:
    """Write the answer into the cache; a failure is only a warning."""
    try:
        cache.save(secrets, place)
    except OSError as error:
        warn(f"the cache {cache.file} can't be written ({error.strerror}): check its directory")
    except UnicodeError:  # the cache's key is derived from it
        warn(f"the cache {cache.file} can't be written: the client secret is not text in UTF-8")


def instead(
    cache: Cache, place: Bootstrap, error: ConfigError, warn: Callable[[str], None]
) -> dict[str, str]:
    """Return the values of the last good start, with a warning.

    Raises the given error if there are none, or only too old ones.
    """
    from .sealing import Unreadable

    try:
        cached = cache.read(place)
    except FileNotFoundError:
        raise error from None
    except (Unreadable, OSError):
        warn(
            f"the cache {cache.file} can't be used: it is damaged, or belongs to another "
            "credential or place"
        )
        raise error from None
    age = words(cached.age)
    if cached.age > cache.max_age:
        too_old = f"the cache {cache.file} is {age} old, older than {words(cache.max_age)}"
        raise ConfigError(error.code, f"{error}; {too_old}")
    warn(f"{error}. STARTING WITH THE CACHE {cache.file}, which is {age} old")
    return cached.secrets


def words(seconds: float) -> str:
    """Return a time span for people, such as `5 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min" if seconds < 7200 else f"{seconds // 3600:.0f} h"
