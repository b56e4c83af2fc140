"""Test which outcomes verify collects as a plugin of pytest."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_iac.cli import verify as command
from infisical_iac.cli.verify import Outcome, _print, _print_json

pytest_plugins = ["pytester"]


def _run(pytester: pytest.Pytester, **files: str) -> Outcome:
    for name, text in files.items():
        file = pytester.path / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    outcome = Outcome()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(pytester.path)]
    pytester.inline_run(*arguments, plugins=[outcome], no_reraise_ctrlc=True)
    return outcome


def test_checks_of_all_directories_are_counted(
    pytester: pytest.Pytester,
) -> None:
    test = "def test_it():\n    pass\n"
    files = {"conftest": "", "deeper__conftest": "", "test_here": test, "deeper__test_there": test}
    outcome = _run(pytester, **files)
    assert outcome.counts == {"passed": 2, "skipped": 0, "failed": 0}
    assert outcome.ended == ""


@pytest.mark.parametrize("code", [1, 4])
def test_the_sentence_of_a_suite_that_ends_itself_is_kept(
    pytester: pytest.Pytester, code: int
) -> None:
    test = f"import pytest\n\ndef test_it():\n    pytest.exit('nothing is there', {code})\n"
    assert _run(pytester, test_here=test).ended == "nothing is there"


def test_an_interruption_leaves_no_sentence(pytester: pytest.Pytester) -> None:
    test = "def test_it():\n    raise KeyboardInterrupt\n"
    outcome = _run(pytester, test_here=test)
    assert outcome.counts == {"passed": 0, "skipped": 0, "failed": 0}
    assert outcome.ended == ""


_SKIPPING = """
import pytest

@pytest.fixture
def off():
    pytest.skip("setting 'auditd' is off")

def test_it_is_there():
    pass

def test_it_was_asked_for(off):
    pass

def test_it_has_something_to_see():
    pytest.skip("[bold]nothing is there")

@pytest.mark.skip(reason="never")
def test_it_is_never_asked():
    pass
"""


def test_skipped_checks_are_not_counted_as_passed(
    pytester: pytest.Pytester,
) -> None:
    outcome = _run(pytester, test_here=_SKIPPING)
    assert outcome.counts == {"passed": 1, "skipped": 3, "failed": 0}


def test_options_for_other_tests_do_not_reach_the_suite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`-v` is an option of pytest's own terminal, which verify does without."""
    (tmp_path / "test_here.py").write_text("def test_it(): pass\n")
    option = "def pytest_addoption(parser): parser.addoption('--inventory')\n"
    (tmp_path / "conftest.py").write_text(option)
    suite = (str(tmp_path), "-c", os.devnull, "--rootdir", str(tmp_path))
    monkeypatch.setattr(command, "_SUITE", suite)
    monkeypatch.setattr(command, "require_inventory", str)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-v")
    monkeypatch.setenv("PYTEST_PLUGINS", "a_plugin_of_other_tests")
    ran = CliRunner().invoke(command.verify, ["--inventory", "inventory/x.py"])
    assert ran.exit_code == 0, ran.output
    assert "1 passed" in ran.stdout


def test_topics_are_printed_with_skipped_checks_and_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = Outcome()
    outcome.passed["ssh"] = ["files can be copied"]
    outcome.skipped["ssh"] = [("a", "hardening is off"), ("b", "[bold]why")]
    outcome.skipped["bans"] = [("c", "bans are off")] * 2
    _print(outcome)
    assert capsys.readouterr().out.splitlines() == [
        "- bans            0 passed",
        "    2 skipped: bans are off",
        "✓ ssh             1 passed",
        "    1 skipped: hardening is off",
        "    1 skipped: [bold]why",
        "1 checks passed, 4 skipped, 0 failed.",
    ]


def test_skipped_checks_are_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome()
    outcome.skipped["bans"] = [("a jail is active", "bans are off")]
    _print_json(outcome)
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["skipped"], found["failed"]) == (0, 1, 0)
    assert found["skips"] == [
        {
            "topic": "bans",
            "check": "a jail is active",
            "reason": "bans are off",
        }
    ]
