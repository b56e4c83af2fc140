"""Test that the report of faults keeps the results of one server when the other is measured."""

import re

from bench.ha import text, with_kept_rows
from tests.cluster.faults import FAULTS

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


def test_rows_of_faults_that_were_not_measured_again_are_kept() -> None:
    killed, drained = (f"| {FAULTS[name].title} |" for name in ("primary_killed", "node_drained"))
    head = "| fault | lost |\n|---|---|\n"
    before = f"## {_REAL}\n\n{head}{killed} 1 |\n{drained} 2 |\n\n| CPU | x |\n"
    assert (
        with_kept_rows(f"{head}{drained} 0 |\n", before) == f"{head}{killed} 1 |\n{drained} 0 |\n"
    )


def test_rows_of_a_table_with_other_columns_are_not_kept() -> None:
    killed = f"| {FAULTS['primary_killed'].title} |"
    head = "| fault | lost |\n|---|---|\n"
    assert with_kept_rows(f"{head}{killed} 0 |\n", f"| fault |\n|---|\n{killed}\n") == (
        f"{head}{killed} 0 |\n"
    )
