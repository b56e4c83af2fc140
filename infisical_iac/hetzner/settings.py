"""The settings of the server at Hetzner Cloud, checked as all others are."""

import re
from typing import Self

from pydantic import BaseModel, field_validator, model_validator

# What a resource is named at Hetzner Cloud: the server's name is its host name too.
_NAME = r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"
_WORD = r"[a-z0-9][a-z0-9.-]*"
_DOMAIN = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"
_VOLUME_GB = range(10, 10241)


class ServerSettings(BaseModel):
    """What `infisical-iac server` makes at Hetzner Cloud."""

    server_name: str
    server_type: str
    server_location: str
    server_image: str
    server_ssh_keys: tuple[str, ...]
    server_volume_gb: int
    server_ipv4: bool
    server_ipv6: bool
    server_backups: bool
    server_placement_group: str
    server_dns_zone: str

    @field_validator("server_name")
    @classmethod
    def _name_is_a_host_name(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError(f"{value!r} is no host's name; write small letters, digits, hyphens")
        return value

    @field_validator("server_type", "server_location", "server_image")
    @classmethod
    def _word_is_one(cls, value: str) -> str:
        if not re.fullmatch(_WORD, value):
            raise ValueError(f"{value!r} is no name of Hetzner's; write one such as cx33")
        return value

    @field_validator("server_ssh_keys")
    @classmethod
    def _keys_are_public(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not each or ("/" in each and not each.endswith(".pub")):
                raise ValueError(
                    f"{each!r} is no public key's file; write one that ends in .pub, or the name "
                    "of a key at Hetzner Cloud"
                )
        return value

    @field_validator("server_volume_gb")
    @classmethod
    def _volume_has_a_size_that_is_sold(cls, value: int) -> int:
        if value and value not in _VOLUME_GB:
            raise ValueError(f"{value} is not sold; choose 10 to 10240 gigabytes, or 0 for none")
        return value

    @field_validator("server_placement_group")
    @classmethod
    def _group_has_a_name(cls, value: str) -> str:
        if value and not re.fullmatch(_NAME, value):
            raise ValueError(f"{value!r} is no name; write small letters, digits, hyphens")
        return value

    @field_validator("server_dns_zone")
    @classmethod
    def _zone_is_a_domain(cls, value: str) -> str:
        if value and not re.fullmatch(_DOMAIN, value):
            raise ValueError(f"{value!r} is no zone; write one such as example.com, or nothing")
        return value

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if not (self.server_ipv4 or self.server_ipv6):
            raise ValueError("server_ipv4 and server_ipv6 are both off: turn one on")
        return self
