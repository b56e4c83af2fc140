"""Test the wording of messages of `check`. Other tests assert codes and facts."""

from pathlib import Path

import pytest

from infisical_iac.check.model import NAME, load
from infisical_iac.core.errors import FileError
from tests.unit.check.checked import GOOD, LOCAL_FILE, list_findings, plant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "ignore: {OLD: }",
            ".infisical-check.yaml: OLD has no reason: write why it is accepted",
        ),
        (
            "ignored: {OLD: why}",
            ".infisical-check.yaml must hold only `ignore:`, with `PATTERN: reason` below it",
        ),
    ],
)
def test_wording_of_refused_exceptions(text: str, sentence: str) -> None:
    with pytest.raises(FileError) as refused:
        load(text, NAME)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LOCAL_FILE.replace("fake-id", "other-id"),
            "Its workspaceId is not the project's. `infisical-iac check --fix` corrects it.",
        ),
        (
            LOCAL_FILE.replace("https://", ""),
            "It has no domain that begins with https://. Write Infisical's address into it.",
        ),
        (
            LOCAL_FILE.replace("https://", "http://"),
            "Its domain is http://secrets.example.com, where credentials would go unencrypted: the "
            "loaders refuse it without INFISICAL_ALLOW_HTTP=1. Write https://.",
        ),
    ],
)
def test_wording_of_findings_on_a_local_file(tmp_path: Path, text: str, message: str) -> None:
    repository = plant(tmp_path, GOOD | {"backend/.infisical.json": text})
    assert [each.message for each in list_findings(repository, "fake-id")] == [message]
