"""The targets of a service's credentials in the project file."""

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictStr, model_validator

from infisical_iac.core.validation import fitting, is_confidential, matching


def _url(value: str) -> str:
    parts = urlsplit(value)
    if (
        not is_confidential(value)
        or not parts.hostname
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise ValueError(
            f"{value!r} is not the address of a Dokploy; write https:// and its name, since the "
            "key of its API and the credentials go there"
        )
    return value.rstrip("/").removesuffix("/api")


def _has_no_parent(path: str) -> bool:
    return bool(re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path)) and ".." not in path.split("/")


_Id = Annotated[
    StrictStr,
    matching(
        r"[A-Za-z0-9_-]{1,64}", "is not an id; copy it from the end of the address in Dokploy"
    ),
]
_Host = Annotated[
    StrictStr,
    matching(
        r"([a-z_][a-z0-9_-]*@)?[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?",
        "is not a host; write it as ssh takes it, such as deploy@db-1",
    ),
]
_Path = Annotated[
    StrictStr,
    fitting(_has_no_parent, "is not a file; write its whole path such as /srv/app/secrets.env"),
]


class _TargetEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DokployTarget(_TargetEntry):
    """An application or a compose service in Dokploy, by its id, whose variables are set."""

    url: Annotated[StrictStr, AfterValidator(_url)]
    application: _Id | None = None
    compose: _Id | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.application is None) == (self.compose is None):
            raise ValueError("write either an application or a compose here, by its id")
        return self

    @property
    def kind(self) -> str:
        """Return `application` or `compose`."""
        return "application" if self.application else "compose"

    @property
    def id(self) -> str:
        """Return the id of the application or the compose service."""
        return self.application or self.compose or ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id} of Dokploy at {self.url}"


class FileTarget(_TargetEntry):
    """A separate file on a host that `ssh` reaches."""

    host: _Host
    path: _Path

    def __str__(self) -> str:
        return f"{self.path} on {self.host}"


class Target(_TargetEntry):
    """One target: either in Dokploy or a file."""

    dokploy: DokployTarget | None = None
    file: FileTarget | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.dokploy is None) == (self.file is None):
            raise ValueError("write either dokploy or file here")
        return self

    @property
    def place(self) -> DokployTarget | FileTarget:
        """Return the target, of either kind."""
        place = self.dokploy or self.file
        assert place is not None
        return place

    def __str__(self) -> str:
        return str(self.place)
