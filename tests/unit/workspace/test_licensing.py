"""Test the description of a license, and the reason why it has no effect."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.docker import read_license_trouble
from infisical_iac.api import instance
from infisical_iac.core import journal
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import ApiError, CheckFailed, NotBootstrapped
from infisical_iac.core.journal import Journal
from infisical_iac.stack import session
from infisical_iac.workspace import licensing
from infisical_iac.workspace.licensing import describe, explain, is_active
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.operations.cases import of
from tests.unit.settings_of import settings_of

# The part that this project reads of the real server's plan without a license.
_FREE = {"slug": None, "tier": -1, "auditLogs": False, "groups": False, "secretVersioning": True}
_KEY = "QVHK-FAKE-KEY"


def test_the_free_edition_has_no_license() -> None:
    assert not is_active(_FREE)


@pytest.mark.parametrize("plan", [{"slug": "enterprise"}, {"slug": None, "groups": True}])
def test_a_tier_or_a_feature_proves_a_license(plan: dict[str, Any]) -> None:
    assert is_active(_FREE | plan)


def test_a_license_is_described_by_what_it_has_and_lacks() -> None:
    text = describe({"slug": "pro", "auditLogs": True, "groups": True, "oidcSSO": False})
    has, _, lacks = text.partition(" not ")
    assert ("(pro)" in has, "groups" in has, "OIDC" in has) == (True, True, False)
    assert ("groups" in lacks, "OIDC" in lacks) == (False, True)


@pytest.mark.parametrize(
    ("why", "kind", "fact"),
    [
        ("status 401", "online", "status 401"),
        ("code ECONNREFUSED", "online", "ECONNREFUSED"),
        ("failed", "online", "portal.infisical.com"),
        ("", "online", "portal.infisical.com"),
        ("invalid", "offline", "signature"),
        ("expired", "offline", "expired"),
        ("", "offline", "'online'"),
        ("code ENOENT", "offline", "'online'"),
    ],
)
def test_a_license_without_effect_has_a_remedy(why: str, kind: str, fact: str) -> None:
    sentence = explain(settings_of(license_key=kind), why)
    assert fact in sentence
    assert "free edition" in sentence


def test_the_message_names_a_custom_license_server() -> None:
    environment = {"LICENSE_SERVER_URL": "https://license.example.com"}
    settings = settings_of(license_key="online", infisical_environment=environment)
    assert "https://license.example.com" in explain(settings, "status 403")


def _host(log: str) -> FakeRunner:
    """Return a host whose Infisical has logged these lines."""
    container = docker_container("aa", project="infisical", service="infisical")
    return FakeRunner(answers={**docker_answers(container), "docker logs aa": log})


def _entry(said: str, /, **error: Any) -> str:
    return json.dumps({"level": 50, "msg": said, "err": error or None})


_FAILED = "init-license: encountered an error when init license"
# As the real server logs it: the whole request, with the key.
_REQUEST = {"request": {"_header": f"POST /api/auth/v1/license-login\r\nX-API-KEY: {_KEY}\r\n"}}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (_entry(_FAILED, status=401, code="ERR_BAD_REQUEST", response=_REQUEST), "status 401"),
        (_entry(_FAILED, code="ECONNREFUSED"), "code ECONNREFUSED"),
        (_entry(_FAILED, code=_KEY), "failed"),
        (_entry(_FAILED, message="entitlements are unavailable"), "failed"),
        (_entry("Infisical EE offline license verification failed"), "invalid"),
        (_entry("Infisical EE offline license has expired"), "expired"),
        (f"{_FAILED} {_KEY}", "failed"),
        (_entry("Current license does not support custom rate limits"), ""),
    ],
)
def test_the_log_says_why_without_the_key(line: str, why: str) -> None:
    host = _host(f"{_entry('Server listening')}\n{line}\n")
    assert read_license_trouble(host) == why


def test_the_last_start_counts() -> None:
    lines = (_entry(_FAILED, status=401), _entry(_FAILED, code="ETIMEDOUT"))
    assert read_license_trouble(_host("\n".join(lines))) == "code ETIMEDOUT"


def test_without_a_container_there_is_no_reason() -> None:
    assert read_license_trouble(FakeRunner(answers={"docker ps": ""})) == ""


_SETTINGS = settings_of(license_key="online")
_PLAN = {"slug": "enterprise", "auditLogs": True}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Return the journal of a plan, for a server whose license was refused."""
    found = Journal()
    monkeypatch.setattr(journal, "current", lambda: found)
    monkeypatch.setattr(journal, "part_will_change", lambda _: False)
    monkeypatch.setattr(licensing, "state", SimpleNamespace(is_executing=False))
    monkeypatch.setattr(session, "works", lambda _: True)
    monkeypatch.setattr(licensing, "read", lambda _: _FREE)
    monkeypatch.setattr(licensing, "read_reason", lambda: "status 401")
    return found


def test_a_refused_license_is_reported_and_changes_nothing(run: Journal) -> None:
    (found,) = of(licensing.license_features)(_SETTINGS)
    assert isinstance(found, Change)
    assert (found.kind, found.what) == ("!", "license")
    assert "status 401" in found.detail
    assert run.notes == []


def test_a_plan_says_what_the_license_has_once(
    run: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licensing, "read", lambda _: _PLAN)
    for executing in (False, False, True):
        monkeypatch.setattr(licensing, "state", SimpleNamespace(is_executing=executing))
        (found,) = of(licensing.license_features)(_SETTINGS)
        assert isinstance(found, UpToDate)
    (note,) = run.notes
    assert "the audit log" in note
    assert run.operator_notes == []


def test_the_run_that_brings_the_license_says_what_it_has(
    run: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licensing, "read", lambda _: _PLAN)
    monkeypatch.setattr(licensing, "state", SimpleNamespace(is_executing=True))
    list(of(licensing.license_features)(_SETTINGS))
    assert (run.notes, len(run.operator_notes)) == ([], 1)


def test_the_license_of_an_infisical_that_starts_is_unknown(
    run: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "works", lambda _: False)
    monkeypatch.setattr(session, "unknown_contents", lambda: "")
    (found,) = of(licensing.license_features)(_SETTINGS)
    assert isinstance(found, Unknown)
    assert run.notes == []


def test_a_new_key_that_is_refused_is_reported(run: Journal) -> None:
    (sentence,) = licensing.check_new_key(_SETTINGS, was_active=False)
    assert "status 401" in sentence


def test_a_new_key_is_given_up_if_the_old_one_was_in_effect(run: Journal) -> None:
    with pytest.raises(CheckFailed, match="status 401") as failed:
        licensing.check_new_key(_SETTINGS, was_active=True)
    assert failed.value.code == "checks.license"


def test_status_has_the_license(run: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = licensing.rows(_SETTINGS)
    assert (row.name, row.ok) == ("License", False)
    monkeypatch.setattr(licensing, "read", lambda _: _PLAN)
    (row,) = licensing.rows(_SETTINGS)
    assert row.ok
    assert row.text.startswith("license (enterprise) ")

    def fail(_: int) -> Any:
        raise NotBootstrapped("no deployer")

    monkeypatch.setattr(licensing, "read", fail)
    (row,) = licensing.rows(_SETTINGS)
    assert (row.ok, "no deployer" in row.text) == (False, True)
    assert [*licensing.rows(settings_of())] == []


_A_MOMENT, _LONG = timedelta(seconds=1), timedelta(days=9)


@pytest.mark.parametrize(
    ("plan", "ages", "fact"),
    [
        (_PLAN, [_A_MOMENT, _LONG], ""),
        (_FREE, [_A_MOMENT, _LONG], "not in effect"),
        ({"slug": "pro", "auditLogs": False}, [_A_MOMENT, _LONG], "no audit log"),
        (_PLAN, [], "nothing"),
        (_PLAN, [_LONG], "nothing"),
        (_PLAN, [_A_MOMENT], "before"),
        (_PLAN, ApiError(403, "PermissionDenied", "not allowed", "GET", "/audit-logs"), "403"),
    ],
    ids=["answers", "free", "without", "empty", "stopped", "begins later", "refused"],
)
def test_the_audit_log_answers_if_it_records_and_reaches_back(
    monkeypatch: pytest.MonkeyPatch,
    plan: dict[str, Any],
    ages: list[timedelta] | ApiError,
    fact: str,
) -> None:
    now = datetime.now(UTC)

    def events(_: object, begin: datetime, end: datetime = now, *, page: int) -> list[datetime]:
        assert page == 1
        if isinstance(ages, ApiError):
            raise ages
        return [now - each for each in ages if begin <= now - each <= end]

    monkeypatch.setattr(licensing, "read", lambda _: plan)
    monkeypatch.setattr(session, "deployer", lambda _: None)
    monkeypatch.setattr(instance, "audit_events", events)
    why = licensing.explain_missing_events(8080, now - timedelta(days=1), patience=0)
    assert (bool(why), fact in why) == (bool(fact), True)
