"""From trees to their sources: each `.env` file, and what shows when they are seen together."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from infisical_iac.migrate import files, find
from infisical_iac.migrate.across import across
from infisical_iac.migrate.loaders import Signs
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.samples import drift
from infisical_iac.migrate.source import source
from infisical_iac.migrate.tracked import tracked
from infisical_iac.workspace.model import Workspace

__all__ = ["FileFinding", "Source", "scan", "scan_all"]


def scan(root: Path, workspace: Workspace) -> list[Source]:
    """Every `.env` file under `root`, samples excepted, sorted by path, with all its findings.

    Raises ScanError for a directory that can't be listed and a repository that git can't read.
    """
    return scan_all([root], workspace)


def scan_all(roots: Sequence[Path], workspace: Workspace) -> list[Source]:
    """The sources of several trees; if there are more than one, paths begin with their tree's.

    Raises ScanError as `scan` does, and for a tree that is within another, whose files would be
    there twice.
    """
    _refuse_nested(roots)
    sources: list[Source] = []
    samples: dict[str, bytes] = {}
    for root in roots:
        place = "" if len(roots) == 1 else f"{root.as_posix()}/"
        of_root, samples_of_root = _tree(root, workspace)
        sources += [_moved(each, place) for each in of_root]
        samples |= {f"{place}{path}": data for path, data in samples_of_root.items()}
    return _with(sources, [*across(sources), *drift(sources, samples)])


def _refuse_nested(roots: Sequence[Path]) -> None:
    whole = [each.resolve() for each in roots]
    for index, (root, each) in enumerate(zip(roots, whole, strict=True)):
        others = whole[:index] + whole[index + 1 :]
        if outer := next((other for other in others if each.is_relative_to(other)), None):
            raise find.ScanError(f"{root} is in {outer}, which is scanned too: name one of them")


def _tree(root: Path, workspace: Workspace) -> tuple[list[Source], Mapping[str, bytes]]:
    """The sources of a tree, and the bytes of its samples."""
    paths = find.walk(root)
    named = [path for path in paths if find.is_env(posixpath.basename(path))]
    samples = [path for path in named if find.is_sample(posixpath.basename(path))]
    env_files = sorted({*named} - {*samples})
    signs = Signs(paths, partial(files.text, root))
    in_git = tracked(root, env_files)
    sources = [
        source(root, path, signs.choose(path), workspace, is_tracked=path in in_git)
        for path in env_files
    ]
    return sources, {path: files.content(root, path)[0] for path in samples}


def _moved(each: Source, place: str) -> Source:
    found = tuple(replace(one, file=f"{place}{one.file}") for one in each.findings)
    return replace(each, path=f"{place}{each.path}", findings=found)


def _with(sources: Sequence[Source], found: Iterable[FileFinding]) -> list[Source]:
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
