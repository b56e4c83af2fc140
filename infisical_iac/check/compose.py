"""Read from compose files and Dockerfiles how a service is started."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from infisical_iac.migrate import compose_files
from infisical_iac.migrate.services import service_of
from infisical_iac.migrate.signs import Text
from infisical_iac.workspace.model import Workspace

_DOCKER_ENV = re.compile(r"(?m)^\s*ENV\s+((?:.*\\\n)*.*)")
_ASSIGNED = re.compile(r"(?:^|\s)([A-Za-z_]\w*)(?:=(\S*)|\s+(\S+))")


class Started(NamedTuple):
    """Hold how one container is started.

    Attributes:
        name: of the service in the compose file.
        build: the directory that its image is built from; None if it is built elsewhere.
        command: the words that start it.
        given: the variables that it gets as they stand there.
    """

    name: str
    build: str | None
    command: str
    given: frozenset[str]


def containers(paths: Iterable[str], text: Text) -> Iterator[Started]:
    """Yield what the compose files among `paths` start."""
    for path in compose_files.among(paths):
        for service, data in compose_files.services(text(path)):
            yield _started(service, data, posixpath.dirname(path))


def belongs(started: Started, service: str, homes: Sequence[str], workspace: Workspace) -> bool:
    """Return whether a container is one of a service: it is built from its directory, or named
    so.
    """
    if started.build is not None and started.build in homes:
        return True
    return service_of("-", "", (started.name,), workspace) == service


def set_in_image(dockerfile: str) -> set[str]:
    """The variables that an image is made with."""
    lines = (found[1].replace("\\\n", " ") for found in _DOCKER_ENV.finditer(dockerfile))
    return {each[1] for line in lines for each in _ASSIGNED.finditer(line)}


def _started(name: str, data: dict[str, Any], directory: str) -> Started:
    build = data.get("build")
    context = build.get("context", ".") if isinstance(build, dict) else build
    place = posixpath.normpath(posixpath.join(directory, str(context))) if context else None
    words = [data.get("entrypoint"), data.get("command")]
    return Started(
        name,
        "" if place == "." else place,
        " ".join(
            " ".join(map(str, each)) if isinstance(each, list) else str(each) for each in words
        ),
        frozenset(_given(data.get("environment"))),
    )


def _given(environment: Any) -> Iterator[str]:
    """The variables with a value of their own; what is passed through comes from elsewhere."""
    if isinstance(environment, list):
        pairs = [str(each).partition("=")[::2] for each in environment]
        environment = {name: value or None for name, value in pairs}
    for name, value in environment.items() if isinstance(environment, dict) else ():
        if value is not None and "$" not in str(value):
            yield str(name)
