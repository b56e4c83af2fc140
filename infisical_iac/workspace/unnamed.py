"""Find what runs made in environments, or environments that they made, that no file names now."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from infisical_iac.workspace.environments import match
from infisical_iac.workspace.holdings import Holding
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual, Import


@dataclass(frozen=True)
class Unnamed:
    """Hold what of one environment is to go.

    Attributes:
        folders: their paths, the innermost first; one empty path for the environment itself.
        imports: those in folders that stay, and those in folders that go.
    """

    holding: Holding
    folders: tuple[str, ...]
    imports: tuple[Import, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether the environment itself goes, and everything with it."""
        return "" in self.folders

    def goes_with(self, folder: str, path: str) -> bool:
        """Return whether `folder` is the innermost of `folders` that holds `path` or is it."""
        inside = (each for each in self.folders if f"{path}/".startswith(f"{each}/"))
        return next(inside, None) == folder


def unnamed(
    desired: Workspace, actual: Actual, memory: Memory, held: Iterable[Holding]
) -> list[Unnamed]:
    """Return what was made and is not desired, by environment.

    Args:
        memory: what is not among `made` is never named.
        held: what the environments of `actual` hold.
    """
    named = {each.id for each in match(desired, actual, memory.environments).values()}
    found = (_unnamed(desired, memory.made, each, named) for each in held)
    return [each for each in found if each.folders or each.imports]


def _unnamed(
    desired: Workspace, made: frozenset[str], held: Holding, named: Collection[str]
) -> Unnamed:
    id = held.environment.id
    if id in made and id not in named:
        return Unnamed(held, ("",))
    services = desired.services.values() if id in named else ()
    wanted = {(service.folder, (id, each)) for service in services for each in service.imports}
    stay = set(desired.folders) if id in named else set()
    folders = [path for path, each in held.folders.items() if each in made and path not in stay]
    imports = [
        each
        for each in held.imports
        if each.id in made and (each.folder, each.source) not in wanted
    ]
    return Unnamed(held, tuple(sorted(folders, key=_innermost_first)), tuple(imports))


def _innermost_first(path: str) -> tuple[int, str]:
    return -path.count("/"), path


def contents(
    leaving: Unnamed, folder: str, made: frozenset[str], secrets: Mapping[str, int]
) -> str:
    """Return what a folder would take along that is not this project's to judge, in words.

    Args:
        folder: one of `leaving.folders`; what is in another one further inside goes with that.
        secrets: how many each folder of the environment has.
    """
    held = leaving.holding
    foreign = [path for path, id in held.folders.items() if id not in made]
    imports = [each.folder for each in held.imports if each.id not in made]
    return _listed(
        {
            "secret": sum(n for path, n in secrets.items() if leaving.goes_with(folder, path)),
            "foreign folder": sum(leaving.goes_with(folder, path) for path in foreign),
            "foreign import": sum(leaving.goes_with(folder, path) for path in imports),
        }
    )


def _listed(counts: Mapping[str, int]) -> str:
    words = [f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
