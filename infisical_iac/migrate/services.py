"""Find the service of the workspace file that a path belongs to."""

import re
from collections.abc import Sequence

from infisical_iac.workspace.model import Workspace


def service_of(path: str, root: str, readers: Sequence[str], workspace: Workspace) -> str:
    """The service whose file this is, or "".

    Args:
        path: of the file, relative to the scanned directory.
        root: the name of the scanned directory, which may be the service's own.
        readers: names that a compose file gives to the containers that read it.

    The nearest directory counts that is a service's folder, or else is named as the service;
    then the readers, if they are one service.
    """
    directories = [root, *path.split("/")[:-1]]
    for length in range(len(directories), 0, -1):
        if service := _at(directories[:length], workspace):
            return service
    known = {each for each in map(_plain, readers) if each in workspace.services}
    return known.pop() if len(known) == 1 else ""


def _at(directories: Sequence[str], workspace: Workspace) -> str:
    """The service that lives just here: the one with the longest folder, then one by name."""
    here = [_plain(each) for each in directories]
    folders = {name: _parts(service.folder) for name, service in workspace.services.items()}
    fitting = [name for name, folder in folders.items() if here[-len(folder) :] == folder]
    if fitting:
        return max(fitting, key=lambda name: len(folders[name]))
    return here[-1] if here[-1] in workspace.services else ""


def _parts(folder: str) -> list[str]:
    return [_plain(each) for each in folder.strip("/").split("/")]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
