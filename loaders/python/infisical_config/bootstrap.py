"""What a start must know before it can ask: who asks, where, and for which secrets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from os.path import isfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import envfile
from .errors import TEXTS, Code, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_FILE = ".infisical.json"
_ENV_FILE = ".env.local"
_KEYS = ("workspaceId", "domain", "defaultSecretPath")
_ORIGIN = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?")
_PROJECT = ("the project", "workspaceId", "INFISICAL_PROJECT_ID")
_ADDRESS = ("the address of Infisical", "domain", "INFISICAL_DOMAIN")


@dataclass(frozen=True)
class Bootstrap:
    """The credential of a service, and the place of its secrets.

    `node_env` is that of `.env.local`, where the environment has none.
    """

    client_id: str
    client_secret: str = field(repr=False)
    environment: str
    address: str
    project: str
    folder: str
    node_env: str = field(default="", compare=False)

    def error(self, code: Code, **details: object) -> ConfigError:
        """The error of that code, in words, at this place."""
        words = {
            "client_id": self.client_id,
            "environment": self.environment,
            "address": self.address,
            "project": self.project,
            "folder": self.folder,
        }
        return ConfigError(code, TEXTS[code].format(**words, **details))


def find(
    environ: Mapping[str, str],
    directory: Path,
    environment: str | None,
    warn: Callable[[str], None],
) -> Bootstrap:
    """What the environment, `.env.local` and `.infisical.json` say together.

    Args:
        environ: the process's variables; an empty one counts as not set.
        directory: where to begin to look for `.infisical.json`; its parents follow.
        environment: wins over the variables that name one.
        warn: told of the names in `.env.local` that don't belong there.

    Raises ConfigError `not_configured` for what is missing or can't be read.
    """
    file = _nearest(directory)
    said = _file(file) if file else {}
    local = _env_file((file.parent if file else directory) / _ENV_FILE, warn)
    variables = local | {name: value for name, value in environ.items() if value}
    return _checked(
        Bootstrap(
            variables.get("INFISICAL_CLIENT_ID", ""),
            variables.get("INFISICAL_CLIENT_SECRET", ""),
            environment or _first(variables, "INFISICAL_ENVIRONMENT", "NODE_ENV"),
            _origin(
                _first(variables, "INFISICAL_DOMAIN", "INFISICAL_API_URL") or said.get("domain", "")
            ),
            variables.get("INFISICAL_PROJECT_ID") or said.get("workspaceId", ""),
            variables.get("INFISICAL_SECRET_PATH") or said.get("defaultSecretPath") or "/",
            "" if environ.get("NODE_ENV") else local.get("NODE_ENV", ""),
        )
    )


def _first(variables: Mapping[str, str], *names: str) -> str:
    return next((variables[name] for name in names if name in variables), "")


def _nearest(directory: Path) -> Path | None:
    folders = (directory, *directory.parents)
    return next((file for each in folders if isfile(file := each / _FILE)), None)


def _file(file: Path) -> dict[str, str]:
    try:
        said: Any = json.loads(_bytes(file))
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _wrong(
            f"{file} is no JSON object: write workspaceId, domain and defaultSecretPath into it"
        )
    for key in _KEYS:
        if key in said and not isinstance(said[key], str):
            raise _wrong(f"{file} has a {key} that is no text: write it in quotes")
    return {key: said[key] for key in _KEYS if key in said}


def _env_file(file: Path, warn: Callable[[str], None]) -> dict[str, str]:
    if not isfile(file):
        return {}
    try:
        variables = envfile.parse(_bytes(file).decode())
    except UnicodeDecodeError:
        raise _wrong(f"{file} is no text in UTF-8: save it as UTF-8") from None
    if others := envfile.told([name for name in variables if not _belongs(name)]):
        verb = "is" if len(others) == 1 else "are"
        warn(f"{file}: {', '.join(others)} {verb} ignored: secrets belong in Infisical")
    return {name: value for name, value in variables.items() if value and _belongs(name)}


def _belongs(name: str) -> bool:
    return name == "NODE_ENV" or name.startswith("INFISICAL_")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _wrong(f"{file} can't be read ({error.strerror}): let this user read it") from None


def _origin(address: str) -> str:
    return address.rstrip("/").removesuffix("/api").rstrip("/")


def _is_address(text: str) -> bool:
    try:
        urlsplit(text).port  # noqa: B018 - raises for brackets and ports that are none
    except ValueError:
        return False
    return bool(_ORIGIN.fullmatch(text))


def _checked(found: Bootstrap) -> Bootstrap:
    credential = {
        "INFISICAL_CLIENT_ID": found.client_id,
        "INFISICAL_CLIENT_SECRET": found.client_secret,
    }
    if unset := [name for name, value in credential.items() if not value]:
        them = "it" if len(unset) == 1 else "them"
        raise _not_set(unset, f"put {them} into .env.local, or let the platform inject {them}")
    if not found.environment:
        raise _not_set(["NODE_ENV"], "say which environment this is, such as NODE_ENV=development")
    places = ((_PROJECT, found.project), (_ADDRESS, found.address))
    if absent := [place for place, value in places if not value]:
        keys = " and ".join(key for _, key, _ in absent)
        names = " and ".join(name for _, _, name in absent)
        whats = [what for what, _, _ in absent]
        raise _not_set(whats, f"put {keys} into .infisical.json, or set {names}")
    if not _is_address(found.address):
        shown = found.address.rpartition("@")[2]  # what stands before it may be a password
        raise _wrong(f"the address of Infisical is '{shown}': write https:// and the server's name")
    return found


def _not_set(what: list[str], remedy: str) -> ConfigError:
    verb = "is" if len(what) == 1 else "are"
    return _wrong(f"{' and '.join(what)} {verb} not set: {remedy}")


def _wrong(message: str) -> ConfigError:
    return ConfigError("not_configured", message)
