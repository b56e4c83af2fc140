"""Test an apply to a server where writes to production need an approval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.api.client import Client

from .migrating import ENVIRONMENTS, Case, Ran, new

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

_KEYS = ("FAKE_0", "FAKE_1")


class Approvers:
    """The approvers; until they approve, a write to production is only a request."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.send = Client._send

    def answer(self, client: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        body = request.get("json") or {}
        if path.endswith("/batch") and body["environment"] == "production":
            self.asked.append(sorted(each["secretKey"] for each in body["secrets"]))
            return {"approval": {"id": "fake", "policyId": "fake", "status": "open"}}
        return self.send(client, method, path, **request)


@pytest.fixture
def approvers(monkeypatch: pytest.MonkeyPatch) -> Approvers:
    approvers = Approvers()

    def answer_protected(self: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        return approvers.answer(self, method, path, **request)

    monkeypatch.setattr(Client, "_send", answer_protected)
    return approvers


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    case = new(world, tmp_path)
    for environment in ENVIRONMENTS:
        lines = "".join(f"{key}=value-of-{key.lower()}\n" for key in _KEYS)
        case.write(f"backend/.env.{environment}", lines)
    assert case.run("plan").exit_code == 2
    return case


def _report(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((case.root / "migration-report.json").read_text("utf-8"))
    return found


def _pending(ran: Ran) -> list[str]:
    return [each for each in ran.stdout.splitlines() if each.startswith("? ")]


def test_writes_that_wait_for_approval_are_pending(case: Case, approvers: Approvers) -> None:
    applied = case.run("apply")
    assert applied.exit_code == 2
    assert len(_pending(applied)) == 2
    begin = (
        "? production/backend/FAKE_0 (backend/.env.production:1): has waited for approval since 20"
    )
    assert _pending(applied)[0].startswith(begin)
    report = _report(case)
    assert report["outcome"] == "pending"
    assert report["counts"] == {"written": 2, "pending": 2}
    verified = {each["path"]: each["verified"] for each in report["sources"]}
    assert verified == {"backend/.env.development": True, "backend/.env.production": False}


@pytest.mark.parametrize("policy", ["fail", "skip", "overwrite"])
def test_pending_writes_are_not_requested_again(
    policy: str, case: Case, approvers: Approvers
) -> None:
    case.put("production", "/backend", FAKE_0="other-fake")
    applied = case.run("apply", "--on-conflict", "overwrite")
    again = case.run("apply", "--on-conflict", policy)
    assert approvers.asked == [list(_KEYS)]
    assert (again.exit_code, _pending(again)) == (2, _pending(applied))
    assert _report(case)["counts"] == {"there": 2, "pending": 2}
    file = case.root / "migration-pending.json"
    assert f"if one was, remove {file} and apply again" in again.stderr
    shown = f"{again.output}{file.read_text(encoding='utf-8')}"
    assert "value-of-" not in shown
    assert "other-fake" not in shown


def test_a_run_killed_after_its_request_is_completed_without_another_request(
    case: Case, approvers: Approvers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("infisical_iac.migrate.apply.prove", interrupt)
        case.run("apply")
    assert case.run("apply").exit_code == 2
    assert len(approvers.asked) == 1


def test_approved_writes_are_stored_and_no_longer_pending(case: Case, approvers: Approvers) -> None:
    case.run("apply")
    case.put("production", "/backend", **{key: f"value-of-{key.lower()}" for key in _KEYS})
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert _report(case)["counts"] == {"there": 4}
    assert not (case.root / "migration-pending.json").exists()


def _rename_service(case: Case) -> None:
    """Rename `backend` and its folder in the project file and in Infisical."""
    content = json.loads(case.workspace_file.read_text("utf-8"))
    content["services"]["api"] = {"folder": "/api", "renamed_from": "backend"}
    del content["services"]["backend"]
    case.workspace_file.write_text(json.dumps(content), encoding="utf-8")
    case.deploy()


@pytest.mark.parametrize("plans_again", [False, True])
def test_pending_writes_of_a_renamed_service_are_not_requested_again(
    plans_again: bool, case: Case, approvers: Approvers
) -> None:
    case.deploy()
    case.run("apply")
    _rename_service(case)
    if plans_again:
        case.run("plan")
    file = case.root / "migration-pending.json"
    assert "/backend/" in file.read_text("utf-8")
    again = case.run("apply")
    assert approvers.asked == [list(_KEYS)]
    assert [each.split()[1] for each in _pending(again)] == [
        f"production/api/{key}" for key in _KEYS
    ]
    assert "/backend/" not in file.read_text("utf-8")
    case.put("production", "/api", **{key: f"value-of-{key.lower()}" for key in _KEYS})
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert not file.exists()


def test_another_value_is_requested_again(case: Case, approvers: Approvers) -> None:
    case.run("apply")
    case.write("backend/.env.production", "FAKE_0=another\nFAKE_1=value-of-fake_1\n")
    case.run("plan")
    assert case.run("apply").exit_code == 2
    assert approvers.asked == [list(_KEYS), ["FAKE_0"]]


def test_a_refused_write_is_requested_again_after_the_file_is_removed(
    case: Case, approvers: Approvers
) -> None:
    case.run("apply")
    (case.root / "migration-pending.json").unlink()
    case.run("apply")
    assert approvers.asked == [list(_KEYS), list(_KEYS)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pending": []}'])
def test_a_file_of_others_is_refused_before_any_write(text: str, case: Case) -> None:
    case.write("migration-pending.json", text)
    refused = case.error("apply")
    assert refused.code == "file.pending"
    assert str(refused).startswith(str(case.root / "migration-pending.json"))
    assert case.read_values() == {}
