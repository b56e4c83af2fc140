"""The settings of what should be inside Infisical."""

import re
from typing import Annotated, Literal

from pydantic import field_validator

from infisical_iac.core.validation import EMAIL, SettingsModel, matching


class WorkspaceSettings(SettingsModel):
    """Instance and project inside Infisical."""

    admin_email: str
    """E-mail address of the first administrator. Required.

    Change: refused after the first deploy, as Infisical keeps its first administrator.
    """

    organization: Annotated[
        str,
        matching(
            r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}",
            "must be 1 to 64 letters, digits, spaces, dots or hyphens",
            accepts="1 to 64 letters, digits, spaces, dots, underscores or hyphens",
        ),
    ]
    """Name of the organization that the first deploy creates.

    Change: no effect after the first deploy. Rename it inside Infisical.
    """

    isolation: Literal["privilege", "viewer"]
    """Method that keeps an identity to its own folder: `privilege` grants exactly that folder;
    `viewer` lets each service [read every environment](../operate/upgrade.md#isolation) of its
    project.

    Change: the next `apply` changes roles and privileges of all identities.
    """

    workspace_file: str
    """Path of the [project file](../develop/project-file.md), which says what should be inside
    Infisical.

    Change: the next `apply` brings Infisical to the new file. What only the old file named stays
    until `infisical-iac workspace apply --prune`.
    """

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
