"""A configuration that follows Infisical while the process runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from . import fallback
from .errors import ConfigError
from .loading import connect, first, read
from .starting import Options, Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from .schema import M
    from .view import Config

C = TypeVar("C")

_LONGEST_BACK_OFF = 10  # times the interval
_FINAL = {"refused", "locked"}  # another try could lock the identity


class Watch(Generic[C]):
    """A regular read of the secrets, in a thread that does not keep the process alive.

    Attributes:
        config: the configuration of the last read.
    """

    config: C

    def __init__(
        self,
        every: float,
        on_change: Callable[[C, list[str]], object] | None,
        on_error: Callable[[Exception], object] | None,
        start: Start,
    ) -> None:
        if start.client == "sdk":
            raise ConfigError(
                "not_configured",
                "a watch sends requests with ETags, which the SDK can't: leave out the option "
                "client",
            )
        self._every = every
        self._on_change = on_change or (lambda config, names: None)
        self._on_error = on_error or (lambda error: start.warn(str(error)))
        self._start = start
        self._place = start.place()
        self._reader = connect(start, self._place)
        self._secrets = first(self._reader, start, self._place)
        self._values = start.values(self._secrets, self._place)
        self.config = start.finish(self._values, self._place)
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="infisical-config", daemon=True).start()

    def stop(self) -> None:
        """Stop reading, without waiting for a request that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.wait(self._every * min(2**failures, _LONGEST_BACK_OFF)):
            try:
                self._poll()
                failures = 0
            except Exception as error:  # including the callback's: it must not end the watch
                failures += 1
                self._report(error)
        self._reader.close()

    def _poll(self) -> None:
        secrets = read(self._reader, self._start, self._place)
        if self._stopped.is_set():
            return
        if self._start.cache and self._place.client_secret:  # unchanged values are up to date too
            fallback.keep(self._start.cache, self._place, secrets, self._start.warn)
        if secrets == self._secrets:
            return
        values = self._start.values(secrets, self._place)
        names = sorted(
            name
            for name in values.keys() | self._values.keys()
            if values.get(name) != self._values.get(name)
        )
        if names:
            self.config = self._start.finish(values, self._place)
        self._secrets, self._values = secrets, values
        if names:
            self._on_change(self.config, names)

    def _report(self, error: Exception) -> None:
        if isinstance(error, ConfigError) and error.code in _FINAL:
            self._stopped.set()
        self._on_error(error)


@overload
def watch(
    *,
    every: float = 60,
    on_change: Callable[[M, list[str]], object] | None = None,
    on_error: Callable[[Exception], object] | None = None,
    schema: type[M],
    **options: Unpack[Options],
) -> Watch[M]: ...
@overload
def watch(
    *,
    every: float = 60,
    on_change: Callable[[Config, list[str]], object] | None = None,
    on_error: Callable[[Exception], object] | None = None,
    schema: None = None,
    **options: Unpack[Options],
) -> Watch[Config]: ...
def watch(
    *, every: float = 60, on_change: Any = None, on_error: Any = None, **options: Any
) -> Watch[Any]:
    """Load like `load`, then check for changes at each interval.

    A server that forks its workers calls `watch` in each worker: no thread outlives a fork.

    Args:
        on_change: called in the watch's thread with the new configuration and the names whose
            values differ, including removed ones.
        on_error: called with the failure, such as a ConfigError; a warning by default. The
            configuration stays as it is, and the next attempt is delayed up to tenfold; a refused
            login ends the watch.
        options: see Options and `load`. `into` gets changed values too, but nothing is removed
            from it.

    Raises ConfigError.
    """
    return Watch(every, on_change, on_error, Start(**options))
