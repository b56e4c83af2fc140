"""Test the findings on secrets that are old, weak, equal, uneven or never read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infisical_iac.agent.access import FoundReads
from infisical_iac.check import hygiene
from infisical_iac.check.model import CheckFinding
from infisical_iac.stack.access_log import FolderReads, describe_reads, merge_reads
from infisical_iac.workspace.stored_secrets import StoredSecret
from tests.unit.check.checked import WORKSPACE

_NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
_RANDOM = "fake-9f2Kq7Lw0Zx"


def _secret(
    key: str = "TOKEN",
    value: str | None = _RANDOM,
    *,
    slug: str = "production",
    folder: str = "/backend",
    version: int = 1,
    created: int = 400,
    changed: int = 400,
) -> StoredSecret:
    """Return a secret; `created` and `changed` are days ago."""
    times = (_NOW - timedelta(days=created), _NOW - timedelta(days=changed))
    return StoredSecret(slug, folder, key, version, *times, value)


def _find_old(
    secret: StoredSecret,
    max_age: Mapping[str, int],
    versions: Mapping[int, tuple[str, int]] | None = None,
) -> list[CheckFinding]:
    """Return the findings; `versions` are values and days ago by earlier version."""

    def read(secret: StoredSecret, version: int) -> StoredSecret | None:
        assert versions is not None
        if version not in versions:
            return None
        value, days = versions[version]
        return _secret(secret.key, value, version=version, created=days)

    return [*hygiene.find_old([secret], max_age, _NOW, None if versions is None else read)]


@pytest.mark.parametrize(
    "pattern",
    ["*", "TOKEN", "*_TOKEN*", "/backend", "/backend/*", "production", "production/backend/*KEN"],
)
def test_a_pattern_covers_secrets_by_name_folder_and_environment(pattern: str) -> None:
    secret = _secret("MY_TOKEN" if pattern.startswith("*_") else "TOKEN")
    (found,) = _find_old(secret, {pattern: 180})
    assert (found.kind, found.place) == ("old-value", f"production/backend/{secret.key}")
    assert "400 days" in found.message


@pytest.mark.parametrize("pattern", ["/back", "OTHER", "development", "/backend/deep", "ken"])
def test_a_pattern_that_matches_nothing_is_a_note(pattern: str) -> None:
    (note,) = _find_old(_secret(), {pattern: 180})
    assert (note.kind, note.is_note, pattern in note.message) == ("unused-rule", True, True)


def test_the_pattern_with_the_fewest_days_counts() -> None:
    rules = {"*": 500, "/backend": 300}
    (found,) = _find_old(_secret(), rules)
    assert "/backend allows 300" in found.message
    assert _find_old(_secret(created=200, changed=200), rules) == []


def test_a_change_of_a_comment_does_not_make_a_value_younger() -> None:
    secret = _secret(version=3, changed=5)
    same = {2: (_RANDOM, 30), 1: (_RANDOM, 400)}
    (found,) = _find_old(secret, {"*": 180}, same)
    assert "400 days" in found.message
    assert _find_old(secret, {"*": 180}, {2: (_RANDOM, 30), 1: ("fake-before", 400)}) == []


def test_a_value_without_readable_history_is_a_note_and_not_taken_for_young() -> None:
    (note,) = _find_old(_secret(version=3, changed=5), {"*": 180})
    assert (note.kind, note.is_note, note.place) == ("not-checked", True, "production")
    assert _find_old(_secret(version=3, created=20, changed=5), {"*": 180}) == []
    (found,) = _find_old(_secret(version=3, changed=200), {"*": 180})
    assert "at least 200 days" in found.message


def test_equal_secrets_of_production_and_others_are_found() -> None:
    equal = [_secret(slug="development"), _secret()]
    (found,) = hygiene.find_equal(equal)
    assert (found.kind, found.place, found.key) == ("equal-value", "/backend/TOKEN", "TOKEN")
    assert "development and production" in found.message
    assert _RANDOM not in found.message
    for other in (
        [_secret("LOG_LEVEL", "info", slug=slug) for slug in ("development", "production")],
        [_secret(slug="development"), _secret(value="fake-other-9f2Kq")],
        [_secret(slug="development"), _secret(folder="/shared")],
        [_secret(slug="development"), _secret(slug="staging")],
    ):
        assert [*hygiene.find_equal(other)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DB_PASSWORD", "postgres"),
        ("DB_PASSWORD", "Password123!"),
        ("DB_PASSWORD", "changeme"),
        ("API_TOKEN", "abcdefghijklmnop"),
        ("API_TOKEN", "aaaaaaaaaaaaaaaaaaaa"),
        ("JWT_SECRET", "9f2Kq7"),
        ("SESSION_KEY", "deadbeef0123"),
        ("DATABASE_URL", "postgres://app:secret@db:5432/app"),
        ("SESSION_SECRET", "keyboard cat"),  # of the documentation of express-session
        ("JWT_SECRET", "supersecretjwtkey"),
        ("JWT_SECRET", "mySecretKey123"),
        ("DB_PASSWORD", "password-of-development"),
        ("SMTP_PASS", "Sommer2024!"),
        ("SESSION_SECRET", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_value_that_could_be_guessed_is_weak(key: str, value: str) -> None:
    (found,) = hygiene.find_weak([_secret(key, value)])
    assert (found.kind, found.key) == ("weak-value", key)
    assert value not in found.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DB_PASSWORD", "k2T9wq0ZxL"),
        ("API_TOKEN", "9f86d081884c7d65"),
        ("API_TOKEN", "92830471db619283"),
        ("DB_PASSWORD", "correct horse battery staple"),
        ("DATABASE_URL", "postgres://app:k2T9wq0ZxLm4@db:5432/app"),
        ("DATABASE_URL", "postgres://db:5432/app"),
        ("NEXT_PUBLIC_KEY", "abc"),
        ("PORT", "3000"),
        ("PASSWORD_MIN_LENGTH", "12"),
        ("PEM_KEY", "-----BEGIN FAKE KEY-----\nbm90LWEta2V5\n-----END FAKE KEY-----\n"),
    ],
)
def test_a_random_or_public_value_is_not_weak(key: str, value: str) -> None:
    assert [*hygiene.find_weak([_secret(key, value)])] == []


def test_a_key_that_one_environment_lacks_is_a_note() -> None:
    secrets = [_secret("A", slug="development"), _secret("A"), _secret("B", slug="development")]
    (note,) = hygiene.find_uneven(secrets, (), (), WORKSPACE)
    assert (note.kind, note.place, note.is_note) == ("uneven-key", "/backend/B", True)
    reported = [CheckFinding("missing-key", "app.js:1", "B", "")]
    assert [*hygiene.find_uneven(secrets, (), reported, WORKSPACE)] == []
    assert [*hygiene.find_uneven(secrets, [("production", "/backend")], (), WORKSPACE)] == []
    assert [*hygiene.find_uneven(secrets[2:], (), (), WORKSPACE)] == []


def test_a_key_that_another_environment_gets_from_an_imported_folder_is_not_uneven() -> None:
    here = [_secret("A", slug=slug) for slug in ("development", "production")]
    uneven = [*here, _secret("KEY"), _secret("KEY", folder="/python-services")]
    shared = _secret("KEY", slug="development", folder="/shared")
    assert [*hygiene.find_uneven([*uneven, shared], (), (), WORKSPACE)] == []
    both = [replace(each, folder="/shared") for each in here]
    others = [*both, *uneven[:-1], shared]
    (note,) = hygiene.find_uneven(others, (), (), WORKSPACE)
    assert note.place == "/shared/KEY"  # python-service lacks it in production


def test_unreadable_values_are_reported_by_folder() -> None:
    (note,) = hygiene.find_hidden([_secret(value=None), _secret("B", None), _secret("C")])
    assert (note.kind, note.place, note.is_note) == ("values-hidden", "production/backend", True)
    assert "2 values" in note.message


def _unread(*places: tuple[str, str, str], began: int = 200, **more: bool) -> list[CheckFinding]:
    secrets = [_secret(), _secret(folder="/shared"), _secret(folder="/python-services", created=5)]
    reads = FolderReads(_NOW - timedelta(days=began), frozenset(places), **more)
    return [*hygiene.find_unread(secrets, reads, {"id-1"}, WORKSPACE, 90, _NOW)]


def test_an_unread_folder_is_found() -> None:
    assert [each.place for each in _unread()] == ["production/backend", "production/shared"]
    assert [each.place for each in _unread(("other", "production", "/"))] == [
        "production/backend",
        "production/shared",
    ]
    assert [each.place for each in _unread(("id-1", "production", "/shared"))] == [
        "production/backend"
    ]


@pytest.mark.parametrize("folder", ["/", "/backend"])
def test_a_read_of_a_service_or_of_the_root_counts_for_the_imports(folder: str) -> None:
    assert _unread(("id-1", "production", folder)) == []


@pytest.mark.parametrize("case", [{"began": 30}, {"has_unplaced": True}])
def test_an_access_log_that_is_too_short_is_a_note(case: dict[str, int]) -> None:
    (note,) = _unread(**case)  # type: ignore[arg-type]
    assert (note.kind, note.is_note) == ("not-checked", True)


def test_reads_of_several_hosts_begin_where_the_last_log_begins() -> None:
    places = frozenset({("id-1", "production", "%2Fbackend"), ("", "", "")})
    one = describe_reads(FoundReads(100, places))
    assert one.places == {("id-1", "production", "/backend")}
    assert one.has_unplaced
    both = merge_reads(
        [one, describe_reads(FoundReads(200.5, frozenset({("id-1", "production", "/")})))]
    )
    assert both.began == datetime.fromtimestamp(200.5, UTC)
    assert len(both.places) == 2
    assert describe_reads(FoundReads()) == FolderReads(None)
