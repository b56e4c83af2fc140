"""An apply to a server where somebody has to approve what is written to production."""

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
    """Whoever approves; until then a write to production is but a request for it."""

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

    def protected(self: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        return approvers.answer(self, method, path, **request)

    monkeypatch.setattr(Client, "_send", protected)
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


def test_what_waits_for_an_approval_is_pending_and_never_done(
    case: Case, approvers: Approvers
) -> None:
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
def test_what_waits_already_is_not_asked_for_again(
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
    shown = f"{again.shown}{file.read_text(encoding='utf-8')}"
    assert "value-of-" not in shown
    assert "other-fake" not in shown


def test_a_run_that_died_after_it_asked_is_made_up_for_without_asking_again(
    case: Case, approvers: Approvers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("infisical_iac.migrate.apply.prove", killed)
        case.run("apply")
    assert case.run("apply").exit_code == 2
    assert len(approvers.asked) == 1


def test_what_was_approved_is_there_and_forgotten(case: Case, approvers: Approvers) -> None:
    case.run("apply")
    case.put("production", "/backend", **{key: f"value-of-{key.lower()}" for key in _KEYS})
    applied = case.run("apply")
    assert applied.exit_code == 0, applied.shown
    assert _report(case)["counts"] == {"there": 4}
    assert not (case.root / "migration-pending.json").exists()


def test_another_value_is_asked_for_anew(case: Case, approvers: Approvers) -> None:
    case.run("apply")
    case.write("backend/.env.production", "FAKE_0=another\nFAKE_1=value-of-fake_1\n")
    case.run("plan")
    assert case.run("apply").exit_code == 2
    assert approvers.asked == [list(_KEYS), ["FAKE_0"]]


def test_after_a_refusal_it_is_asked_for_again_once_the_file_is_gone(
    case: Case, approvers: Approvers
) -> None:
    case.run("apply")
    (case.root / "migration-pending.json").unlink()
    case.run("apply")
    assert approvers.asked == [list(_KEYS), list(_KEYS)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pending": []}'])
def test_a_file_of_another_s_making_is_refused_before_anything_is_written(
    text: str, case: Case
) -> None:
    case.write("migration-pending.json", text)
    refused = case.run("apply")
    assert refused.exit_code == 1
    assert "migration-pending.json is not what migrate apply writes" in refused.error
    assert case.stored() == {}
