"""Test that requests to the host itself, and within a cluster, ignore proxy variables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_CURL = re.compile(r"""\bcurl,? +[-"'][^|]*""")


def _calls() -> Iterator[tuple[str, str]]:
    files = (
        *(_ROOT / "infisical_iac").rglob("*.sh"),
        *(_ROOT / "infisical_iac").rglob("*.py"),
        *(_ROOT / "templates").rglob("*.j2"),
    )
    for file in files:
        for call in _CURL.findall(file.read_text("utf-8").replace("\\\n", " ")):
            yield file.name, call


def test_calls_of_curl_are_found() -> None:
    assert len([*_calls()]) >= 8


@pytest.mark.parametrize(("file", "call"), [*_calls()])
def test_each_call_of_curl_has_the_noproxy_option(file: str, call: str) -> None:
    assert "--noproxy" in call, f"{file}: {call}"
