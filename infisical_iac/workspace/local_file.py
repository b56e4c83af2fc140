"""Read and write `.infisical.json`: the address, projects and folder of a service; no secret."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.model import Workspace

NAME = ".infisical.json"
_MOST_BYTES = 1024**2


class ImportedFolder(NamedTuple):
    """A shared folder in a project of its own."""

    project_id: str
    folder: str


class OwnProject(NamedTuple):
    """A service's own project in one environment, and the folders that it imports, in order."""

    project_id: str
    imports: tuple[ImportedFolder, ...] = ()


class LocalFile(NamedTuple):
    """The fields that services and Infisical's own command line read; "" is unknown.

    A service has either the one `project_id`, or a project for each environment.
    """

    project_id: str = ""
    domain: str = ""
    folder: str = ""
    projects: Mapping[str, OwnProject] = MappingProxyType({})

    @property
    def ids(self) -> set[str]:
        """Return the ids of all projects that the file names."""
        every = [
            self.project_id,
            *(each.project_id for each in self.projects.values()),
            *(folder.project_id for each in self.projects.values() for folder in each.imports),
        ]
        return {each for each in every if each}


_KEYS = ("workspaceId", "domain", "defaultSecretPath")
_PROJECTS = "projects"
_UNREADABLE = "that no loader could read: let `infisical-iac check --fix` write it"


def find_ids(layout: Layout, workspace: Workspace, service: str) -> LocalFile:
    """Return the ids for the file of a service; none if the layout is empty.

    With a project for each service, an environment is left out if the service's project or that of
    an import is unknown in it.
    """
    named = workspace.services[service]
    found: dict[str, OwnProject] = {}
    for each in () if layout.whole else workspace.environments:
        imports = [ImportedFolder(layout.find(each.slug, path), path) for path in named.imports]
        own = layout.find(each.slug, named.folder)
        if own and all(one.project_id for one in imports):
            found[each.slug] = OwnProject(own, tuple(imports))
    return LocalFile(layout.whole, projects=found)


def parse(text: str) -> LocalFile:
    """Return the fields of a file's text. Raises FileError if no loader could read it."""
    data = _data(text)
    if not isinstance(data.get("strict", False), bool):
        raise FileError("has a strict that is neither true nor false: write it without quotes")
    allow = data.get("allow", [])
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow):
        raise FileError('has an allow that is not a list of names: write it as ["NAME"]')
    project_id, domain, folder = (_string(data, key) for key in _KEYS)
    return LocalFile(project_id, domain, folder, _parse_projects(data))


def complete(text: str, known: LocalFile) -> str:
    """Return the text with the known fields set; unknown fields and other keys stay.

    The one project's id and the projects by environment replace each other.

    Args:
        text: of the existing file; "" for none.

    Raises FileError if the text can't be read.
    """
    data = _data(text) if text else {}
    named: dict[str, Any] = {key: value for key, value in zip(_KEYS, known, strict=False) if value}
    if known.projects:
        named[_PROJECTS] = {slug: _as_data(each) for slug, each in known.projects.items()}
    other = _PROJECTS if known.project_id else _KEYS[0] if known.projects else ""
    kept = {key: value for key, value in data.items() if key != other}
    return json.dumps({**kept, **named}, indent=2, ensure_ascii=False) + "\n"


def text(directory: Path, known: LocalFile) -> str:
    """Return the desired text of the file in a service's directory, with the known fields.

    Raises FileError if the existing file can't be read.
    """
    file = directory / NAME
    try:
        return complete(_read(file), known)
    except FileError as error:
        raise FileError(f"{file} {error}") from None
    except (OSError, UnicodeDecodeError):
        raise FileError(
            f"{file} can't be read: it must be a small file in UTF-8, and no link"
        ) from None


def _read(file: Path) -> str:
    """Return a file's text, "" for none.

    Raises OSError for a link, as a repository of others may have one in the file's place.
    """
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    with os.fdopen(opened, "rb") as stream:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError
        return stream.read().decode()


def text_before_deploy(home: Path, folder: str, site_url: str, tunnel: str) -> str:
    """Return the text of a service's `.infisical.json` in its directory.

    The project's id is not known before a deploy. Without a domain, the file keeps its address; if
    it has none, it gets the address of an SSH tunnel.
    """
    known = LocalFile("", site_url, folder)
    has_address = parse(text(home, known)).domain
    return text(home, known if has_address else known._replace(domain=tunnel))


def write(directory: Path, known: LocalFile) -> bool:
    """Write the known fields into the file of a service's directory; return whether it changed.

    Raises FileError if the existing file can't be read or the new one can't be written.
    """
    file, after = directory / NAME, text(directory, known)
    if file.exists() and file.read_text("utf-8") == after:
        return False
    with atomic.explain_failure(file):
        atomic.write(file, after)
    return True


def _data(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise FileError("is not JSON: write it again, it holds no secret") from None
    if not isinstance(data, dict):
        raise FileError("holds no JSON object: write it again, it holds no secret")
    return data


def _as_data(own: OwnProject) -> dict[str, Any]:
    imports = [{"workspaceId": each.project_id, "secretPath": each.folder} for each in own.imports]
    return {"workspaceId": own.project_id, **({"imports": imports} if imports else {})}


def _parse_projects(data: Mapping[str, Any]) -> dict[str, OwnProject]:
    """Return the projects by environment. Raises FileError for what a loader refuses."""
    if _PROJECTS not in data:
        return {}
    listed = data[_PROJECTS]
    if not isinstance(listed, dict) or not listed:
        raise FileError(f"has a projects {_UNREADABLE}")
    return {slug: _parse_project(f"{_PROJECTS}.{slug}", each) for slug, each in listed.items()}


def _parse_project(key: str, data: Any) -> OwnProject:
    imports = data.get("imports", []) if _has_texts(data, "workspaceId") else None
    if not isinstance(imports, list) or not all(
        _has_texts(each, "workspaceId", "secretPath") for each in imports
    ):
        raise FileError(f"has a {key} {_UNREADABLE}")
    found = (ImportedFolder(each["workspaceId"], each["secretPath"]) for each in imports)
    return OwnProject(data["workspaceId"], tuple(found))


def _has_texts(data: Any, *keys: str) -> bool:
    return isinstance(data, dict) and all(
        isinstance(data.get(key), str) and data[key] for key in keys
    )


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise FileError(f"has a {key} that is not a string: write it in quotes")
    return value
