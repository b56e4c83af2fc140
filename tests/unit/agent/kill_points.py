"""Kill each kind of transaction at each of its effects, and fill the disk at each of its writes.

The points are found by running the transaction, so a new step has them by itself. This prints how
many there are:

    python -m tests.unit.agent.kill_points
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest

from infisical_iac.agent import transaction
from infisical_iac.agent.journal import Transaction, Way, read_journal
from infisical_iac.agent.runner import Runner
from tests.unit.agent.killed import deaths

Point = tuple[Way, str]


@dataclass(frozen=True)
class KillStory:
    """A transaction on a fake host.

    Attributes:
        make: makes the host below a directory, and begins the transaction.
        act: runs it to its end, or takes it up; does nothing once it has ended.
        check: asserts that a host has reached one of the two ends, with nothing lost.
    """

    make: Callable[[Path], Runner]
    act: Callable[[Runner], object]
    check: Callable[[Runner], None]


class _Tests(Protocol):
    """The module with the tests of a kind.

    Attributes:
        FAILURES: what fails, so that the transaction is undone; empty for nothing.
    """

    FAILURES: Sequence[str]

    def kill_story(self, monkeypatch: pytest.MonkeyPatch, failing: str) -> KillStory: ...


def find_tests(kind: str) -> Any:
    """Return the module with the tests of a kind."""
    return import_module(f"tests.unit.agent.test_{kind}")


def list_points(of: Transaction) -> set[Point]:
    """Return each step in both ways; a proven one is never undone."""
    names = [each.name for each in of.steps]
    proven = of.index(of.proven_from)
    forward: set[Point] = {("forward", each) for each in names}
    return forward | {("back", each) for each in names[:proven]}


@dataclass
class KillCount:
    """The number of kills and full disks, and the steps at which the agent was killed."""

    kills: int = 0
    full_disks: int = 0
    points: frozenset[Point] = frozenset()


def kill_everywhere(kind: str, failing: str, directory: Path) -> KillCount:
    """Kill a transaction at each of its effects, and check the end that it reaches afterwards."""
    of, count = transaction.find(kind), KillCount()
    directory.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        story = find_tests(kind).kill_story(patch, failing)
        for host in deaths(story.make, story.act, directory):
            if (journal := read_journal(host, of)) and journal.step:
                count.points |= {(journal.way, journal.step)}
            story.act(host)
            story.check(host)
            count.kills += 1
    return count


def fill_everywhere(kind: str, failing: str, directory: Path) -> KillCount:
    """Fill the disk at each write of a transaction, for this write only and until it has failed."""
    count = KillCount()
    directory.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        story = find_tests(kind).kill_story(patch, failing)
        for lasts in (False, True):
            for number in range(1000):
                host = story.make(directory / f"{lasts}-{number}")
                with _full_disk(number, lasts=lasts) as is_reached, suppress(RuntimeError, OSError):
                    story.act(host)
                story.act(host)
                story.check(host)
                if not is_reached():
                    break
                count.full_disks += 1
    return count


@contextmanager
def _full_disk(number: int, *, lasts: bool) -> Iterator[Callable[[], bool]]:
    """Have the write of a number fail, and with `lasts` all later ones too.

    The journal can be written once its spare space is free. Yields a function that returns whether
    a write has failed.
    """
    writes, is_spare_free = 0, False
    opened, flushed, unlinked = os.open, os.fsync, os.unlink

    def refuse(name: str) -> None:
        nonlocal writes
        writes += 1
        is_full = writes > number + 1 if lasts else False
        is_journal = name.startswith(".state.new") and is_spare_free
        if writes == number + 1 or (is_full and not is_journal):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def open_(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT and not os.path.lexists(path):
            refuse(Path(path).name)
        return opened(path, flags, *rest, **more)

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_file():
            refuse(path.name)
        flushed(descriptor)

    def unlink(path: Any, **more: Any) -> None:
        nonlocal is_spare_free
        unlinked(path, **more)
        is_spare_free = is_spare_free or Path(path).name == "spare"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "unlink", unlink)
        yield lambda: writes > number


def main() -> None:
    """Print the number of points of each kind of transaction."""
    kills = full_disks = steps = 0
    for kind in transaction._KINDS:
        tests = find_tests(kind)
        for failing in getattr(tests, "FAILURES", ()):
            with tempfile.TemporaryDirectory() as place:
                killed = kill_everywhere(kind, failing, Path(place) / "a")
                filled = fill_everywhere(kind, failing, Path(place) / "b")
            kills, full_disks = kills + killed.kills, full_disks + filled.full_disks
            how = f"fails at {failing!r}" if failing else "is done"
            print(f"{kind}, which {how}: {killed.kills} kills, {filled.full_disks} full disks")
        steps += len(list_points(transaction.find(kind)))
    print(f"{kills} kills and {full_disks} full disks at {steps} steps, both ways counted")


if __name__ == "__main__":
    main()
