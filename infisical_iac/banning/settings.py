"""The settings of bans, checked as all others are."""

from typing import Literal

from pydantic import BaseModel, field_validator


class BanningSettings(BaseModel):
    """Set how many logins may fail in how many seconds, and for how many an address is banned."""

    fail2ban: Literal["on", "off"]
    login_attempts: int
    login_calls: int
    login_window: int
    login_ban: int

    @field_validator("login_attempts")
    @classmethod
    def _people_may_err(cls, value: int) -> int:
        if value < 3:
            raise ValueError(f"{value} bans people who mistype a password; allow at least 3")
        return value

    @field_validator("login_calls")
    @classmethod
    def _services_may_start(cls, value: int) -> int:
        if value < 20:
            raise ValueError(f"{value} bans services that start together; allow at least 20")
        return value

    @field_validator("login_window", "login_ban")
    @classmethod
    def _time_is_worth_counting(cls, value: int) -> int:
        if not 60 <= value <= 604_800:
            raise ValueError(f"{value} is out of range; choose 60 to 604800 seconds")
        return value
