"""Test that shell scripts run no file of data."""

import re
from pathlib import Path


def test_no_script_runs_a_file_of_data() -> None:
    """Scripts source only files of this project, and the secrets that a Swarm gives a container."""
    scripts = {file.stem: file.read_text() for file in Path("infisical_iac/scripts").rglob("*.sh")}
    read = re.compile(r"(?m)^[^#\n]*?(?:^|[;&|({' ])(?:\.|source) ([\"'/$]\S+)")
    found = {what.strip("\"';") for text in scripts.values() for what in read.findall(text)}
    assert found == {"/run/secrets/env"}
    runs = re.compile(r"(?m)^[^#\n]*\beval\b")
    assert [name for name, text in scripts.items() if runs.search(text)] == []
