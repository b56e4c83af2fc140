"""Test that the report of faults keeps the results of one server when the other is measured."""

import re

from bench.ha import text

_REAL, _STANDIN = "A real server", "The stand-in, which starts in 20 s"


def test_results_of_the_other_server_are_kept() -> None:
    standin = text("", _STANDIN, f"## {_STANDIN}\n\n| fault |\n")
    both = text(standin, _REAL, f"## {_REAL}\n\n| other |\n")
    assert both == f"{standin}\n## {_REAL}\n\n| other |\n"
    again = text(both, _STANDIN, f"## {_STANDIN}\n\n| again |\n")
    assert again == both.replace("| fault |", "| again |")
    assert re.match("# .*`python -m bench.ha`\n", again)


def test_sections_of_an_older_report_are_removed() -> None:
    assert "## The machine" not in text("# x\n\n## The machine\n\nold\n", _REAL, f"## {_REAL}\n")
