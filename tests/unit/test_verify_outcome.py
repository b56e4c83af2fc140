"""What verify collects as a plugin of pytest, where a part of the suite has its own conftest."""

import subprocess
import sys
from pathlib import Path

_MAIN = """
import sys
import pytest
from infisical_iac.cli.verify import Outcome
outcome = Outcome()
pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", sys.argv[1], sys.argv[1]], [outcome])
print(outcome.counts)
"""


def test_checks_are_counted_that_a_deeper_conftest_has_nothing_to_do_with(tmp_path: Path) -> None:
    for file in ("conftest.py", "deeper/conftest.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    for file in ("test_here.py", "deeper/test_there.py"):
        (tmp_path / file).write_text("def test_it():\n    pass\n")
    command = [sys.executable, "-c", _MAIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "(2, 0)", done.stdout + done.stderr
