"""Keep the last good values in a file, to start from while Infisical is down."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bootstrap import Bootstrap
    from .sealing import Cached


@dataclass(frozen=True)
class Cache:
    """The file of the values, and the seconds for which they may be used.

    The directory must exist. Raises ConfigError without the package's extra `cache`.
    """

    file: str | os.PathLike[str]
    max_age: float = 86400

    def __post_init__(self) -> None:
        if find_spec("cryptography") is None:
            message = "the cache needs cryptography: install infisical-config[cache]"
            raise ConfigError("not_configured", message)

    def save(self, secrets: Mapping[str, str], place: Bootstrap) -> None:
        """Replace the file as a whole, readable only by its owner; raises OSError."""
        import tempfile

        from .sealing import seal

        file = Path(self.file)
        text = seal(secrets, place, saved=int(time.time()), nonce=os.urandom(12))
        handle, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with open(handle, "w", encoding="ascii") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(handle)  # the file must survive a power cut
            os.replace(new, file)
        except OSError:
            os.unlink(new)
            raise

    def read(self, place: Bootstrap) -> Cached:
        """Return the content of the file; raises OSError or Unreadable."""
        from .sealing import unseal

        return unseal(Path(self.file).read_bytes(), place, now=time.time())
