"""Inspect a repository of services without Infisical, and complete each `.infisical.json`."""

import posixpath
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from functools import cache, cached_property, partial
from pathlib import Path

from infisical_iac.check import env_files, model, startup
from infisical_iac.check.model import Cause, CheckFinding
from infisical_iac.check.usage import Sample, ServiceCode, find_samples, is_test, usage
from infisical_iac.core.errors import FileError
from infisical_iac.dotenv.grammar import ROOTS
from infisical_iac.migrate import cleaning, find
from infisical_iac.migrate.evidence import upwards
from infisical_iac.migrate.find import service_of
from infisical_iac.migrate.ignores import is_dockerfile
from infisical_iac.migrate.plan_file import former_folder
from infisical_iac.workspace import local_file
from infisical_iac.workspace.environment_contents import Names
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.local_file import NAME, LocalFile, parse
from infisical_iac.workspace.model import Workspace

_INIT_FIRST = (
    "The project file still declares sample services: run `infisical-iac init` first, which "
    "declares yours."
)
_NO_LOADER = "does not load infisical-config, and is not started by with-secrets or another runner"
_NOT_LOADED = (
    "depends on infisical-config, but does not load it, and is not started by with-secrets or "
    "another runner"
)
_NO_PACKAGE = (
    "is started by a command of the package infisical-config, which its package.json or "
    "requirements do not name"
)
_ADD_PACKAGE = "Add it there: see `infisical-iac docs loaders`."
_START = "See `infisical-iac docs loaders`."


class Repository:
    """A tree of files with services in it.

    A directory belongs to a service if its `.infisical.json` names the service's folder, or else if
    it has the name of the folder or the service. So does everything below it that belongs to no
    other service. If a renamed service has no such directory, its former name counts.
    """

    def __init__(self, root: Path, workspace: Workspace, *, is_sample: bool = False) -> None:
        """List the files below `root`.

        Args:
            is_sample: whether the project file is still the shipped one. Then `infisical-iac init`
                comes first, and the sample services are not reported as absent.

        Raises FileError for a directory that can't be listed.
        """
        self.root, self.workspace, self._is_sample = root, workspace, is_sample
        self.paths = find.walk(root)
        self.text = cache(partial(_text, root))
        self._homes = self._services_by_directory({})
        former = {
            each: name
            for each, name in workspace.renamed_services.items()
            if name not in self._homes.values()
        }
        if former:
            self._homes = self._services_by_directory(former)
        self._containers = list(startup.containers(self.paths, self.text))
        self._by_service: dict[str, list[str]] = {}
        for path in self.paths:
            service = _around(posixpath.dirname(path), self._homes)
            self._by_service.setdefault(service, []).append(path)

    def _services_by_directory(self, former: Mapping[str, str]) -> dict[str, str]:
        """Return the services by the topmost directories that belong to them.

        Args:
            former: services by the former names that count.
        """
        folders = {former_folder(self.workspace, *each): each[1] for each in former.items()}
        folders |= {service.folder: name for name, service in self.workspace.services.items()}
        declared: dict[str, str] = {}
        for path in self.paths:
            directory, name = posixpath.split(path)
            if name == NAME:
                with suppress(FileError):  # `starts` reports it
                    declared[directory] = folders.get(parse(self.text(path)).folder, "")
        directories = {each for path in self.paths for each in upwards(posixpath.dirname(path))}
        homes: dict[str, str] = {}
        for directory in sorted(directories, key=lambda each: (each.count("/"), each)):
            service = declared.get(directory) or self._service_by_name(directory, former)
            if service and _around(directory, homes) != service:
                homes[directory] = service
        return homes

    def _service_by_name(self, directory: str, former: Mapping[str, str]) -> str:
        """Return the service with the name of this directory; names of parents do not count."""
        above, root = posixpath.dirname(directory), self.root.resolve().name
        service, other = (
            service_of(posixpath.join(each, "-"), root, (), self.workspace, former)
            for each in (directory, above)
        )
        return service if service != other or not directory else ""

    @cached_property
    def services(self) -> dict[str, list[str]]:
        """Return the directories of each service in the tree, in the order of the project file."""
        found = {
            name: [at for at, service in self._homes.items() if service == name]
            for name in self.workspace.services
        }
        return {name: homes for name, homes in found.items() if homes}

    def exceptions(self) -> dict[str, str]:
        """Return the accepted patterns with their reasons. Raises FileError."""
        return model.load(self.text(model.NAME), model.NAME)

    def files(self, names: Names | None = None) -> Iterator[CheckFinding]:
        """Yield findings on `.env` files, on the rules that exclude them, and on unread exceptions.

        The report of a migration counts if it is at the root or in the working directory.

        Args:
            names: the keys in Infisical; None if it was not queried.

        Raises FileError if git fails.
        """
        for path in self.paths:
            if posixpath.basename(path) == model.NAME != path:
                message = f"It is not read: move its patterns to {model.NAME} of {self.root}."
                yield CheckFinding("unused-exception", path, "", message, is_note=True)
        homes = [home for each in self.services.values() for home in each]
        ignored = env_files.ignored_by_git(self.root, filter(env_files.is_local, self.paths))
        proven = cleaning.proven_keys(
            self.root, (self.root, Path.cwd()), self.workspace.project.slug
        )
        stored = partial(self._find_stored, names or {})
        yield from env_files.findings(self.root, self.paths, self.text, ignored, proven, stored)
        yield from env_files.in_git(self.root, self.paths, homes, proven)
        yield from env_files.in_images(self.paths, self.text, homes)

    def _find_stored(self, names: Names, path: str, key: str) -> str:
        """Return the folder from which the service of a file gets the key; "" for none."""
        service = _around(posixpath.dirname(path), self._homes)
        slug = find.environment_of(path, [each.slug for each in self.workspace.environments])
        folders = self.workspace.services[service].readable if service else ()
        return next((each for each in folders if key in names.get((slug, each), ())), "")

    def starts(self, layout: Layout, address: str) -> Iterator[CheckFinding]:
        """Yield findings on services that lack a loader or a correct `.infisical.json`.

        Args:
            layout: the projects in Infisical; empty if Infisical was not queried.
            address: the address of Infisical; "" if it was not queried.
        """
        if not self.services:
            message = (
                "No directory here belongs to a service of the project file: give the directory "
                "that the services are in, rename a directory to the name of its service, or write "
                "the service's folder into the directory's .infisical.json."
            )
            yield CheckFinding("no-service", ".", "", _INIT_FIRST if self._is_sample else message)
        for name, homes in self.services.items():
            if trouble := self._find_loader_trouble(name):
                place = homes[0] or "."
                cause = Cause(place, "", _START)
                message = f"{name} {trouble}. {_START}"
                yield CheckFinding("no-loader", place, "", message, cause=cause)
            elif self._lacks_package(name):
                cause = Cause(homes[0] or ".", "", _ADD_PACKAGE)
                message = f"{name} {_NO_PACKAGE}. {_ADD_PACKAGE}"
                yield CheckFinding("no-package", homes[0] or ".", "", message, cause=cause)
            known = self.known_fields(name, layout)
            yield from startup.local_file(homes, self.paths, self.text, known, address)
        yield from self._stale_local_files({*layout.ids})

    def known_fields(self, name: str, layout: Layout) -> LocalFile:
        """Return the folder of a service, and the ids of its projects as far as they are known."""
        ids = local_file.find_ids(layout, self.workspace, name)
        return ids._replace(folder=self.workspace.services[name].folder)

    def is_started_by_its_code(self, name: str) -> bool:
        """Return whether code of a service, or code that services share, loads its secrets."""
        return startup.imports_loader(*self._starting_files(name), self.text)

    def list_commands(self, name: str) -> list[str]:
        """Return the commands by which compose files start a service."""
        containers = self._containers_of(name, self.services[name])
        return [each.command for each in containers if each.command]

    def services_without_loader(self) -> set[str]:
        """Return the names of the services that do not load their secrets."""
        return {name for name in self.services if self._find_loader_trouble(name)}

    def describe_unready_services(self) -> dict[str, str]:
        """Return a sentence on each service that can't start without `.env` files, by its name."""
        found = {}
        for name in self.services:
            if trouble := self._find_loader_trouble(name):
                found[name] = f"{name} can't start without its .env files: it {trouble}. {_START}"
            elif self._lacks_package(name):
                found[name] = f"{name} can't start: it {_NO_PACKAGE}. {_ADD_PACKAGE}"
        return found

    def _find_loader_trouble(self, name: str) -> str:
        """Return a clause on a service that does not load its secrets; empty for one that does."""
        mine, shared = self._starting_files(name)
        containers = self._containers_of(name, self.services[name])
        if startup.has_loader(mine, self.text, containers, shared):
            return ""
        return _NOT_LOADED if startup.depends_on_loader(mine, self.text) else _NO_LOADER

    def _lacks_package(self, name: str) -> bool:
        mine, shared = self._starting_files(name)
        containers = self._containers_of(name, self.services[name])
        return startup.lacks_package(mine, self.text, containers, shared)

    def _starting_files(self, name: str) -> tuple[list[str], list[str]]:
        """Return the paths of a service with the manifests above it, and those of shared code."""
        all_files = (*self._by_service.get(name, ()), *self._above(self.services[name]))
        shared = self._by_service.get("", ())
        return (
            [path for path in all_files if not is_test(path)],
            [path for path in shared if not is_test(path)],
        )

    def _stale_local_files(self, ids: Set[str]) -> Iterator[CheckFinding]:
        """Yield a finding on each `.infisical.json` of the projects that names an unknown folder.

        The file may belong to a renamed service, whose directory nothing else shows.
        """
        for path in self.paths:
            directory, name = posixpath.split(path)
            if name != NAME or directory in self._homes:
                continue
            with suppress(FileError):
                file = parse(self.text(path))
                known = any(f"{file.folder}/".startswith(f"{e}/") for e in self.workspace.folders)
                if file.ids & ids and file.folder.strip("/") and not known:
                    message = (
                        f"Its defaultSecretPath is {file.folder}, which the project file does not "
                        "name. Write its service's folder into it, or delete the file."
                    )
                    yield CheckFinding("local-file", path, "", message)

    def is_about_services_here(self, place: str) -> bool:
        """Return whether a finding's place may concern a service in the tree.

        A folder in Infisical concerns the services that read it.
        """
        slugs = {each.slug for each in self.workspace.environments}
        environment, slash, rest = place.partition("/")
        path = f"/{rest}" if slash and environment in {"", *slugs} else ""
        readers = {
            name
            for name, service in self.workspace.services.items()
            if name == place
            or any(f"{path}/".startswith(f"{e.rstrip('/')}/") for e in service.readable if path)
        }
        return not readers or not readers.isdisjoint(self.services)

    def find_absent(self) -> Iterator[CheckFinding]:
        """Yield notes on the services of the project file that are not in this repository."""
        absent = [name for name in self.workspace.services if name not in self.services]
        if not self._is_sample:
            message = "The service is not in this repository."
            yield from (CheckFinding("not-checked", each, "", message, True) for each in absent)
        elif absent and self.services:
            yield CheckFinding("not-checked", ".", "", _INIT_FIRST, True)

    @cached_property
    def code_by_service(self) -> Mapping[str, ServiceCode]:
        """Return the keys that the code of each service uses."""
        return {
            name: ServiceCode(
                usage(self._by_service.get(name, ()), self.text), self._given_keys(name, homes)
            )
            for name, homes in self.services.items()
        }

    def elsewhere(self) -> set[str]:
        """Return the words of files that belong to no service; their code may read any key."""
        return usage(self._by_service.get("", ()), self.text).used

    def find_samples(self) -> Iterator[Sample]:
        """Yield the samples, such as `.env.example`, whose keys differ from those in the code."""
        held = self.code_by_service
        return find_samples(self.root, self.paths, self.services, held, self.elsewhere())

    def _above(self, homes: list[str]) -> Iterator[str]:
        up = {each for home in homes for each in upwards(home) if each != home}
        return (
            path
            for path in self.paths
            if posixpath.split(path)[0] in up and posixpath.basename(path) in ROOTS
        )

    def _given_keys(self, name: str, homes: list[str]) -> set[str]:
        mine = self._by_service.get(name, ())
        images = (path for path in mine if is_dockerfile(posixpath.basename(path)))
        given = {key for path in images for key in startup.set_in_image(self.text(path))}
        return given.union(*(each.given for each in self._containers_of(name, homes)))

    def _containers_of(self, name: str, homes: list[str]) -> list[startup.Started]:
        return [
            each for each in self._containers if startup.belongs(each, name, homes, self.workspace)
        ]


def _around(directory: str, homes: Mapping[str, str]) -> str:
    """Return the service that a directory belongs to, or ""."""
    return next((homes[each] for each in upwards(directory) if each in homes), "")


def _text(root: Path, path: str) -> str:
    """Return a file's text; "" for a binary file, such as an image."""
    text = find.text(root, path)
    return "" if "\0" in text[:8192] else text


def complete(root: Path, workspace: Workspace, layout: Layout, address: str) -> list[Path]:
    """Complete the `.infisical.json` of each service below `root`; return the changed files.

    A file keeps its domain, unless that is a tunnel's and Infisical's address is not. It keeps the
    projects of environments whose projects are unknown here. Raises FileError for a file that can't
    be read or written, and for a directory that can't be listed.
    """
    repository = Repository(root, workspace)
    written = []
    for name, homes in repository.services.items():
        known = repository.known_fields(name, layout)
        found = startup.local_file(homes, repository.paths, repository.text, known, address)
        if any(not each.is_note for each in found):
            there = LocalFile()
            with suppress(FileError):
                there = parse(repository.text(posixpath.join(homes[0], NAME)))
            domain = there.domain
            if not domain or startup.is_outdated(domain, address):
                domain = address
            projects = {
                each.slug: own
                for each in workspace.environments
                if (own := known.projects.get(each.slug) or there.projects.get(each.slug))
            }
            known = known._replace(domain=domain, projects=projects if known.projects else {})
            if local_file.write(root / homes[0], known):
                written.append(root / homes[0] / NAME)
    return written
