"""The options of a start, and what it makes of secrets."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from . import bootstrap, schema
from .merge import missing, resolve
from .view import Config
from .withheld import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from pydantic import BaseModel

    from .bootstrap import Bootstrap
    from .cache import Cache

_WITHHELD = "withheld unless `allow` names them, for they could take over a process"


class Options(TypedDict, total=False):
    """Hold what a start can be asked for, besides a schema.

    Attributes:
        environment: the environment, whatever the variables say.
        directory: where `.infisical.json` is looked for, with its parents; the working directory
            by default.
        timeout: the seconds that reading may take, 20 by default.
        override: whether Infisical wins over the process's environment, not the other way round.
        required: names that must have a value.
        into: where to set the values as well, such as `os.environ`; and the NODE_ENV of
            `.env.local`, where the environment has none.
        cache: what to start from while Infisical is down.
        allow_http: whether plain http to another machine will do, as INFISICAL_ALLOW_HTTP=1 says.
        strict: whether only names in `required`, the schema and `allow` get through.
        allow: names that get through although they could take over the process, such as
            GIT_SSH_COMMAND; in strict mode, further names that do.
        warn: gets the warnings instead of standard error.
    """

    environment: str | None
    directory: str | os.PathLike[str]
    timeout: float
    override: bool
    required: Sequence[str]
    into: MutableMapping[str, str] | None
    cache: Cache | None
    allow_http: bool
    strict: bool | None
    allow: Sequence[str]
    warn: Callable[[str], None]


def tell(message: str) -> None:
    """Say something to the people who read standard error."""
    print(f"infisical-config: {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True, repr=False)
class Start:
    """The options of a start, and the environment that it began in."""

    environment: str | None = None
    directory: str | os.PathLike[str] = "."
    timeout: float = 20
    override: bool = False
    required: Sequence[str] = ()
    schema: type[BaseModel] | None = None
    into: MutableMapping[str, str] | None = None
    cache: Cache | None = None
    allow_http: bool = False
    strict: bool | None = None
    allow: Sequence[str] = ()
    warn: Callable[[str], None] = tell
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), init=False)

    def place(self) -> Bootstrap:
        """Where the secrets are; raises ConfigError."""
        directory = Path(self.directory).absolute()
        place = bootstrap.find(
            self.environ,
            directory,
            self.environment,
            self.warn,
            allow_http=self.allow_http,
            strict=self.strict,
            allow=self.allow,
        )
        if place.gate.strict and not (place.gate.allowed or self._asked()):
            raise bootstrap.nothing_is_asked_for()
        return place

    def values(self, secrets: Mapping[str, str], place: Bootstrap) -> dict[str, str]:
        """The configuration's values; raises ConfigError `missing`."""
        asked = self._asked()
        withheld = place.gate.withheld(secrets)
        left_out = place.gate.left_out(secrets, asked)
        values = resolve(
            secrets,
            self.environ,
            override=self.override,
            wanted=asked,
            refused={*withheld, *left_out},
        )
        self._warn_of(withheld, left_out, values)
        if names := missing(values, self.required):
            raise place.error("missing", names=", ".join(names))
        return values

    def _asked(self) -> tuple[str, ...]:
        return (*self.required, *(schema.names(self.schema) if self.schema else ()))

    def finish(self, values: Mapping[str, str], place: Bootstrap) -> Any:
        """Return what the caller gets; sets the values where it wants them too."""
        result = schema.parse(self.schema, values, place) if self.schema else Config(values)
        if self.into is not None:
            self.into.update({name: value for name, value in values.items() if fits(name, value)})
            if place.node_env:  # libraries ask for it too, and in production the platform sets it
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
            parts.append(f"left out, for strict mode is on and nobody asks: {', '.join(left_out)}")
        if unfit and self.into is not None:
            parts.append(f"not set, for no environment holds them: {', '.join(unfit)}")
        if parts:
            self.warn("; ".join(parts))
