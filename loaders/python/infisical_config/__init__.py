"""Read a service's configuration from Infisical when it starts.

    from infisical_config import config

This import loads the configuration, and ends the process with one sentence if that fails. `load()`
takes options and raises a ConfigError; in a `with exit_on_error()` block, the error ends the
process in the same way. `watch()` continues to read.
"""

from __future__ import annotations

from .cache import Cache
from .errors import ConfigError
from .exiting import exit_on_error
from .loading import load
from .refresh import Watch, watch
from .view import Config

__all__ = ["Cache", "Config", "ConfigError", "Watch", "config", "exit_on_error", "load", "watch"]

config: Config


def __getattr__(name: str) -> Config:
    if name != "config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with exit_on_error():
        globals()["config"] = loaded = load()
    return loaded
