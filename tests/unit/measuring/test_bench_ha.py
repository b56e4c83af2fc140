"""The report of the faults: each server's results stay while those of the other are measured."""

from bench.ha import text

_REAL, _STANDIN = "A real server", "The stand-in, which starts in 20 s"


def test_results_of_the_other_server_stay() -> None:
    standin = text("", _STANDIN, f"## {_STANDIN}\n\n| fault |\n")
    both = text(standin, _REAL, f"## {_REAL}\n\n| other |\n")
    assert both == f"{standin}\n## {_REAL}\n\n| other |\n"
    again = text(both, _STANDIN, f"## {_STANDIN}\n\n| again |\n")
    assert again == both.replace("| fault |", "| again |")
    assert again.startswith("# Results of `python -m bench.ha`\n")


def test_sections_of_an_older_report_go() -> None:
    assert "## The machine" not in text("# x\n\n## The machine\n\nold\n", _REAL, f"## {_REAL}\n")
