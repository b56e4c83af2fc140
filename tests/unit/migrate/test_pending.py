"""Test migration-pending.json, the requested approvals, also after a service was renamed."""

from pathlib import Path

from infisical_iac.migrate.apply import PENDING_FILE, Pending
from infisical_iac.migrate.model import Secret
from infisical_iac.workspace.goal import Layout
from tests.unit.migrate.moving import secret

_KEY = b"k" * 32
_PROJECT = Layout("project-id")
_FORMER = {"/postman": {"/mailer", "/mail"}}


def _in(folder: str, key: str = "FAKE", value: str = "fake-value") -> Secret:
    return secret(key, value, folder=folder)


def test_a_secret_of_a_renamed_service_is_pending_only_under_the_new_folder(
    tmp_path: Path,
) -> None:
    pending = Pending(tmp_path, _KEY)
    pending.note(_PROJECT, [_in("/mailer"), _in("/web")])
    since = pending.since(_PROJECT, _in("/mailer"))
    pending.follow_renames(_PROJECT, [_in("/postman"), _in("/web")], _FORMER)
    for each in (pending, Pending(tmp_path, _KEY)):
        assert each.since(_PROJECT, _in("/postman")) == since
        assert each.since(_PROJECT, _in("/web"))
    assert "/mailer" not in (tmp_path / PENDING_FILE).read_text("utf-8")
    pending.forget(_PROJECT, [_in("/postman"), _in("/web")])
    assert not (tmp_path / PENDING_FILE).exists()


def test_a_secret_is_pending_in_the_project_that_holds_its_folder(tmp_path: Path) -> None:
    pending = Pending(tmp_path, _KEY)
    pending.note(_PROJECT, [_in("/mailer")])
    named = (tmp_path / PENDING_FILE).read_text("utf-8")
    assert '"project-id production/mailer/' in named  # as in the files of earlier releases
    before = Layout(parts={("production", "/mailer"): "own-id"})
    pending.note(before, [_in("/mailer")])
    # The rename of the service keeps its project.
    after = Layout(parts={("production", "/postman"): "own-id", ("production", "/web"): "web-id"})
    pending.follow_renames(after, [_in("/postman")], _FORMER)
    assert pending.since(after, _in("/postman"))
    assert pending.since(after, _in("/web")) == ""
    assert pending.since(_PROJECT, _in("/mailer"))


def test_a_secret_of_another_project_or_value_keeps_its_folder(tmp_path: Path) -> None:
    others = [_in("/mailer", value="fake-other"), _in("/mailer", key="OTHER"), _in("/worker")]
    pending = Pending(tmp_path, _KEY)
    pending.note(_PROJECT, others)
    pending.note(Layout("other-id"), [_in("/mailer")])
    before = (tmp_path / PENDING_FILE).read_text("utf-8")
    pending.follow_renames(_PROJECT, [_in("/postman")], _FORMER)
    assert (tmp_path / PENDING_FILE).read_text("utf-8") == before
    assert pending.since(_PROJECT, _in("/postman")) == ""
