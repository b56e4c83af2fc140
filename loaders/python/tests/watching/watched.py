"""A configuration that is watched, for tests."""

from pathlib import Path
from typing import Any

from infisical_config import Config, ConfigError, Watch, watch
from tests.scripted import refusal

NOT_FOUND = refusal(404, "no such folder")


class Watched:
    """A watch with its reports so far."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.changes: list[tuple[dict[str, str], list[str]]] = []
        self.errors: list[Exception] = []
        defaults = {"every": 0.02, "on_change": self._record_change, "on_error": self.errors.append}
        self.watch: Watch[Any] = watch(**{**defaults, "directory": home, **options})

    def _record_change(self, config: Config, names: list[str]) -> None:
        self.changes.append((dict(config), names))

    def codes(self) -> list[str]:
        return [error.code for error in self.errors if isinstance(error, ConfigError)]
