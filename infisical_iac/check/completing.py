"""The `.infisical.json` of services, written where it is missing or leads elsewhere."""

import posixpath
from pathlib import Path

from infisical_iac import local_file
from infisical_iac.check import startup
from infisical_iac.check.repository import Repository, look
from infisical_iac.local_file import NAME, LocalFile, LocalFileError
from infisical_iac.workspace.model import Workspace


def complete(root: Path, workspace: Workspace, project_id: str, domain: str) -> list[Path]:
    """Write into each service's file below `root` what it lacks; returns those that changed.

    Args:
        domain: Infisical's address. A file that has one keeps it.

    Raises LocalFileError for a file that can't be read or written, and ScanError for a directory
    that can't be listed.
    """
    looked = look(root, workspace)
    written = []
    for name, homes in looked.services.items():
        folder = workspace.services[name].folder
        if any(startup.local_file(homes, looked.paths, looked.text, folder, project_id)):
            known = LocalFile(project_id, _domain(looked, homes[0]) or domain, folder)
            if local_file.write(root / homes[0], known):
                written.append(root / homes[0] / NAME)
    return written


def _domain(looked: Repository, home: str) -> str:
    try:
        return local_file.parse(looked.text(posixpath.join(home, NAME))).domain
    except LocalFileError:
        return ""
