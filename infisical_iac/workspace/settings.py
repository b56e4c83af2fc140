"""The settings of the project inside Infisical; `model` defines its contents."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import field_validator

from infisical_iac.core.validation import EMAIL, SettingsModel, fitting, within


def _is_name(text: str) -> bool:
    # The server counts as JavaScript does: a character beyond U+FFFF is two.
    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    return text == text.strip() and text.isprintable() and 1 <= length <= 64


_Rate = Annotated[int, within(1, 1_000_000, "choose the number of requests that fit a minute")]


class ApiRate(SettingsModel):
    """The requests to Infisical's API that this tool sends in any minute, at most.

    The defaults are those of the vendor's free plan. Each is for one address: programs on the same
    host have a part of it too.
    """

    example: ClassVar = {"reads": 60, "writes": 200, "secrets": 40}

    reads: _Rate = 60
    """Requests that only read, except those for secrets."""

    writes: _Rate = 200
    """Requests that change something, logins of machine identities among them."""

    secrets: _Rate = 40
    """Requests that read or write secrets, and those that change folders or imports."""


class WorkspaceSettings(SettingsModel):
    """Instance and project inside Infisical."""

    admin_email: str
    """E-mail address of the first administrator. Required.

    Change: refused after the first deploy, as Infisical keeps its first administrator.
    """

    organization: Annotated[
        str,
        fitting(
            _is_name,
            "is not a name; write 1 to 64 printable characters, with no space at an end",
            accepts="1 to 64 printable characters",
        ),
    ]
    """Name of the organization that the first deploy creates.

    Change: the next `apply` renames it. Infisical refuses to rename an organization to a name with
    other characters than letters of ASCII, digits, spaces, hyphens and underscores; `plan` reports
    it as blocked.
    """

    isolation: Literal["privilege", "viewer", "projects"]
    """Method that keeps a service to its own secrets, described in
    [isolation.md](../operate/isolation.md): `privilege` grants its identities exactly its folders;
    `projects` gives each service and environment a project of its own; `viewer` lets each service
    read every environment of the one project.

    Change: between `privilege` and `viewer` the next `apply` changes roles and privileges of all
    identities. To or from `projects`, `infisical-iac isolation apply` moves the secrets first.
    """

    workspace_file: str
    """Path of the [project file](../develop/project-file.md), which says what should be inside
    Infisical.

    Change: the next `apply` brings Infisical to the new file. What only the old file named stays
    until `infisical-iac workspace apply --prune`.
    """

    api_rate: ApiRate | None
    """[Rate limits](../operate/network.md#stay-below-limits) of the API to stay below, such as
    `{"reads": 60, "writes": 200, "secrets": 40}`: requests that would be too many wait. `None`:
    requests wait only once the server, or a proxy before it, refuses one.

    Change: read on your machine only; nothing changes on the host.
    """

    @field_validator("admin_email")
    @classmethod
    def _admin_email_is_an_address(cls, value: str) -> str:
        if not value:
            raise ValueError(
                "is not set; put the first administrator's address in your settings, such as "
                "group_data/hetzner.py"
            )
        if not re.fullmatch(EMAIL, value):
            raise ValueError(
                f"{value!r} is not an e-mail address; write one such as you@example.com"
            )
        return value.lower()
