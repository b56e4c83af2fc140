"""The host's lock, taken on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infisical_iac.operations import lock
from infisical_iac.rendering import script

Ask = Callable[[str], tuple[str, Callable[[], None]]]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Ask for one and the same lock, waiting at most a second."""
    taken: list[Callable[[], None]] = []

    def one(holder: str) -> tuple[str, Callable[[], None]]:
        command = script("lock", str(tmp_path / "lock"), "1")
        answer, let_go = lock._ask_here(command, f"{holder}\n")
        taken.append(let_go)
        return answer, let_go

    yield one
    for let_go in taken:
        let_go()


def test_the_second_learns_who_is_first(ask: Ask) -> None:
    assert ask("by first")[0] == "held"
    assert ask("by second")[0] == "busy by first"


def test_it_is_free_again_once_its_holder_is_gone(ask: Ask) -> None:
    answer, let_go = ask("by first")
    assert answer == "held"
    let_go()
    assert ask("by second")[0] == "held"
    assert ask("by third")[0] == "busy by second"
