"""Kill the agent at each of its effects: a program that it runs, or a change of its files."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent.runner import Output, Runner


class Killed(BaseException):
    """The agent was killed."""


class _Effects:
    """Count effects, and kill the agent before the one of a number."""

    def __init__(self, kill_at: int | None) -> None:
        self.left = kill_at
        self.number = 0

    def note(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.number += 1


@contextmanager
def dying(runner_type: type[Runner], kill_at: int | None) -> Iterator[_Effects]:
    """Kill the agent before its effect of this number; None counts the effects only.

    Once it is killed, nothing that it does has an effect, also where it cleans up.
    """
    effects = _Effects(kill_at)
    with pytest.MonkeyPatch.context() as patch:

        def count(owner: Any, name: str) -> None:
            real = getattr(owner, name)

            def counted(*args: Any, **kwargs: Any) -> Any:
                effects.note()
                return real(*args, **kwargs)

            patch.setattr(owner, name, counted)

        for name in ("replace", "unlink", "rename", "rmdir", "mkdir", "symlink"):
            count(os, name)
        count(shutil, "rmtree")
        run = runner_type.run

        def run_counted(self: Runner, words: Sequence[str], **more: Any) -> Output:
            effects.note()
            return run(self, words, **more)

        patch.setattr(runner_type, "run", run_counted)
        yield effects


def deaths(
    make: Callable[[Path], Runner], act: Callable[[Runner], object], directory: Path
) -> Iterator[Runner]:
    """Yield a host for each effect of `act`, on which the agent was killed before this effect.

    The last host is that of an agent that was not killed.

    Args:
        make: makes the host below a directory.
    """
    with pytest.MonkeyPatch.context() as patch:
        # Nothing here cuts the power, and flushes take most of the time.
        patch.setattr(os, "fsync", lambda _: None)
        for number in range(1000):
            host, died = make(directory / str(number)), False
            with dying(type(host), number):
                try:
                    act(host)
                except Killed:
                    died = True
            yield host
            if not died:
                return
    raise AssertionError("the effects do not end")
