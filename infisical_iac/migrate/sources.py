"""From trees to their sources: each `.env` file, and what shows when they are seen together."""

import posixpath
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from infisical_iac.migrate import files, find
from infisical_iac.migrate.cascades import is_read, layers
from infisical_iac.migrate.comparison import compare_files
from infisical_iac.migrate.loaders import Choice, LoaderDetection
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.modes import of_modes
from infisical_iac.migrate.samples import drift
from infisical_iac.migrate.source import source, spot
from infisical_iac.migrate.tracked import tracked
from infisical_iac.migrate.trees import Tree, trees
from infisical_iac.workspace.model import Workspace

__all__ = ["FileFinding", "Source", "scan", "scan_all"]


def scan(root: Path, workspace: Workspace) -> list[Source]:
    """Every `.env` file under `root`, samples excepted, sorted by path, with all its findings.

    Raises ScanError for a directory that can't be listed and a repository that git can't read.
    """
    return scan_all([root], workspace)


def scan_all(paths: Sequence[Path], workspace: Workspace) -> list[Source]:
    """The sources of several trees, or of single files.

    If there are more trees than one, as in `trees.trees`, paths begin with their tree's.

    Raises ScanError as `scan` does, and for a path that is within another.
    """
    found = trees(paths)
    sources: list[Source] = []
    for tree in found:
        place = "" if len(found) == 1 else f"{tree.root.as_posix()}/"
        sources += [_moved(each, place) for each in _sources(tree, workspace)]
    return with_findings(sources, compare_files(sources))


def _sources(tree: Tree, workspace: Workspace) -> list[Source]:
    """The sources of a tree, each with what the files beside it say of it."""
    root, only = tree
    paths = find.walk(root)
    detection = LoaderDetection(paths, partial(files.text, root))
    named = {path for path in paths if find.is_env(posixpath.basename(path))} | (only or set())
    chosen = {path: detection.choose(path) for path in sorted(named)}
    samples = [path for path in chosen if _is_sample(path, chosen[path], only or ())]
    slugs = [each.slug for each in workspace.environments]
    beside = layers(spot(path, chosen[path], slugs) for path in chosen if path not in samples)
    in_git = tracked(root, beside)
    content = cache(partial(files.content, root))
    sources = [
        source(
            root,
            path,
            chosen[path],
            workspace,
            content=content,
            is_tracked=path in in_git,
            layers=beside[path],
        )
        for path in sorted(beside)
    ]
    contents = {path: content(path)[0] for path in samples}
    sources = with_findings(sources, [*of_modes(sources), *drift(sources, contents)])
    return [each for each in sources if only is None or each.path in only]


def _is_sample(path: str, choice: Choice, meant: Container[str]) -> bool:
    name = posixpath.basename(path)
    is_meant = path in meant or is_read(choice.evidence.loader, name)
    return find.is_sample(name) and not is_meant


def _moved(each: Source, place: str) -> Source:
    found = tuple(replace(one, file=f"{place}{one.file}") for one in each.findings)
    return replace(each, path=f"{place}{each.path}", findings=found)


def with_findings(sources: Sequence[Source], found: Iterable[FileFinding]) -> list[Source]:
    """The sources with more findings, each with its own in the order of lines."""
    more: dict[str, list[FileFinding]] = {}
    for each in found:
        more.setdefault(each.file, []).append(each)
    return [
        replace(each, findings=_ordered((*each.findings, *more.get(each.path, ()))))
        for each in sources
    ]


def _ordered(found: Iterable[FileFinding]) -> tuple[FileFinding, ...]:
    return tuple(sorted(found, key=lambda each: (each.line, not each.blocking)))
