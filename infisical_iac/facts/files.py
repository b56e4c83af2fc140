"""Read what is at a path: kind, mode, owner and content's hash, of many paths at once."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class PathState:
    """Hold what stands at a path. `sha256` is None for what is no readable regular file."""

    kind: str
    mode: str
    owner: str
    sha256: str | None = None


class Paths(FactBase[dict[str, PathState]]):
    """The state of those of `paths` that exist."""

    def command(self, paths: list[str]) -> str:
        return reading(shlex.join(paths))

    def process(self, output: list[str]) -> dict[str, PathState]:
        hashes, states = {}, {}
        for line in output:
            first, _, rest = line.partition(" ")
            if len(first) == 64:
                hashes[rest.strip()] = first
            else:
                owner, _, named = rest.partition(" ")
                path, _, kind = named.rpartition("|")
                states[path] = PathState(kind=kind, mode=first, owner=owner)
        return {
            path: PathState(state.kind, state.mode, state.owner, hashes.get(path))
            for path, state in states.items()
        }

    @staticmethod
    def default() -> dict[str, PathState]:
        return {}


def reading(paths: str) -> str:
    """The command whose output `Paths` understands; `paths` are words of the shell."""
    return (
        f"stat --format='%a %U:%G %n|%F' -- {paths} 2>/dev/null; "
        f"sha256sum -- {paths} 2>/dev/null; true"
    )
