"""Render the settings and the project file of a first deploy, and check the answers for them."""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

import yaml

from infisical_iac.core import compatibility, settings
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import template
from infisical_iac.init.services import FoundService, slug

# The group of the shipped inventory. Other groups may have any other name.
GROUP = "hetzner"
_SETTINGS_TEMPLATE = "group_data/hetzner.py"
WORKSPACE_FILE = "group_data/chainalign.yaml"

# The names of pyinfra's own group, and of the inventories that are shipped for other uses.
_TAKEN_GROUPS = ("all", "local", "production_hosts", "staging", "staging_cluster")

# Given as the host: `infisical-iac server create` will make one.
NEW = "new"

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_EXAMPLE = (FoundService("backend", "/backend"), FoundService("python-service", "/python-services"))


@dataclass(frozen=True)
class Answers:
    """The answers for a first deploy. The defaults are those of the shipped example.

    Attributes:
        ssh_public_key: the file of a public key, for a server that will be made at Hetzner Cloud.
        site_url: empty for the default, with which Infisical is reached through an SSH tunnel.
        group: the name of the inventory and of the file of its settings.
    """

    host: str = ""
    ssh_public_key: str = ""
    ssh_user: str = ""
    site_url: str = ""
    email: str = ""
    organization: str = ""
    services: Sequence[FoundService] = _EXAMPLE
    group: str = GROUP


def settings_file(group: str) -> str:
    """Return the path of a group's settings in the repository."""
    return f"group_data/{group}.py"


def inventory_file(group: str) -> str:
    """Return the path of a group's inventory in the repository."""
    return f"inventory/{group}.py"


def files(answers: Answers) -> dict[str, str]:
    """Return the text of each file, by its path in the repository."""
    organization = answers.organization or "ChainAlign"
    project = {"name": _scalar(organization), "slug": _scalar(project_slug(organization))}
    services = [(_scalar(each.name), each.folder) for each in answers.services]
    group = answers.group
    # The inventory of the default group is shipped, and does more.
    inventory = {inventory_file(group): template("inventory/group.py", group=group)}
    return {
        settings_file(group): template(
            _SETTINGS_TEMPLATE,
            answers=answers,
            quote=_quote,
            schema_version=compatibility.SETTINGS.version,
        ),
        WORKSPACE_FILE: template(
            WORKSPACE_FILE,
            project=project,
            services=services,
            schema_version=compatibility.WORKSPACE.version,
        ),
        **({} if group == GROUP else inventory),
    }


def find_edited(present: Mapping[str, str], group: str) -> list[str]:
    """Return the paths of a group's files, given by path and text, that differ from the shipped."""
    shipped = files(Answers(group=group))
    return [path for path, text in present.items() if text != shipped[path]]


def is_sample(project_file: Path) -> bool:
    """Return whether a project file is still the shipped one, whose services are samples."""
    return project_file.read_text("utf-8") == files(Answers())[WORKSPACE_FILE]


def project_slug(organization: str) -> str:
    """Return the slug of the organization's project; Infisical requires 5 to 36 characters."""
    made = slug(organization, fallback="project")
    return made if len(made) >= 5 else f"{made}-project"


def _quote(text: str) -> str:
    """Return a text in double quotes, as both Python and YAML read it."""
    return json.dumps(text, ensure_ascii=False)


def _scalar(text: str) -> str:
    """Return a text as a scalar of YAML, in quotes where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", text) and yaml.safe_load(text) == text
    return text if is_plain else _quote(text)


def group(value: str) -> str:
    """Return the name of a group. Raises SettingsError for one that can't be used.

    It is the name of two files, and of a Python variable in one of them.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value) or iskeyword(value):
        raise SettingsError(
            f"{value!r} is not a group name; use lower-case letters, digits and underscores, such "
            "as office",
            code="settings.group_name",
        )
    if value in _TAKEN_GROUPS:
        raise SettingsError(
            f"{value!r} is a group of this project's own; choose another name",
            code="settings.group_taken",
        )
    return value


def host(value: str) -> str:
    """Return a server's name or address. Raises SettingsError if it is neither."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        named = re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", value) and len(value) <= 253
        if not named or value.rpartition(".")[2].isdigit():
            raise SettingsError(
                f"{value!r} is not a host; write its name or address, such as 203.0.113.7"
            ) from None
    return value


def ssh_user(value: str) -> str:
    """Return a user's name. Raises SettingsError if it is not a valid one."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
        raise SettingsError(f"{value!r} is not a user; write the name of one, such as root")
    return value


def public_key(value: str) -> str:
    """Return the path of a public key's file. Raises SettingsError if there is no such file."""
    if not (value.endswith(".pub") and Path(value).expanduser().is_file()):
        raise SettingsError(
            f"{value!r} is not a public key file: name a file that ends in .pub, such as "
            "`ssh-keygen -t ed25519` makes"
        )
    return value


def setting(defaults: Mapping[str, Any], name: str, value: str) -> str:
    """Return a setting's value in the form of the settings. Raises SettingsError if it is wrong.

    The error does not name the setting, as a person was asked for something else, such as a domain.
    """
    needed = {"admin_email": "you@example.com"}
    try:
        checked = settings.load({**defaults, **needed, name: value})
    except SettingsError as error:
        reason = str(error).removeprefix(f"setting {name!r}: ")
        raise SettingsError(reason, code=error.code) from None
    return str(checked.value_of(name))


def site_url(defaults: Mapping[str, Any], domain: str) -> str:
    """Return the address of a domain, which is given with or without https://.

    Nothing and the word `none` mean that there is no domain: the address is empty then. Raises
    SettingsError if it is not a domain, or a name without a dot.
    """
    bare = domain.removeprefix("https://")
    if bare.lower() in ("", "none"):
        return ""
    if not re.fullmatch(r".*[^.]\.[^.].*", bare.partition(":")[0]):
        raise SettingsError(
            f"{domain!r} has no dot, as a domain in the DNS does: write one such as "
            "secrets.example.com, or `none`",
            code="settings.domain",
        )
    return setting(defaults, "site_url", f"https://{bare}")


def project_name(directory: Path) -> str:
    """Return the name of a directory as a project's: `acme-shop` becomes `Acme Shop`."""
    words = re.split(r"[-_.\s]+", directory.name)
    return " ".join(word[0].upper() + word[1:] for word in words if word)


def select(answer: str, count: int) -> list[int]:
    """Return the indexes that an answer selects: `all`, `none`, or numbers from 1 to `count`.

    Raises SettingsError for anything else.
    """
    if answer == "all":
        return list(range(count))
    words = [] if answer == "none" else re.split(r"[,\s]+", answer)
    numbers = {str(number): number - 1 for number in range(1, count + 1)}
    if answer == "" or not all(word in numbers for word in words):
        raise SettingsError(f"{answer!r} is not a choice; write numbers such as 1, all or none")
    return sorted({numbers[word] for word in words})
