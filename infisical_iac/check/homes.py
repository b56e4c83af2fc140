"""Where in a repository each service of the workspace file lives."""

import posixpath
from collections.abc import Iterable, Mapping
from functools import cached_property

from infisical_iac.local_file import NAME, LocalFileError, parse
from infisical_iac.migrate.services import service_of
from infisical_iac.migrate.signs import Text, upwards
from infisical_iac.workspace.model import Workspace


class Homes:
    """The directories of the services.

    A directory is a service's if its `.infisical.json` names the service's folder, or else if it
    is named as the folder or the service; and so is all below it that is no other service's.
    """

    def __init__(self, paths: Iterable[str], text: Text, root: str, workspace: Workspace) -> None:
        """Look at the files in `paths`; `root` is the name of the directory that they are in."""
        self._root, self._workspace = root, workspace
        self._paths = list(paths)
        self._declared = _declared(self._paths, text, workspace)

    @cached_property
    def by_directory(self) -> Mapping[str, str]:
        """The services by the directories that they begin in."""
        directories = {each for path in self._paths for each in upwards(posixpath.dirname(path))}
        homes: dict[str, str] = {}
        for directory in sorted(directories, key=lambda each: (each.count("/"), each)):
            service = self._declared.get(directory) or self._named(directory)
            if service and self._above(directory, homes) != service:
                homes[directory] = service
        return homes

    def service(self, path: str) -> str:
        """The service that a file belongs to, "" for none."""
        return self._above(path, self.by_directory)

    def _named(self, directory: str) -> str:
        """The service that is named as just this directory; its own name counts, no parent's."""
        service = service_of(posixpath.join(directory, "-"), self._root, (), self._workspace)
        if not directory:
            return service
        above = posixpath.join(posixpath.dirname(directory), "-")
        return "" if service == service_of(above, self._root, (), self._workspace) else service

    def _above(self, path: str, homes: Mapping[str, str]) -> str:
        around = upwards(posixpath.dirname(path))
        return next((homes[each] for each in around if each in homes), "")


def _declared(paths: Iterable[str], text: Text, workspace: Workspace) -> dict[str, str]:
    folders = {service.folder: name for name, service in workspace.services.items()}
    found: dict[str, str] = {}
    for path in paths:
        directory, name = posixpath.split(path)
        if name == NAME:
            try:
                found[directory] = folders.get(parse(text(path)).folder, "")
            except LocalFileError:
                continue  # told where the files are judged
    return found
