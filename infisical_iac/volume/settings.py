"""The setting of the data volume, checked as all others are."""

import re

from pydantic import BaseModel, field_validator

_DEVICE = r"/dev/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:+/-]*"


class VolumeSettings(BaseModel):
    """Where the data are."""

    data_volume: str

    @field_validator("data_volume")
    @classmethod
    def _volume_is_a_device(cls, value: str) -> str:
        if value and not re.fullmatch(_DEVICE, value):
            raise ValueError(
                f"{value!r} is no block device; write one such as "
                "/dev/disk/by-id/scsi-0HC_Volume_1234567, or nothing"
            )
        return value
