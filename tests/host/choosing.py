"""Choose which hosts of an inventory are verified, and by which files of tests."""

import sys
from collections.abc import Iterable
from pathlib import Path

from infisical_iac.core.settings import Settings
from tests.host.target import Target, TargetError

_HERE = Path(__file__).resolve().parent
_CLUSTER = _HERE / "cluster"
# What is inside Infisical is the same from each node of a cluster, and asked for on one.
_ONCE = (_CLUSTER, _HERE / "inside")
# The kinds of ingress that a file of tests is for; the others are for all.
_OF_INGRESS = {
    "test_behind_traefik.py": ("traefik",),
    "test_caddy.py": ("caddy", "traefik"),
    "test_caddy_outside.py": ("caddy",),
    "test_engine.py": ("caddy", "none"),
    "test_ingress.py": ("caddy", "traefik"),
    "test_rotation.py": ("caddy", "traefik"),
}


def is_asked_for(arguments: Iterable[str]) -> bool:
    """Return whether the arguments of pytest name this suite, or something in it."""
    paths = (Path(each.partition("::")[0]).resolve() for each in arguments)
    return any(each.is_relative_to(_HERE) for each in paths)


def reached(found: list[Target]) -> list[Target]:
    """The hosts to verify: of a cluster those that answer; what is in cluster/ tells of the others.

    Raises TargetError if that is none.
    """
    if len(found) == 1:
        return found
    answering = [each for each in found if each.answers]
    if not answering:
        raise TargetError("no host of the cluster can be reached")
    for each in found:
        if each not in answering:
            print(f"Note: {each.name} can't be reached, and is not verified", file=sys.stderr)
    return answering


def is_left_out(path: Path, settings: Settings) -> bool:
    """Return whether a file or folder of tests has nothing to verify where the settings are
    these.
    """
    if path == _CLUSTER and settings.cluster.topology == "single":
        return True
    kind = settings.stack.ingress
    return kind not in _OF_INGRESS.get(path.name, (kind,))


def verified_by(file: Path, nodes: list[Target]) -> list[Target]:
    """The nodes of a cluster, of those to verify, that a file of tests is run on."""
    return nodes[:1] if file.parent in _ONCE else nodes
