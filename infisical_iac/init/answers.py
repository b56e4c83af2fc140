"""From the answers of a first deploy to the two files that say what differs."""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infisical_iac.core import compatibility, settings
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import template
from infisical_iac.init.services import FoundService, slug

SETTINGS_FILE = "group_data/hetzner.py"
WORKSPACE_FILE = "group_data/chainalign.yaml"

# In the place of a host: none yet, but one that `infisical-iac server create` makes.
NEW = "new"

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_EXAMPLE = (FoundService("backend", "/backend"), FoundService("python-service", "/python-services"))


@dataclass(frozen=True)
class Answers:
    """Hold what a first deploy must know; as it stands, without any answer, the shipped example.

    An empty `site_url` leaves the default: Infisical is reached through an SSH tunnel. With the
    file of a public key as `ssh_public_key`, the server is one that is made at Hetzner Cloud.
    """

    host: str = ""
    ssh_public_key: str = ""
    ssh_user: str = ""
    site_url: str = ""
    email: str = ""
    organization: str = ""
    services: Sequence[FoundService] = _EXAMPLE


def files(answers: Answers) -> dict[str, str]:
    """The text of each file, by its path in the repository."""
    organization = answers.organization or "ChainAlign"
    project = {"name": _scalar(organization), "slug": _scalar(project_slug(organization))}
    services = [(_scalar(each.name), each.folder) for each in answers.services]
    return {
        SETTINGS_FILE: template(
            SETTINGS_FILE,
            answers=answers,
            quoted=_quoted,
            schema_version=compatibility.SETTINGS.version,
        ),
        WORKSPACE_FILE: template(
            WORKSPACE_FILE,
            project=project,
            services=services,
            schema_version=compatibility.WORKSPACE.version,
        ),
    }


def edited(present: Mapping[str, str]) -> list[str]:
    """Return which of the files that are there, by path and text, are not as they were shipped."""
    shipped = files(Answers())
    return [path for path, text in present.items() if text != shipped[path]]


def project_slug(organization: str) -> str:
    """The slug of the organization's project; Infisical wants 5 to 36 characters."""
    made = slug(organization, fallback="project")
    return made if len(made) >= 5 else f"{made}-project"


def _quoted(text: str) -> str:
    """Return a text in double quotes, as both Python and YAML read it."""
    return json.dumps(text, ensure_ascii=False)


def _scalar(text: str) -> str:
    """Return a text as a scalar of YAML, in quotes where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", text) and yaml.safe_load(text) == text
    return text if is_plain else _quoted(text)


def host(value: str) -> str:
    """A server's name or address as given. Raises SettingsError if it is neither."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        named = re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", value) and len(value) <= 253
        if not named or value.rpartition(".")[2].isdigit():
            raise SettingsError(
                f"{value!r} is no host; write its name or address such as 203.0.113.7"
            ) from None
    return value


def ssh_user(value: str) -> str:
    """A user's name as given. Raises SettingsError if no system has such a user."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
        raise SettingsError(f"{value!r} is no user; write the name of one such as root")
    return value


def public_key(value: str) -> str:
    """The file of a public key as given. Raises SettingsError if there is none."""
    if not (value.endswith(".pub") and Path(value).expanduser().is_file()):
        raise SettingsError(
            f"{value!r} is no public key's file: write one that ends in .pub, which "
            "`ssh-keygen -t ed25519` makes"
        )
    return value


def setting(defaults: Mapping[str, Any], name: str, value: str) -> str:
    """`value` as the settings take it for `name`. Raises SettingsError if they don't."""
    needed = {"admin_email": "you@example.com"}
    checked = settings.load({**defaults, **needed, name: value})
    return str(checked.value_of(name))


def site_url(defaults: Mapping[str, Any], domain: str) -> str:
    """Return the address of a domain, given with or without https://.

    Nothing and the word `none` mean that there is no domain: the address is empty then. Raises
    SettingsError if it is no domain.
    """
    bare = domain.removeprefix("https://")
    if bare.lower() == "none":
        return ""
    return setting(defaults, "site_url", f"https://{bare}") if bare else ""


def select(answer: str, count: int) -> list[int]:
    """The places, from 0, that `all`, `none` or numbers from 1 to `count` stand for.

    Raises SettingsError for anything else.
    """
    if answer == "all":
        return list(range(count))
    words = [] if answer == "none" else re.split(r"[,\s]+", answer)
    numbers = {str(number): number - 1 for number in range(1, count + 1)}
    if answer == "" or not all(word in numbers for word in words):
        raise SettingsError(f"{answer!r} is no choice; write numbers such as 1, all or none")
    return sorted({numbers[word] for word in words})
