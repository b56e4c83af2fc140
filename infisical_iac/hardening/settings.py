"""The settings of the host's hardening and maintenance, checked as all others are."""

from typing import Literal

from pydantic import BaseModel, field_validator

from infisical_iac.schedules import one_line


class HardeningSettings(BaseModel):
    """Set whether the host is hardened, and when it may be disturbed."""

    hardening: Literal["on", "off"]
    auditd: Literal["on", "off"]
    maintenance_window: str
    automatic_reboot: bool

    @field_validator("maintenance_window")
    @classmethod
    def _window_is_one_line(cls, value: str) -> str:
        return one_line(value) if value else value
