"""Files that docker compose passes to containers, or takes its own variables from."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from infisical_iac.migrate.evidence import Evidence, Text

_COMPOSE_FILE = re.compile(r"(docker-)?compose([.-][^/]*)?\.ya?ml")


class _Loader(yaml.SafeLoader):
    """Compose has tags of its own, such as `!override`; what they tag is read as it stands."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _plain)


def in_compose_files(paths: Iterable[str], text: Text) -> Iterator[tuple[str, Evidence]]:
    """The files that `env_file:` names, each with the service that it is passed to."""
    for path in compose_files(paths):
        directory = posixpath.dirname(path)
        for service, name, raw in _env_files(text(path)):
            named = posixpath.normpath(posixpath.join(directory, name))
            own = ", as raw text" if raw else ""
            why = f"{path} passes it to {service} by env_file{own}"
            yield named, Evidence("compose", why, exact=not raw, reader=service)


def beside_compose_files(paths: Iterable[str], text: Text) -> Iterator[tuple[str, Evidence]]:
    """The `.env` files that stand beside a compose file which has variables."""
    for path in compose_files(paths):
        if "${" in text(path):
            why = f"{path} beside it takes its own variables from it"
            yield posixpath.join(posixpath.dirname(path), ".env"), Evidence("compose", why)


def compose_files(paths: Iterable[str]) -> Iterator[str]:
    """Those of the paths that are compose files."""
    return (path for path in paths if _COMPOSE_FILE.fullmatch(posixpath.basename(path)))


def compose_services(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The services of a compose file, each with its name; none of what compose can't read."""
    try:
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    found = data.get("services") if isinstance(data, dict) else None
    for name, service in found.items() if isinstance(found, dict) else ():
        if isinstance(service, dict):
            yield str(name), service


def _env_files(text: str) -> Iterator[tuple[str, str, bool]]:
    """The service, the path as written and whether it is read raw, of each `env_file`."""
    for name, service in compose_services(text):
        given = service.get("env_file")
        for each in given if isinstance(given, list) else [given]:
            path = each.get("path") if isinstance(each, dict) else each
            raw = isinstance(each, dict) and each.get("format") == "raw"
            if isinstance(path, str):
                yield name, path, raw
