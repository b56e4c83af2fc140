"""End a process whose configuration can't be loaded."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import ConfigError
from .starting import print_warning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the process if a start inside fails: one sentence, its exit status, no traceback."""
    try:
        yield
    except ConfigError as error:
        print_warning(str(error))
        sys.exit(error.exit_code)
