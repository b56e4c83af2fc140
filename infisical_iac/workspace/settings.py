"""The settings of what should be inside Infisical."""

import re
from typing import Annotated, Literal

from pydantic import field_validator

from infisical_iac.core.validation import EMAIL, SettingsModel, matching


class WorkspaceSettings(SettingsModel):
    """Set who administers the instance, and where it is written what should be inside it."""

    admin_email: str
    organization: Annotated[
        str,
        matching(
            r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}",
            "must be 1 to 64 letters, digits, spaces, dots or hyphens",
        ),
    ]
    isolation: Literal["privilege", "viewer"]
    workspace_file: str

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
