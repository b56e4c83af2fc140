"""Test that the page on `check` explains every kind of finding."""

import re
from pathlib import Path
from typing import get_args

from infisical_iac.check.model import Kind


def test_each_kind_of_finding_has_one_row_on_the_page() -> None:
    text = Path("docs/develop/check.md").read_text()
    section = text.partition("## Findings\n")[2].partition("\n## ")[0]
    cells = re.findall(r"(?m)^\| (`.*?) \|", section)
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(cells))) == sorted(get_args(Kind))
