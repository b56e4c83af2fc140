"""Test the plan of an instance, and the limits that it keeps, with a license and without one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from infisical_iac.api.client import Client
from infisical_iac.api.instance import audit_events
from tests import license_server
from tests.license_server import LicenseServer, offline_keys
from tests.ports import free_port
from tests.serving import serving
from tests.standin.tokens import verify

from .mailed import join
from .services import port_open, wait_until
from .world import EMAIL, bootstrap, log_in, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import StartStandin
    from .services import Standin

PROGRAM = str(Path(license_server.__file__))
LIMITS = "/api/v1/rate-limit"
KEY = "fake-license-key"
OFFLINE = offline_keys()


@pytest.fixture
def vendor() -> Iterator[LicenseServer]:
    with serving(LicenseServer(KEY, ["auditLogs", "groups", "enforceMfa"])) as running:
        yield running


def _admin(standin: Standin) -> tuple[httpx.Client, str]:
    org_id: str = ok(bootstrap(standin.client()))["organization"]["id"]
    return log_in(standin, org_id), org_id


def _plan(standin: Standin) -> dict[str, object]:
    admin, org_id = _admin(standin)
    plan: dict[str, object] = ok(admin.get(f"/api/v1/organizations/{org_id}/plan"))["plan"]
    return plan


def test_the_free_edition_has_a_plan_without_a_name(standin: Standin) -> None:
    plan = _plan(standin)
    assert len(plan) == 63
    assert (plan["slug"], plan["tier"], plan["status"]) == (None, -1, None)
    on = {name for name, value in plan.items() if value is True}
    assert on == {"secretVersioning", "pkiAcme", "has_used_trial"}


def test_a_license_turns_features_on(
    start: StartStandin, database: str, vendor: LicenseServer
) -> None:
    place = {"LICENSE_KEY": KEY, "LICENSE_SERVER_URL": vendor.url}
    plan = _plan(start(database, **place).wait())
    assert (plan["slug"], plan["auditLogs"], plan["groups"]) == ("enterprise", True, True)
    assert plan["samlSSO"] is False


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_refused_license_leaves_the_free_edition(
    start: StartStandin, database: str, vendor: LicenseServer, is_reachable: bool
) -> None:
    url = vendor.url if is_reachable else f"http://127.0.0.1:{free_port()}"
    standin = start(database, LICENSE_KEY="another-fake-key", LICENSE_SERVER_URL=url).wait()
    assert _plan(standin)["slug"] is None
    assert "init-license" in standin.log()
    assert "another-fake-key" not in standin.log()


@pytest.mark.parametrize("variable", ["LICENSE_KEY_OFFLINE", "LICENSE_KEY"])
def test_an_offline_license_turns_features_on(
    start: StartStandin, database: str, variable: str
) -> None:
    plan = _plan(start(database, **{variable: OFFLINE["in effect"]}).wait())
    assert (plan["slug"], plan["auditLogs"], plan["rbac"]) == ("enterprise", True, False)


@pytest.mark.parametrize(
    ("key", "logged"),
    [
        (OFFLINE["expired"], "offline license has expired"),
        (OFFLINE["forged"], "offline license verification failed"),
        ("obviously-fake", ""),
    ],
    ids=["expired", "forged", "of no form"],
)
def test_a_refused_offline_license_leaves_the_free_edition(
    start: StartStandin, database: str, key: str, logged: str
) -> None:
    standin = start(database, LICENSE_KEY_OFFLINE=key).wait()
    assert _plan(standin)["slug"] is None
    assert logged in standin.log()
    assert bool(logged) == ("license" in standin.log())


def test_enforcement_of_second_factors_needs_mail_too(
    start: StartStandin, database: str, vendor: LicenseServer
) -> None:
    place = {"LICENSE_KEY": KEY, "LICENSE_SERVER_URL": vendor.url}
    admin, org_id = _admin(start(database, **place).wait())
    url = f"/api/v1/organization/{org_id}"
    refused = admin.patch(url, json={"enforceMfa": True})
    assert (refused.status_code, "SMTP" in refused.json()["message"]) == (400, True)
    unreachable = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free_port())}
    standin = start(database, **place, **unreachable).wait()
    enforced = {"enforceMfa": True, "selectedMfaMethod": "totp"}
    ok(log_in(standin, org_id).patch(url, json=enforced))
    login = {"email": "admin@example.com", "password": "not-a-real-password"}
    half = ok(standin.client().post("/api/v3/auth/login", json=login))["accessToken"]
    selected = {"organizationId": org_id}
    answer = standin.client(half).post("/api/v3/auth/select-organization", json=selected)
    assert ok(answer)["mfaMethod"] == "totp"


def test_limits_are_kept_and_not_applied(standin: Standin) -> None:
    admin, org_id = _admin(standin)
    limits = ok(admin.get(LIMITS))["rateLimit"]
    kept = {name: value for name, value in limits.items() if name.endswith("Limit")}
    assert (len(kept), kept["authRateLimit"]) == (9, 60)
    assert admin.put(LIMITS, json={"authRateLimit": 1}).status_code == 422
    ok(admin.put(LIMITS, json={**kept, "authRateLimit": 1}))
    assert ok(admin.get(LIMITS))["rateLimit"]["authRateLimit"] == 1
    for _ in range(3):
        log_in(standin, org_id)
    refused = join(standin, admin, org_id, "anna@example.com").get(LIMITS)
    message = "Requires elevated super admin privileges"
    assert (refused.status_code, refused.json()["message"]) == (403, message)


@pytest.mark.parametrize(("lifetime", "seconds"), [("1h", 3600), ("2d", 172800)])
def test_a_session_lasts_as_long_as_the_variable_says(
    start: StartStandin, database: str, lifetime: str, seconds: int
) -> None:
    standin = start(database, JWT_AUTH_LIFETIME=lifetime).wait()
    admin, _ = _admin(standin)
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    claims = verify(token, "a-secret-for-tests-only")
    assert abs(claims["exp"] - claims["iat"] - seconds) <= 1


def test_a_lifetime_that_is_none_makes_every_login_fail(start: StartStandin, database: str) -> None:
    standin = start(database, JWT_AUTH_LIFETIME="bogus").wait()
    ok(bootstrap(standin.client()))
    login = {"email": "admin@example.com", "password": "not-a-real-password"}
    assert standin.client().post("/api/v3/auth/login", json=login).status_code == 500


def test_the_license_server_runs_alone(tmp_path: Path) -> None:
    port = free_port()
    program = subprocess.Popen(
        # As on a host, where nothing else of the tests is.
        [sys.executable, "-P", PROGRAM, "--port", str(port), "--key", KEY, "--feature", "rbac"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(lambda: port_open(port), "The license server did not open its port")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            login = "/api/auth/v1/license-login"
            assert client.post(login, headers={"X-API-KEY": "other"}).status_code == 401
            token = ok(client.post(login, headers={"X-API-KEY": KEY}))["token"]
            bearer = {"Authorization": f"Bearer {token}"}
            plan = ok(client.get("/api/license/v1/plan", headers=bearer))["currentPlan"]
        program.terminate()
        program.communicate(timeout=10)
    finally:
        program.kill()
    assert (plan["rbac"], program.returncode) == (True, 0)


LOGS = "/api/v1/organization/audit-logs"
GROUPS = "/api/v1/organizations/memberships/groups"
GROUP = {"name": "auditors", "slug": "auditors", "role": "no-access"}


def test_the_audit_log_has_what_was_done_under_the_license(
    start: StartStandin, database: str, vendor: LicenseServer
) -> None:
    free = start(database).wait()
    admin, org_id = _admin(free)
    ok(admin.get(LOGS))
    assert ok(admin.get(LOGS)) == {"auditLogs": []}
    free.close()

    place = {"LICENSE_KEY": KEY, "LICENSE_SERVER_URL": vendor.url}
    licensed = start(database, **place).wait()
    admin = log_in(licensed, org_id)
    ok(admin.get(LOGS))
    [event] = ok(admin.get(LOGS))["auditLogs"]
    assert event["event"]["type"] == "view-audit-logs"
    assert (event["actor"]["type"], event["actor"]["metadata"]["email"]) == ("user", EMAIL)
    assert len(ok(admin.get(LOGS, params={"limit": 1}))["auditLogs"]) == 1
    licensed.close()

    # What was recorded stays, and nothing is added.
    admin = log_in(start(database).wait(), org_id)
    kept = ok(admin.get(LOGS))["auditLogs"]
    assert ok(admin.get(LOGS))["auditLogs"] == kept != []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"limit": "1001"}, "limit"),
        ({"startDate": "2026-01-01T00:00:00Z", "endDate": "2026-06-01T00:00:00Z"}, "endDate"),
    ],
)
def test_the_audit_log_is_asked_within_limits(
    standin: Standin, query: dict[str, str], place: str
) -> None:
    refused = _admin(standin)[0].get(LOGS, params=query)
    assert (refused.status_code, refused.json()["message"][0]["path"]) == (422, [place])


def test_a_group_stays_when_its_license_ends(
    start: StartStandin, database: str, vendor: LicenseServer
) -> None:
    free = start(database).wait()
    admin, org_id = _admin(free)
    refused = admin.post("/api/v1/groups", json=GROUP)
    assert (refused.status_code, "plan restriction" in refused.json()["message"]) == (400, True)
    assert ok(admin.get(GROUPS)) == {"groupMemberships": [], "totalCount": 0}
    free.close()

    licensed = start(database, LICENSE_KEY=KEY, LICENSE_SERVER_URL=vendor.url).wait()
    group = ok(log_in(licensed, org_id).post("/api/v1/groups", json=GROUP))
    licensed.close()

    admin = log_in(start(database).wait(), org_id)
    assert [each["groupId"] for each in ok(admin.get(GROUPS))["groupMemberships"]] == [group["id"]]
    project = ok(admin.post("/api/v1/projects", json={"projectName": "Acme", "slug": "acme-co"}))
    path = f"/api/v1/projects/{project['project']['id']}/memberships/groups"
    ok(admin.post(f"{path}/{group['id']}", json={"roles": [{"role": "viewer"}]}))
    [seen] = ok(admin.get(path))["groupMemberships"]
    assert (seen["group"]["name"], seen["roles"][0]["role"]) == ("auditors", "viewer")
    assert admin.delete(f"/api/v1/groups/{group['id']}").status_code == 400
    ok(admin.delete(f"{path}/{group['id']}"))
    assert ok(admin.get(path)) == {"groupMemberships": []}


def test_all_events_are_read_page_by_page_each_once(start: StartStandin, database: str) -> None:
    standin = start(database, LICENSE_KEY_OFFLINE=OFFLINE["in effect"]).wait()
    admin, _ = _admin(standin)
    begin = datetime.now(UTC) - timedelta(days=400)
    for _ in range(5):
        ok(admin.get(LOGS))
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    with Client(standin.url, token=token) as client:
        # The first request adds an event to the log, which shifts the others.
        ids = [each["id"] for each in audit_events(client, begin, page=2)]
        assert len(ids) == len({*ids}) == 5
        assert [*audit_events(client, begin, begin + timedelta(days=85), page=1)] == []
        me = ok(admin.get("/api/v1/user"))["user"]["id"]
        assert len([*audit_events(client, begin, actor=("user", me))]) > 5
        assert [*audit_events(client, begin, actor=("identity", me))] == []
