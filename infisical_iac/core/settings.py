"""The settings: every key of `group_data/`, typed and checked.

`group_data/all.py` holds each setting with its default and one line on it; this file says
what values are accepted and words the refusal.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from math import inf
from typing import Any, Literal, Self

from pydantic import ConfigDict, ValidationError, field_validator, model_validator

from infisical_iac.backup.settings import BackupSettings, RecoverySettings
from infisical_iac.core.compatibility import SETTINGS, Schema, moved, refusal
from infisical_iac.core.errors import UserError
from infisical_iac.core.validation import EMAIL, explain, mebibytes, network
from infisical_iac.hetzner.settings import EdgeSettings, ServerSettings
from infisical_iac.host.settings import (
    BanningSettings,
    FirewallSettings,
    HardeningSettings,
    VolumeSettings,
)
from infisical_iac.stack.images import ImageSettings
from infisical_iac.stack.settings import AccessLogSettings

# What pyinfra and its connectors read from the same data: not ours to check.
_PYINFRA_KEY = re.compile(r"^(_|ssh_|docker_identifier$|local_)")


class SettingsError(UserError):
    """A setting is unknown, missing or has a value that can't work."""


class Settings(
    AccessLogSettings,
    BackupSettings,
    BanningSettings,
    EdgeSettings,
    FirewallSettings,
    HardeningSettings,
    ImageSettings,
    RecoverySettings,
    ServerSettings,
    VolumeSettings,
):
    """The checked settings of one host, immutable; those of each topic are in its own package."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int

    site_url: str
    admin_email: str
    organization: str

    http_port: int
    infisical_memory: str
    infisical_memory_needed: str
    infisical_cpus: float
    infisical_read_only: bool
    postgres_memory: str
    redis_memory: str
    trusted_proxy_cidrs: tuple[str, ...]

    docker_source: Literal["distro", "docker-ce"]
    swap: Literal["off", "keep"]

    isolation: Literal["privilege", "viewer"]
    workspace_file: str

    apt_timeout: int
    start_timeout: int
    minimum_free_disk_gb: float

    @field_validator("site_url")
    @classmethod
    def _site_url_is_absolute(cls, value: str) -> str:
        match = re.fullmatch(r"https?://([A-Za-z0-9.-]+)(:\d{1,5})?(?P<rest>[/?#].*)?", value)
        if not match:
            raise ValueError(f"{value!r} is no absolute address; write https://secrets.example.com")
        if match["rest"] not in (None, "/"):
            raise ValueError(f"{value!r} has more than scheme, host and port; write only those")
        return value.rstrip("/")

    @field_validator("admin_email")
    @classmethod
    def _admin_email_is_an_address(cls, value: str) -> str:
        if not value:
            raise ValueError(
                "is not set; put the first administrator's address in group_data/hetzner.py"
            )
        if not re.fullmatch(EMAIL, value):
            raise ValueError(f"{value!r} is no e-mail address; write one such as you@example.com")
        return value.lower()

    @field_validator("organization")
    @classmethod
    def _organization_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value):
            raise ValueError(f"{value!r} must be 1 to 64 letters, digits, spaces, dots or hyphens")
        return value

    @field_validator("trusted_proxy_cidrs")
    @classmethod
    def _networks_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            network(each)
        return value

    @field_validator("infisical_cpus", "minimum_free_disk_gb")
    @classmethod
    def _number_is_positive(cls, value: float) -> float:
        if not 0 < value < inf:
            raise ValueError(f"{value:g} must be a number above 0")
        return value

    @field_validator(
        *("infisical_memory", "infisical_memory_needed", "postgres_memory", "redis_memory"),
        mode="before",
    )
    @classmethod
    def _memory_has_a_unit(cls, value: object) -> object:
        if re.fullmatch(r"[1-9]\d*", str(value)):
            raise ValueError(f"{value!r} has no unit; write '{value}m' for megabytes")
        if not re.fullmatch(r"[1-9]\d*[mg]", str(value)):
            raise ValueError(f"{value!r} is no size; write megabytes or gigabytes such as '1536m'")
        return value

    @field_validator("http_port")
    @classmethod
    def _port_is_free_to_use(cls, value: int) -> int:
        if not 1024 <= value <= 65535:
            raise ValueError(f"{value} is out of range; choose a port from 1024 to 65535")
        return value

    @model_validator(mode="after")
    def _infisical_has_the_memory_that_it_needs(self) -> Self:
        if mebibytes(self.infisical_memory) < mebibytes(self.infisical_memory_needed):
            raise ValueError(
                f"infisical_memory is {self.infisical_memory}, and this release ends again and "
                f"again with less than {self.infisical_memory_needed}: give it at least that"
            )
        return self

    @model_validator(mode="after")
    def _timeouts_are_positive(self) -> Self:
        for name in ("apt_timeout", "start_timeout"):
            if getattr(self, name) < 10:
                raise ValueError(f"{name} is {getattr(self, name)} s; give it at least 10")
        return self


def load(data: Mapping[str, Any], schema: Schema = SETTINGS) -> Settings:
    """Check a host's data and return its settings.

    Args:
        data: what pyinfra merged from inventory, `group_data/` and `--data`; keys of pyinfra
            itself are passed over.
        schema: which version is read, and which keys of earlier ones are told by their new names.

    Raises SettingsError, one sentence for all that is wrong.
    """
    ours = Settings.model_fields
    values = {key: data[key] for key in data if key in ours or not _PYINFRA_KEY.match(key)}
    stale = refusal(values.get("schema_version", schema.version), schema)
    if stale:
        raise SettingsError(f"setting 'schema_version': {stale}")
    surplus = sorted(values.keys() - ours.keys())
    unknown = [f"setting {key!r} {moved((key,), schema) or _unknown(key)}" for key in surplus]
    if unknown:
        raise SettingsError("; ".join(unknown))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentences(error))) from None


def _unknown(key: str) -> str:
    close = get_close_matches(key, Settings.model_fields, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "group_data/all.py lists all of them"
    return f"is unknown: {hint}"


def _sentences(error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        message = explain(problem)
        if problem["type"] == "missing":
            message = "is not set; group_data/all.py has its default"
        yield f"setting {name!r}: {message}" if name else f"setting {message}"
