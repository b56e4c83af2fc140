"""The settings of the access log, checked as all others are."""

from pydantic import BaseModel, field_validator


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
