"""The routes, one topic a file. Importing a file registers its routes."""

from __future__ import annotations

import pkgutil
from importlib import import_module


def load() -> None:
    """Import every file of this package."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
