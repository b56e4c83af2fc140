"""The environment a server is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = ("DB_CONNECTION_URI", "REDIS_URL", "AUTH_SECRET", "ENCRYPTION_KEY")


class MissingSettings(Exception):
    """Required variables are absent or empty; the text names them."""


@dataclass(frozen=True)
class Config:
    """What the environment says. Secrets stay out of the representation."""

    database_uri: str
    redis_url: str
    auth_secret: str
    encryption_key: str
    site_url: str = "http://localhost:8080"
    host: str = "0.0.0.0"
    port: int = 8080
    maintenance: bool = False
    permission_cache_seconds: float = 10.0

    def __repr__(self) -> str:
        return f"Config(host={self.host!r}, port={self.port})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read the variables; raise MissingSettings with the names of those that are missing."""
        missing = [name for name in REQUIRED if not environment.get(name)]
        if missing:
            raise MissingSettings(f"Invalid environment variables: {', '.join(missing)} required")
        return cls(
            database_uri=environment["DB_CONNECTION_URI"],
            redis_url=environment["REDIS_URL"],
            auth_secret=environment["AUTH_SECRET"],
            encryption_key=environment["ENCRYPTION_KEY"],
            site_url=environment.get("SITE_URL", cls.site_url),
            host=environment.get("HOST", cls.host),
            port=int(environment.get("PORT", cls.port)),
            maintenance=environment.get("MAINTENANCE_MODE", "").lower() == "true",
            permission_cache_seconds=float(
                environment.get("STANDIN_PERMISSION_CACHE_SECONDS", cls.permission_cache_seconds)
            ),
        )
