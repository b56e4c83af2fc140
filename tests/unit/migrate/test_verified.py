"""Test the time of the last complete verification in the report."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.migrate.model import Name
from infisical_iac.migrate.report import mark_verified
from infisical_iac.migrate.verify import Expected

_AT = datetime(2026, 11, 25, 15, tzinfo=UTC)
_NAME = Name("production", "/backend", "FAKE")
_SECRET = {**_NAME._asdict(), "digest": "abc"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "migration-report.json"
    file.write_text(json.dumps({"root": ".", "secrets": [_SECRET]}))
    return file


def _mark(file: Path, digest: str = "abc", at: datetime | None = _AT) -> object:
    mark_verified(file.parent, {_NAME: Expected("backend", digest)}, at)
    return json.loads(file.read_text())["verified_at"]


def test_a_success_is_marked_and_a_failure_removes_the_mark(file: Path) -> None:
    assert _mark(file) == "2026-11-25T15:00:00Z"
    assert json.loads(file.read_text())["secrets"] == [_SECRET]
    assert _mark(file, at=None) == ""


def test_a_report_with_an_unverified_secret_is_not_marked(file: Path) -> None:
    assert _mark(file, digest="other") == ""
    mark_verified(file.parent, {}, _AT)
    assert json.loads(file.read_text())["verified_at"] == ""


def test_without_a_report_nothing_is_written(tmp_path: Path) -> None:
    mark_verified(tmp_path, {}, _AT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_not_a_report_is_refused_and_kept(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError, match="apply again"):
        mark_verified(file.parent, {}, _AT)
    assert file.read_text() == text
