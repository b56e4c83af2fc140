"""The settings of the way in and of the access log, checked as all others are."""

import re
from typing import Literal, Self

from pydantic import BaseModel, field_validator, model_validator

from infisical_iac.core.validation import EMAIL, network

_DIRECTORY = r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"

# What Let's Encrypt calls its directories; "internal" is Caddy's own authority.
DIRECTORIES = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
INTERNAL = "internal"


class IngressSettings(BaseModel):
    """Set what stands between the outside and Infisical, with which certificate, and for whom."""

    ingress: Literal["caddy", "traefik", "none"]
    acme_email: str
    acme_ca: str
    tls_certificate: str
    tls_key: str
    ui_networks: tuple[str, ...]
    machine_networks: tuple[str, ...]
    traefik_network: str
    traefik_entrypoint: str
    traefik_resolver: str

    @property
    def runs_caddy(self) -> bool:
        """Return whether all that reaches Infisical from outside comes by a Caddy of the stack."""
        return self.ingress != "none"

    @field_validator("acme_email")
    @classmethod
    def _acme_email_is_an_address(cls, value: str) -> str:
        if value and not re.fullmatch(EMAIL, value):
            raise ValueError(f"{value!r} is no e-mail address; write one, or leave it empty")
        return value

    @field_validator("acme_ca")
    @classmethod
    def _authority_is_known(cls, value: str) -> str:
        if value not in (*DIRECTORIES, INTERNAL) and not re.fullmatch(_DIRECTORY, value):
            raise ValueError(
                f"{value!r} is no authority; write {', '.join(DIRECTORIES)}, {INTERNAL}, or the "
                "https address of an ACME directory"
            )
        return value

    @field_validator("ui_networks", "machine_networks")
    @classmethod
    def _allowed_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(network(each) for each in value)

    @field_validator("traefik_network", "traefik_entrypoint", "traefik_resolver")
    @classmethod
    def _traefik_knows_the_name(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError(f"{value!r} is no name; write the one that Traefik has")
        return value

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            given, missing = ("tls_certificate", "tls_key")
            if self.tls_key:
                given, missing = missing, given
            raise ValueError(f"{given} is set without {missing}; set both, or neither")
        return self


class AccessLogSettings(BaseModel):
    """Set how long the access log stays, and how much of the disk it may take."""

    access_log_keep_days: int
    access_log_max_mb: int

    @field_validator("access_log_keep_days")
    @classmethod
    def _days_are_days(cls, value: int) -> int:
        if not 1 <= value <= 3650:
            raise ValueError(f"{value} is out of range; choose 1 to 3650 days")
        return value

    @field_validator("access_log_max_mb")
    @classmethod
    def _size_leaves_room_to_rotate(cls, value: int) -> int:
        if value < 50:
            raise ValueError(f"{value} leaves no trail; give it at least 50 megabytes")
        return value
