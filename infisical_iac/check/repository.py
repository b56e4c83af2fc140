"""One repository of services, looked at without Infisical."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

from infisical_iac.check import compose, env_files, exceptions, ignoring, startup
from infisical_iac.check.homes import Homes
from infisical_iac.check.keys import Held
from infisical_iac.check.model import Finding
from infisical_iac.check.usage import usage
from infisical_iac.migrate import files, find
from infisical_iac.migrate.ignores import is_dockerfile
from infisical_iac.migrate.signs import upwards
from infisical_iac.workspace.model import Workspace

_MANIFESTS = {"package.json", "pyproject.toml", "requirements.txt"}


@dataclass
class Repository:
    """A tree of files with services in it; made by `look`."""

    root: Path
    paths: list[str]
    workspace: Workspace
    homes: Homes

    def __post_init__(self) -> None:
        self.text = cache(partial(_text, self.root))
        self._there = frozenset(self.paths)
        self._containers = list(compose.containers(self.paths, self.text))
        self._by_service: dict[str, list[str]] = {}
        for path in self.paths:
            self._by_service.setdefault(self.homes.service(path), []).append(path)

    @cached_property
    def services(self) -> dict[str, list[str]]:
        """The directories of each service that is here, in the order of the workspace file."""
        found = {
            name: [at for at, service in self.homes.by_directory.items() if service == name]
            for name in self.workspace.services
        }
        return {name: homes for name, homes in found.items() if homes}

    def exceptions(self) -> dict[str, str]:
        """Return what is accepted here: reasons by pattern. Raises ExceptionError or
        WorkspaceError.
        """
        return exceptions.load(self.text(exceptions.NAME), exceptions.NAME)

    def files(self) -> Iterator[Finding]:
        """Yield what is wrong with `.env` files and what keeps them out of git and of images.

        Raises GitError or ScanError if git can't be asked.
        """
        homes = [home for each in self.services.values() for home in each]
        ignored = ignoring.ignored(self.root, filter(env_files.is_local, self.paths))
        yield from env_files.findings(self.root, self.paths, self.text, ignored)
        yield from ignoring.in_git(self.root, self.paths, homes)
        yield from ignoring.in_images(self.paths, self.text, homes)

    def starts(self, project_id: str) -> Iterator[Finding]:
        """Yield what a service lacks that is to start from Infisical.

        Args:
            project_id: of the project in Infisical; "" if that can't be asked.
        """
        if not self.services:
            message = (
                "No service of the workspace file is here: name a directory as one of them, or "
                "write its folder into .infisical.json there."
            )
            yield Finding("no-service", ".", "", message)
        for name, homes in self.services.items():
            mine = [*self._by_service.get(name, ()), *self._above(homes)]
            if not startup.has_loader(mine, self.text, self._started(name, homes)):
                message = (
                    f"{name} has no infisical-config, and is not started by with-secrets or "
                    "another runner: see loaders/README.md."
                )
                yield Finding("no-loader", homes[0] or ".", "", message)
            folder = self.workspace.services[name].folder
            yield from startup.local_file(homes, self._there, self.text, folder, project_id)

    @cached_property
    def held(self) -> Mapping[str, Held]:
        """Return what the code of each service reads."""
        return {
            name: Held(usage(self._by_service.get(name, ()), self.text), self._given(name, homes))
            for name, homes in self.services.items()
        }

    def elsewhere(self) -> set[str]:
        """The words of files that are no service's; what code among them reads may be any."""
        return usage(self._by_service.get("", ()), self.text).used

    def _above(self, homes: list[str]) -> Iterator[str]:
        up = {each for home in homes for each in upwards(home) if each != home}
        return (
            path
            for path in self.paths
            if posixpath.split(path)[0] in up and posixpath.basename(path) in _MANIFESTS
        )

    def _given(self, name: str, homes: list[str]) -> set[str]:
        mine = self._by_service.get(name, ())
        images = (path for path in mine if is_dockerfile(posixpath.basename(path)))
        given = {key for path in images for key in compose.set_in_image(self.text(path))}
        return given.union(*(each.given for each in self._started(name, homes)))

    def _started(self, name: str, homes: list[str]) -> list[compose.Started]:
        return [
            each for each in self._containers if compose.belongs(each, name, homes, self.workspace)
        ]


def look(root: Path, workspace: Workspace) -> Repository:
    """The repository at a directory. Raises ScanError for a directory that can't be listed."""
    paths = find.walk(root)
    homes = Homes(paths, partial(_text, root), root.resolve().name, workspace)
    return Repository(root, paths, workspace, homes)


def _text(root: Path, path: str) -> str:
    """A file's text; "" for what is none, such as an image."""
    text = files.text(root, path)
    return "" if "\0" in text[:8192] else text
