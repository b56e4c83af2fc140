"""Record the changes of a directory, and replay each state that a power cut could leave.

The rules are those of POSIX, and stricter than any file system:

* The content of a file is on the disk once the file is flushed. Until then a crash leaves the
  content of before, any beginning of the new content, or all of it.
* An entry of a directory (new, removed, renamed) is on the disk once that directory is flushed.
  Until then a crash may have lost it, and kept a later one.
* A rename is one change, which is on the disk once the directory of its new name is flushed.
"""

import builtins
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# With more changes that are not flushed, a crash loses one of them, all but one, or the latest.
_MOST_SUBSETS = 5
# How many files may be incomplete at once in a replayed state.
_MOST_PARTIAL = 2
# Greater than any process id.
_DEAD = 1 << 22

# The files of a directory by their paths below it: the content, None for a directory, or the
# target of a link in a tuple.
Tree = dict[str, bytes | tuple[str] | None]


@dataclass(eq=False)
class _Node:
    """A file, a link (with a target) or a directory (with entries)."""

    is_directory: bool = False
    target: str = ""
    flushed: bytes = b""
    content: bytes = b""
    entries: dict[str, "_Node"] = field(default_factory=dict)
    on_disk: dict[str, "_Node"] = field(default_factory=dict)


# A directory, a name in it, and its new node; None for a removed entry.
_Effect = tuple[_Node, str, _Node | None]


@dataclass(frozen=True)
class _Point:
    """A moment at which the power may be cut.

    Attributes:
        doing: the change that was made last.
        entries: the flushed entries of each directory.
        pending: the changes of entries that are not flushed, in their order.
        contents: the flushed and the present content of each file.
    """

    doing: str
    entries: dict[_Node, dict[str, _Node]]
    pending: list[list[_Effect]]
    contents: dict[_Node, tuple[bytes, bytes]]


class Recording:
    """The changes below a directory, and the states that a crash could leave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = _Node(is_directory=True)
        self.points: list[_Point] = []
        self._pending: list[list[_Effect]] = []
        self._nodes = [self.top]
        self._scan(root, self.top)

    def _scan(self, place: Path, node: _Node) -> None:
        for each in sorted(place.iterdir()):
            found = self._new(each)
            node.entries[each.name] = node.on_disk[each.name] = found
            if found.is_directory:
                self._scan(each, found)
            found.flushed = found.content

    def _new(self, path: Path) -> _Node:
        if path.is_symlink():
            node = _Node(target=os.readlink(path))
        elif path.is_dir():
            node = _Node(is_directory=True)
        else:
            node = _Node(content=path.read_bytes())
        self._nodes.append(node)
        return node

    def find(self, path: Path) -> _Node | None:
        """Return the node of a path below the root; None elsewhere."""
        if not path.is_relative_to(self.root):
            return None
        node: _Node | None = self.top
        for part in path.relative_to(self.root).parts:
            node = node.entries.get(part) if node else None
        return node

    def _refresh(self) -> None:
        """Read the present content of all files, which programs of a test may have written."""

        def visit(place: Path, node: _Node) -> None:
            for name, each in node.entries.items():
                if each.is_directory:
                    visit(place / name, each)
                elif not each.target and (place / name).is_file():
                    each.content = (place / name).read_bytes()

        visit(self.root, self.top)

    def note(self, doing: str, effects: Sequence[_Effect] = ()) -> None:
        """Note a change of entries that was made, or that files were written to."""
        if effects:
            _apply(effects, lambda node: node.entries)
            self._pending.append([*effects])
        self._refresh()
        self._keep(doing)

    def _keep(self, doing: str) -> None:
        self.points.append(
            _Point(
                doing,
                {each: dict(each.on_disk) for each in self._nodes if each.is_directory},
                [*self._pending],
                {each: (each.flushed, each.content) for each in self._nodes},
            )
        )

    def add(self, doing: str, path: Path) -> None:
        """Note a new entry, which may have replaced another."""
        if directory := self.find(path.parent):
            self.note(doing, [(directory, path.name, self._new(path))])

    def remove(self, path: Path) -> None:
        if (directory := self.find(path.parent)) and path.name in directory.entries:
            self.note(f"remove {path.name}", [(directory, path.name, None)])

    def rename(self, path: Path, to: Path) -> None:
        source, target = self.find(path.parent), self.find(to.parent)
        assert source
        assert target
        node = source.entries[path.name]
        effects: list[_Effect] = [(source, path.name, None), (target, to.name, node)]
        self.note(f"rename {path.name} to {to.name}", effects)

    def flush(self, path: Path) -> None:
        """Note that a file or directory was flushed."""
        node = self.find(path)
        if node is None:
            return
        self._refresh()
        self._keep(f"before the flush of {path.name}")
        node.flushed = node.content
        if node.is_directory:
            # A rename is flushed with the directory of its new name.
            done = [each for each in self._pending if each[-1][0] is node]
            for effects in done:
                self._pending.remove(effects)
                _apply(effects, lambda each: each.on_disk)
        self._keep(f"flush {path.name}")

    def trees(self) -> Iterator[tuple[str, Tree]]:
        """Yield the states that a crash could leave, each once, with the change before it."""
        seen = set()
        for point in self.points:
            for tree in _trees(self.top, point):
                key = frozenset(tree.items())
                if key not in seen:
                    seen.add(key)
                    yield point.doing, tree

    def last(self) -> list[Tree]:
        """Return the states that a crash could leave now."""
        self.note("the end")
        return [*_trees(self.top, self.points[-1])]


def _apply(effects: Sequence[_Effect], of: Callable[[_Node], dict[str, _Node]]) -> None:
    for directory, name, node in effects:
        if node is None:
            of(directory).pop(name, None)
        else:
            of(directory)[name] = node


def _trees(top: _Node, point: _Point) -> Iterator[Tree]:
    for kept in _subsets(len(point.pending)):
        files = dict(_walk(top, "", _entries(point, kept)))
        tree: Tree = {
            path: None
            if node.is_directory
            else (node.target,)
            if node.target
            else point.contents[node][0]
            for path, node in files.items()
        }
        yield tree
        partial = {
            path: contents
            for path, node in files.items()
            if len(contents := _contents(*point.contents[node])) > 1
        }
        for paths in itertools.combinations(partial, min(_MOST_PARTIAL, len(partial))):
            if not paths:
                continue
            for some in itertools.product(*(partial[path] for path in paths)):
                yield {**tree, **dict(zip(paths, some, strict=True))}


def _entries(point: _Point, kept: Sequence[int]) -> dict[_Node, dict[str, _Node]]:
    """Return the entries of each directory with some of the changes that are not flushed."""
    entries = {node: dict(each) for node, each in point.entries.items()}
    for number in kept:
        _apply(point.pending[number], lambda node: entries.setdefault(node, {}))
    return entries


def _walk(
    node: _Node, path: str, entries: dict[_Node, dict[str, _Node]]
) -> Iterator[tuple[str, _Node]]:
    yield path, node
    for name, each in entries.get(node, {}).items():
        yield from _walk(each, f"{path}/{name}", entries)


def _contents(flushed: bytes, content: bytes) -> list[bytes]:
    """Return the contents that a crash could leave of a file."""
    if content.startswith(flushed):  # a new file, or an appended one
        half = content[: (len(flushed) + len(content)) // 2]
        return [*dict.fromkeys((flushed, half, content))]
    return [*dict.fromkeys((flushed, b"", content[: len(content) // 2], content))]


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Yield the changes, by number, that a crash has kept."""
    everything = tuple(range(count))
    if count <= _MOST_SUBSETS:
        for size in range(count + 1):
            yield from itertools.combinations(everything, size)
        return
    for number in everything:
        yield (number,)
        yield everything[:number] + everything[number + 1 :]
        yield everything[:number]
    yield everything


def make(tree: Tree, root: Path) -> None:
    """Make the files of a state at a new directory."""
    for path, content in tree.items():
        file = root / path.lstrip("/")
        if content is None:
            file.mkdir()
        elif isinstance(content, tuple):
            file.symlink_to(content[0])
        else:
            file.write_bytes(content)


@contextmanager
def recording(root: Path) -> Iterator[Recording]:
    """Record the changes that this process makes below `root`, which are made for real."""
    found = Recording(root)
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "rename", "unlink")}
    real |= {name: getattr(os, name) for name in ("mkdir", "rmdir", "symlink")}

    def open_(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        place = Path(os.fsdecode(path)) if isinstance(path, str | bytes | Path) else None
        was_there = place is not None and os.path.lexists(place)
        descriptor: int = real["open"](path, flags, mode, **more)
        if place and not was_there:
            found.add(f"create {place.name}", place)
        return descriptor

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        found.flush(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    def move(path: Any, to: Any, **_: Any) -> None:
        real["replace"](path, to)
        found.rename(Path(path), Path(to))

    def unlink(path: Any, **more: Any) -> None:
        real["unlink"](path, **more)
        found.remove(Path(path))

    def rmdir(path: Any, **more: Any) -> None:
        real["rmdir"](path, **more)
        found.remove(Path(path))

    def mkdir(path: Any, mode: int = 0o777, **more: Any) -> None:
        real["mkdir"](path, mode, **more)
        found.add(f"create {Path(path).name}", Path(path))

    def symlink(target: Any, path: Any, **more: Any) -> None:
        real["symlink"](target, path, **more)
        found.add(f"link {Path(path).name}", Path(path))

    def open_file(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        is_new = not isinstance(file, int) and not os.path.lexists(file)
        opened = builtin(file, mode, *rest, **more)
        if is_new:
            found.add(f"create {Path(file).name}", Path(file))
        return opened

    builtin = builtins.open
    with pytest.MonkeyPatch.context() as patch:
        for name, function in {
            "open": open_,
            "fsync": fsync,
            "replace": move,
            "rename": move,
            "unlink": unlink,
            "rmdir": rmdir,
            "mkdir": mkdir,
            "symlink": symlink,
        }.items():
            patch.setattr(os, name, function)
        patch.setattr(builtins, "open", open_file)
        patch.setattr(io, "open", open_file)
        # It removes by descriptors otherwise, which say no path.
        patch.setattr(shutil, "_use_fd_functions", False)
        # A process that a crash has ended is gone afterwards.
        patch.setattr(os, "getpid", lambda: _DEAD)
        yield found
