"""Test the problems of secrets by service and environment."""

from datetime import UTC, datetime, timedelta

from infisical_iac.check import survey
from infisical_iac.check.model import CheckFinding
from infisical_iac.monitoring.model import ValueRow
from infisical_iac.workspace.model import Hygiene
from infisical_iac.workspace.stored_secrets import FoundSecrets, StoredSecret
from tests.unit.check.checked import WORKSPACE

_NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def _secret(key: str, value: str | None, slug: str, folder: str = "/backend") -> StoredSecret:
    then = _NOW - timedelta(days=400)
    return StoredSecret(slug, folder, key, 1, then, then, value)


def _survey(
    *secrets: StoredSecret,
    max_age: dict[str, int] | None = None,
    unread: tuple[CheckFinding, ...] = (),
) -> tuple[list[ValueRow], list[str]]:
    workspace = WORKSPACE.model_copy(update={"hygiene": Hygiene(max_age=max_age or {})})
    found = FoundSecrets([*secrets], set())
    return survey.survey(found, workspace, _NOW, lambda *_: None, unread)


def test_each_problem_is_listed_by_service_and_environment() -> None:
    rows, notes = _survey(
        _secret("TOKEN", "fake-9f2Kq7Lw0Zx", "development"),
        _secret("TOKEN", "fake-9f2Kq7Lw0Zx", "production"),
        _secret("PASSWORD", "hunter2", "production"),
        _secret("ODD", "x", "development", "/shared"),
        max_age={"production/backend/TOKEN": 180},
        unread=(CheckFinding("not-read", "production/backend", "", "never"),),
    )
    assert rows == [
        ValueRow("backend", "development", "equal-value", ("TOKEN",)),
        ValueRow("backend", "development", "uneven-key", ("PASSWORD",)),
        ValueRow("backend", "production", "old-value", ("TOKEN",)),
        ValueRow("backend", "production", "weak-value", ("PASSWORD",)),
        ValueRow("backend", "production", "not-read", ("/backend",)),
    ]
    assert notes == []


def test_several_secrets_with_one_problem_share_a_row() -> None:
    weak = [_secret(key, "hunter2", "production") for key in ("B_PASSWORD", "A_PASSWORD")]
    rows, _ = _survey(*weak)
    assert rows == [ValueRow("backend", "production", "weak-value", ("A_PASSWORD", "B_PASSWORD"))]


def test_a_shared_folder_and_folders_below_one_of_a_service_have_their_rows() -> None:
    rows, _ = _survey(
        _secret("A_PASSWORD", "hunter2", "production", "/shared"),
        _secret("B_PASSWORD", "hunter2", "production", "/backend/deep"),
    )
    assert [(each.service, each.names) for each in rows] == [
        ("/shared", ("A_PASSWORD",)),
        ("backend", ("B_PASSWORD",)),
    ]


def test_values_that_may_not_be_read_and_a_short_log_are_notes() -> None:
    short = CheckFinding("not-checked", "hygiene", "", "the log is short", is_note=True)
    rows, notes = _survey(_secret("TOKEN", None, "production"), unread=(short,))
    assert rows == []
    assert [note.partition(":")[0] for note in notes] == ["production/backend", "the log is short"]
