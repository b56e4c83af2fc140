"""The options of a start, and the configuration that it makes from secrets."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from . import bootstrap, schema
from .errors import ConfigError
from .merge import missing, resolve
from .view import Config
from .withheld import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from pydantic import BaseModel

    from .bootstrap import Bootstrap
    from .cache import Cache

_WITHHELD = "withheld unless `allow` names them, because they could take over a process"
_LEFT_OUT = "left out, because strict mode is on and nothing requests them"


class Options(TypedDict, total=False):
    """The options of a start, except for the schema.

    Attributes:
        environment: the environment, instead of the one that variables name.
        directory: the first to search for `.infisical.json`, before its parents; the working
            directory by default.
        timeout: the seconds that reading may take, 20 by default.
        override: whether Infisical wins over the process's environment, instead of the reverse.
        required: names that must have a value.
        into: a mapping that gets the values too, such as `os.environ`. It also gets the NODE_ENV of
            `.env.local`, unless the process has one, or it only repeats the environment's name.
        cache: the file to start from while Infisical is down.
        client: "http", the default, needs no package; "sdk" uses `infisicalsdk`, which must be
            installed.
        allow_http: whether plain http to another machine is accepted, as INFISICAL_ALLOW_HTTP=1.
        strict: whether only names in `required`, the schema and `allow` get through.
        allow: names that get through although they could take over the process, such as
            GIT_SSH_COMMAND; in strict mode, further names that get through.
        warn: gets the warnings instead of standard error.
    """

    environment: str | None
    directory: str | os.PathLike[str]
    timeout: float
    override: bool
    required: Sequence[str]
    into: MutableMapping[str, str] | None
    cache: Cache | None
    client: Literal["http", "sdk"]
    allow_http: bool
    strict: bool | None
    allow: Sequence[str]
    warn: Callable[[str], None]


def print_warning(message: str) -> None:
    """Print a warning to standard error."""
    print(f"infisical-config: {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True, repr=False)
class Start:
    """The options of a start, and the environment that it began in.

    Attributes:
        is_typed: whether a person has typed the name of the environment.
    """

    environment: str | None = None
    directory: str | os.PathLike[str] = "."
    timeout: float = 20
    override: bool = False
    required: Sequence[str] = ()
    schema: type[BaseModel] | None = None
    into: MutableMapping[str, str] | None = None
    cache: Cache | None = None
    client: Literal["http", "sdk"] = "http"
    allow_http: bool = False
    strict: bool | None = None
    allow: Sequence[str] = ()
    warn: Callable[[str], None] = print_warning
    is_typed: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def place(self) -> Bootstrap:
        """Return the place of the secrets; raises ConfigError."""
        directory = Path(self.directory).absolute()
        place = bootstrap.find(
            self.environ,
            directory,
            self.environment,
            self.warn,
            allow_http=self.allow_http,
            strict=self.strict,
            allow=self.allow,
            is_typed=self.is_typed,
        )
        if place.platform and self.cache:
            self.warn(
                f"the cache {os.fspath(self.cache.file)} is not used: only a client secret opens "
                "it, and this login has none"
            )
        self._check_client(place)
        if place.policy.strict and not (place.policy.allowed or self._list_requested()):
            raise bootstrap.empty_strict_error()
        return place

    def _check_client(self, place: Bootstrap) -> None:
        if self.client == "sdk":
            from . import sdk

            sdk.check(place)
        elif self.client != "http":
            raise ConfigError("not_configured", f"client is {self.client!r}: write 'http' or 'sdk'")

    def values(self, secrets: Mapping[str, str], place: Bootstrap) -> dict[str, str]:
        """Return the configuration's values; raises ConfigError `missing`."""
        requested = self._list_requested()
        others = [name for name in secrets if name not in place.overrides]
        withheld = place.policy.find_withheld(others)
        left_out = place.policy.find_left_out(others, requested)
        values = resolve(
            secrets,
            self.environ,
            override=self.override,
            requested=requested,
            refused={*withheld, *left_out},
            overrides=place.overrides,
        )
        self._warn_of(withheld, left_out, values)
        if names := missing(values, self.required):
            raise place.error("missing", names=", ".join(names))
        return values

    def _list_requested(self) -> tuple[str, ...]:
        return (*self.required, *(schema.names(self.schema) if self.schema else ()))

    def finish(self, values: Mapping[str, str], place: Bootstrap) -> Any:
        """Return the result for the caller; set the values in `into` too."""
        result = schema.parse(self.schema, values, place) if self.schema else Config(values)
        if self.into is not None:
            self.into.update({name: value for name, value in values.items() if fits(name, value)})
            # Libraries read NODE_ENV too; in production the platform sets it.
            if place.node_env and "NODE_ENV" not in values:
                self.into["NODE_ENV"] = place.node_env
        return result

    def _warn_of(
        self, withheld: Sequence[str], left_out: Sequence[str], values: Mapping[str, str]
    ) -> None:
        unfit = sorted(name for name, value in values.items() if not fits(name, value))
        parts = []
        if withheld:
            parts.append(f"{_WITHHELD}: {', '.join(withheld)}")
        if left_out:
            parts.append(f"{_LEFT_OUT}: {', '.join(left_out)}")
        if unfit and self.into is not None:
            parts.append(f"not set, because no environment can hold them: {', '.join(unfit)}")
        if parts:
            self.warn("; ".join(parts))
