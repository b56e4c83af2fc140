"""The settings of a server, from environment variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import license, limits
from .mail import InvalidMailSettings, MailSettings
from .providers import Providers

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = ("DB_CONNECTION_URI", "AUTH_SECRET", "ENCRYPTION_KEY")


class MissingSettings(Exception):
    """Required variables are absent or empty, or one is invalid; the text names them."""


@dataclass(frozen=True)
class RedisSettings:
    """The address of Redis: a URL, which has precedence, or the sentinels that know the master.

    `ca` is the file of a certificate authority that is trusted in addition to the system's, for a
    URL that begins with `rediss:`. Connections by sentinels have no TLS: REDIS_SENTINEL_ENABLE_TLS
    has no effect in the real server either, because its client (ioredis 5.9.3) needs more settings.
    """

    url: str = ""
    ca: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = "mymaster"
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RedisSettings | None:
        """Read the variables; return None without any, raise MissingSettings for a bad one."""
        url, hosts = (environment.get(name, "") for name in ("REDIS_URL", "REDIS_SENTINEL_HOSTS"))
        if url:
            return cls(url, environment.get("NODE_EXTRA_CA_CERTS", ""))
        if not hosts:
            return None
        pairs = [host.strip().rpartition(":") for host in hosts.split(",")]
        if not all(name and port.isdigit() for name, _, port in pairs):
            raise MissingSettings("Invalid environment variables: REDIS_SENTINEL_HOSTS")
        return cls(
            sentinels=tuple((name, int(port)) for name, _, port in pairs),
            master=environment.get("REDIS_SENTINEL_MASTER_NAME") or cls.master,
            username=environment.get("REDIS_USERNAME", ""),
            password=environment.get("REDIS_PASSWORD", ""),
            sentinel_username=environment.get("REDIS_SENTINEL_USERNAME", ""),
            sentinel_password=environment.get("REDIS_SENTINEL_PASSWORD", ""),
        )


@dataclass(frozen=True)
class Config:
    """The settings of a server. Secrets stay out of the representation."""

    database_uri: str
    redis: RedisSettings
    auth_secret: str
    encryption_key: str
    database_root_cert: str = ""
    site_url: str = "http://localhost:8080"
    host: str = "0.0.0.0"
    port: int = 8080
    maintenance: bool = False
    permission_cache_seconds: float = 10.0
    privileges: str = "enforced"
    allows_private: bool = False
    start_seconds: float = 0.0
    rate_limits: Mapping[str, int] = field(default_factory=dict)
    rate_seconds: float = 60.0
    mail: MailSettings = field(default_factory=MailSettings)
    person_token_lifetime: str = "10d"
    refresh_lifetime: str = "90d"
    providers: Providers = field(default_factory=Providers)
    has_https: bool = False
    license_key: str = field(default="", repr=False)
    license_key_offline: str = field(default="", repr=False)
    license_server: str = license.SERVER

    def __repr__(self) -> str:
        return f"Config(host={self.host!r}, port={self.port})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read the variables; raise MissingSettings with the names of missing ones."""
        missing = [name for name in REQUIRED if not environment.get(name)]
        redis = RedisSettings.from_environment(environment)
        if redis is None:
            missing.append("REDIS_URL or REDIS_SENTINEL_HOSTS")
        if missing or redis is None:
            raise MissingSettings(f"Invalid environment variables: {', '.join(missing)} required")
        try:
            mail = MailSettings.from_environment(environment)
        except InvalidMailSettings as error:
            raise MissingSettings(str(error)) from None
        return cls(
            mail=mail,
            providers=Providers.from_environment(environment),
            license_key=environment.get("LICENSE_KEY", "").strip(),
            license_key_offline=environment.get("LICENSE_KEY_OFFLINE", "").strip(),
            license_server=environment.get("LICENSE_SERVER_URL") or license.SERVER,
            has_https=environment.get("HTTPS_ENABLED") == "true",
            person_token_lifetime=environment.get("JWT_AUTH_LIFETIME") or "10d",
            refresh_lifetime=environment.get("JWT_REFRESH_LIFETIME") or "90d",
            database_uri=environment["DB_CONNECTION_URI"],
            redis=redis,
            auth_secret=environment["AUTH_SECRET"],
            encryption_key=environment["ENCRYPTION_KEY"],
            database_root_cert=environment.get("DB_ROOT_CERT", ""),
            site_url=environment.get("SITE_URL", cls.site_url),
            host=environment.get("HOST", cls.host),
            port=int(environment.get("PORT", cls.port)),
            maintenance=environment.get("MAINTENANCE_MODE", "").lower() == "true",
            allows_private=environment.get("ALLOW_INTERNAL_IP_CONNECTIONS") == "true",
            privileges=environment.get("STANDIN_PRIVILEGES", cls.privileges),
            start_seconds=float(environment.get("STANDIN_START_SECONDS", cls.start_seconds)),
            rate_limits=limits.parse(environment.get("STANDIN_RATE_LIMITS", "")),
            rate_seconds=float(environment.get("STANDIN_RATE_SECONDS", cls.rate_seconds)),
            permission_cache_seconds=float(
                environment.get("STANDIN_PERMISSION_CACHE_SECONDS", cls.permission_cache_seconds)
            ),
        )
