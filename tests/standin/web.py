"""Register handlers for routes, and define their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .access import Actor, ProjectAccess
from .instance import Instance
from .license import read_features
from .limits import RateLimits
from .lockouts import Lockouts
from .mail import Mailer
from .redis_client import patient_client
from .validation import Field, validate

if TYPE_CHECKING:
    from .config import Config
    from .crypto import Cipher
    from .database import Database
    from .permissions import Permissions
    from .store import Store

NOBODY = Actor("nobody", "", None)


class Server:
    """The state of a process; other servers on the same database share its data."""

    def __init__(self, config: Config, database: Database, cipher: Cipher) -> None:
        self.config = config
        self.database = database
        self.cipher = cipher
        redis = patient_client(config.redis)
        self.instance = Instance(database, redis)
        self.access = ProjectAccess(redis, config.permission_cache_seconds, config.privileges)
        self.lockouts = Lockouts(redis)
        self.sessions = redis
        self.limits = RateLimits(redis, config.rate_limits, config.rate_seconds)
        self.mailer = Mailer(config.mail)
        self.features = read_features(
            config.license_key, config.license_key_offline, config.license_server
        )


@dataclass
class Call:
    """One request, for its handler."""

    server: Server
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    actor: Actor = NOBODY
    opened: Store | None = None
    later: list[Callable[[], None]] = field(default_factory=list)

    def afterwards(self, action: Callable[[], None]) -> None:
        """Call a function once the transaction is committed, before the answer is sent."""
        self.later.append(action)

    @property
    def store(self) -> Store:
        if self.opened is None:
            raise RuntimeError("this route has no transaction of its own")
        return self.opened

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Return the validated body; raise a 422 answer."""
        return validate(self.body, fields)

    def parameters(self, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Return the validated query; raise a 422 answer."""
        return validate(dict(self.query), fields)

    def flag(self, name: str, default: bool = False) -> bool:
        return self.query.get(name, str(default)).lower() == "true"

    def permissions(self, project_id: str | None = None) -> Permissions:
        """Return the permissions of the caller in a project, by default that of the path."""
        project = project_id or self.path["project_id"]
        return self.server.access.permissions(self.store, self.actor, project)


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    handler: Handler
    actors: tuple[str, ...]
    needs_org: bool
    transaction: bool


ENDPOINTS: list[Endpoint] = []
ANYONE: tuple[str, ...] = ()
PEOPLE = ("user",)
MEMBERS = ("user", "identity")


def route(
    method: str,
    path: str,
    actors: tuple[str, ...] = MEMBERS,
    *,
    needs_org: bool = True,
    transaction: bool = True,
) -> Callable[[Handler], Handler]:
    """Register a handler, which returns a document (200) or a whole response."""

    def register(handler: Handler) -> Handler:
        ENDPOINTS.append(Endpoint(method, path, handler, actors, needs_org, transaction))
        return handler

    return register
