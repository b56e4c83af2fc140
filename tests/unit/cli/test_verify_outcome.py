"""Test what verify collects as a plugin of pytest, of suites that are made for that."""

import subprocess
import sys
from pathlib import Path

import pytest

_MAIN = """
import sys
import pytest
from infisical_iac.cli.verify import Outcome
outcome = Outcome()
pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", sys.argv[1], sys.argv[1]], [outcome])
print(outcome.counts)
print(outcome.ended)
"""


def _run(tmp_path: Path, **files: str) -> tuple[str, str]:
    """The counts, and why the suite ended itself."""
    for name, text in files.items():
        file = tmp_path / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    command = [sys.executable, "-c", _MAIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    counts, ended = done.stdout.splitlines()[-2:]
    return counts, ended


def test_checks_are_counted_that_a_deeper_conftest_has_nothing_to_do_with(tmp_path: Path) -> None:
    test = "def test_it():\n    pass\n"
    files = {"conftest": "", "deeper__conftest": "", "test_here": test, "deeper__test_there": test}
    assert _run(tmp_path, **files) == ("(2, 0)", "")


@pytest.mark.parametrize("code", [1, 4])
def test_the_sentence_with_which_a_suite_ends_itself_is_kept(tmp_path: Path, code: int) -> None:
    test = f"import pytest\n\ndef test_it():\n    pytest.exit('nothing is there', {code})\n"
    assert _run(tmp_path, test_here=test)[1] == "nothing is there"


def test_an_interruption_by_hand_is_no_sentence_of_the_suite(tmp_path: Path) -> None:
    test = "def test_it():\n    raise KeyboardInterrupt\n"
    assert _run(tmp_path, test_here=test) == ("(0, 0)", "")
