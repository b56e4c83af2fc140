"""Choose which hosts of an inventory are verified, and by which files of tests."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from infisical_iac.core.settings import Settings
from infisical_iac.stack.ingress_kinds import IngressKind
from tests.host.target import Target, TargetError

_HERE = Path(__file__).resolve().parent
_CLUSTER = _HERE / "cluster"
# All nodes of a cluster show the same state in Infisical, so it is checked on one node.
_ONCE = (_CLUSTER, _HERE / "inside")
# Files of tests that apply to some kinds of ingress only, and the property that a kind must have.
_OF_INGRESS: dict[str, Callable[[type[IngressKind]], object]] = {
    "test_behind_proxy.py": lambda kind: kind.behind_proxy,
    "test_caddy.py": lambda kind: kind.runs_caddy,
    "test_caddy_outside.py": lambda kind: kind.is_public,
    "test_engine.py": lambda kind: not kind.engine_owner,
    "test_ingress.py": lambda kind: kind.runs_caddy,
    "test_rotation.py": lambda kind: kind.runs_caddy,
}


def is_asked_for(arguments: Iterable[str]) -> bool:
    """Return whether the arguments of pytest name this suite, or a test in it."""
    paths = (Path(each.partition("::")[0]).resolve() for each in arguments)
    return any(each.is_relative_to(_HERE) for each in paths)


def select_reachable(found: list[Target]) -> list[Target]:
    """Return the hosts to verify: a single host, or the nodes of a cluster that answer.

    The tests in cluster/ report the other nodes. Raises TargetError if no node answers.
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
    """Return whether a file or folder of tests does not apply to a host with these settings."""
    if path == _CLUSTER and settings.cluster.topology == "single":
        return True
    is_for = _OF_INGRESS.get(path.name)
    return is_for is not None and not is_for(settings.stack.ingress_kind)


def select_nodes(file: Path, nodes: list[Target]) -> list[Target]:
    """Return those of a cluster's nodes to verify that a file of tests runs on."""
    return nodes[:1] if file.parent in _ONCE else nodes
