"""Define the logins for private registries, and read their passwords."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.images import DOCKER_HUB
from infisical_iac.core.validation import SettingsModel, matching


class RegistryLogin(SettingsModel):
    """The login for one registry. Its password is in a file or a variable, not in the settings."""

    example: ClassVar = {
        "registry": "registry.example.com",
        "user": "deploy",
        "password_file": "~/.config/infisical-iac/registry",
    }

    registry: Annotated[
        str,
        matching(
            r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?",
            "is not a registry; write its host as in the images' names, such as "
            "registry.example.com",
        ),
    ]
    """Host of the registry, as in the names of its images; `docker.io` for Docker Hub."""

    user: Annotated[
        str,
        matching(r"[^\s:'\"-][^\s:'\"]*", "is not a user; write the name without spaces or colons"),
    ]
    """User, or the name of a token."""

    password_file: str = ""
    """File on your machine with the password or token, readable by you only."""

    password_variable: Annotated[
        str,
        matching(
            r"([A-Za-z_][A-Za-z0-9_]*)?",
            "is not a variable; write the name of one, such as REGISTRY_PASSWORD",
        ),
    ] = ""
    """Variable of the environment with the password or token, instead of a file."""

    @model_validator(mode="after")
    def _password_comes_from_one_place(self) -> Self:
        if bool(self.password_file) == bool(self.password_variable):
            raise ValueError(
                f"the login for {self.registry} needs either password_file or password_variable; "
                "write one of them"
            )
        return self


def choose_login(logins: Sequence[RegistryLogin], registry: str) -> RegistryLogin | None:
    """Return the login for a registry, None if it has none."""
    names = {registry, f"index.{DOCKER_HUB}"} if registry == DOCKER_HUB else {registry}
    return next((each for each in logins if each.registry in names), None)


def read_password(login: RegistryLogin, environment: Mapping[str, str] = os.environ) -> str:
    """Return the password of a login, from its file or variable.

    Raises SettingsError if it is not there, or if others can read the file.
    """
    if login.password_variable:
        if password := environment.get(login.password_variable, ""):
            return password
        raise SettingsError(
            f"the password for {login.registry} is not in {login.password_variable}: set this "
            "variable",
            code="settings.registry_password",
        )
    file = Path(login.password_file).expanduser()
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise SettingsError(
                f"others can read {file}, which has the password for {login.registry}: run "
                f"`chmod 600 {file}`",
                code="settings.registry_password_readable",
            )
        password = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        password = ""
    if not password:
        raise SettingsError(
            f"the password for {login.registry} can't be read from {file}: write the password, and "
            "nothing else, into that file",
            code="settings.registry_password",
        )
    return password
