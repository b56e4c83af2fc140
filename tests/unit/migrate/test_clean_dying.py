"""Test that `infisical-iac migrate clean`, killed at any of its changes, loses nothing."""

import os
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from infisical_iac.cli.migrate_clean import clean
from tests.unit.migrate.cleanable import (
    BACKEND,
    KEY,
    PYTHON,
    TO,
    git,
    monorepo,
    read_archives,
    report,
    snapshot,
)

# Python's audit events of changes.
_CHANGES = {"os.rename", "os.remove", "subprocess.Popen"}
_MOST_CHANGES = 80

# The processes are forked from a server without threads: a test's worker has threads.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def _die_at(number: int, root: Path) -> None:
    """Kill this process right before its change of this number."""
    left = [number]

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and str(arguments[0]).startswith(str(root))
        if event in _CHANGES or (writes and isinstance(arguments[2], int) and arguments[2] & 3):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

    sys.addaudithook(audit)


def _clean(root: Path, recipient: tuple[str, ...] = TO) -> Result:
    return CliRunner().invoke(clean, [str(root / "migration.yaml"), *recipient, "--yes"])


def _clean_and_die(number: int, root: Path, recipient: tuple[str, ...]) -> None:
    _die_at(number, root)
    os._exit(_clean(root, recipient).exit_code)


def _exit_status(number: int, root: Path) -> int | None:
    """Return the exit status of a run in a child process that is killed at this change."""
    child = _PROCESSES.Process(target=_clean_and_die, args=(number, root, TO))
    child.start()
    child.join(60)
    return child.exitcode


def test_a_kill_at_any_change_loses_nothing_and_the_next_run_completes(tmp_path: Path) -> None:
    deaths = parts = 0
    for number in range(1, _MOST_CHANGES):
        root = tmp_path / str(number)
        root.mkdir()
        report(root, *monorepo(root))
        before = snapshot(root)
        status = _exit_status(number, root)
        there = snapshot(root)
        for path in (BACKEND, PYTHON):
            assert there.get(path, read_archives(root, KEY).get(path)) == before[path]
        assert ".env-archive" not in git(root, "status", "--porcelain")
        if status == 0:
            break
        assert status == 9
        deaths += 1
        parts += any(name.endswith(".part") for name in there)
        assert _clean(root).exit_code == 0
        assert not [name for name in snapshot(root) if name.endswith(".part")]
        assert not {BACKEND, PYTHON} & snapshot(root).keys()
        assert read_archives(root, KEY) == {path: before[path] for path in (BACKEND, PYTHON)}
    assert 10 < deaths < _MOST_CHANGES - 1
    assert parts
