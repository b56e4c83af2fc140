"""Test second factors: registration, the login that asks for one, recovery codes and locks.

The answers are those of the real server without mail.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.mail_server import MailServer
from tests.serving import serving
from tests.standin.totp import code_at

from .mailed import join, query, wait_for_mails
from .world import EMAIL, PASSWORD, bootstrap, log_in, ok

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from .conftest import StartStandin
    from .postgres import Postgres
    from .services import Standin

ANNA = "anna@example.com"
APP = "/api/v1/user/me/totp"
CHOICE = "/api/v2/users/me/mfa"
VERIFY = "/api/v2/auth/mfa/verify"
RECOVERY = f"{VERIFY}/recovery-code"


class Person(NamedTuple):
    """A member of an organization with a verified app."""

    standin: Standin
    org_id: str
    client: httpx.Client
    secret: str
    recovery_codes: list[str]

    def code(self, shift: int = 0) -> str:
        """Return the app's code of now, or of another of the periods that are accepted."""
        return code_at(self.secret, time.time() + 30 * shift)

    def challenge(self) -> httpx.Client:
        """Log in by the password; return a client with the token for the second factor."""
        answer = _select(self.standin, self.org_id)
        assert answer["isMfaEnabled"] is True
        return self.standin.client(str(answer["token"]))


@pytest.fixture
def org_id(standin: Standin) -> str:
    found: str = ok(bootstrap(standin.client()))["organization"]["id"]
    return found


@pytest.fixture
def anna(standin: Standin, org_id: str) -> httpx.Client:
    return join(standin, log_in(standin, org_id), org_id, ANNA)


@pytest.fixture
def person(standin: Standin, org_id: str, anna: httpx.Client) -> Person:
    """Anna, who is asked for a second factor at each login."""
    registered = ok(anna.post(f"{APP}/register", json={}))
    secret = query(registered["otpUrl"])["secret"]
    ok(anna.post(f"{APP}/verify", json={"totp": code_at(secret, time.time())}))
    ok(anna.patch(CHOICE, json={"isMfaEnabled": True, "selectedMfaMethod": "totp"}))
    return Person(standin, org_id, anna, secret, registered["recoveryCodes"])


def _half(standin: Standin, email: str = ANNA) -> httpx.Client:
    """Return a client of a session before the choice of an organization."""
    body = {"email": email, "password": PASSWORD}
    return standin.client(ok(standin.client().post("/api/v3/auth/login", json=body))["accessToken"])


def _select(standin: Standin, org_id: str, email: str = ANNA) -> dict[str, object]:
    url = "/api/v3/auth/select-organization"
    return ok(_half(standin, email).post(url, json={"organizationId": org_id}))


def _refusal(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["message"], body["error"]


def test_an_app_is_registered_and_verified_once(anna: httpx.Client) -> None:
    absent = (404, "TOTP configuration not found", "NotFound")
    assert _refusal(anna.get(APP)) == absent
    assert _refusal(anna.post(f"{APP}/verify", json={"totp": "123456"})) == absent
    registered = ok(anna.post(f"{APP}/register", json={}))
    given = query(registered["otpUrl"])
    assert registered["otpUrl"].startswith("otpauth://totp/Infisical:anna%40example.com?secret=")
    assert (len(given["secret"]), given["period"], given["digits"]) == (16, "30", "6")
    assert {len(each) for each in registered["recoveryCodes"]} == {8}
    assert ok(anna.post(f"{APP}/register", json={})) == registered
    assert _refusal(anna.get(APP))[::2] == (400, "BadRequest")
    wrong = anna.post(f"{APP}/verify", json={"totp": "abcdef"})
    assert _refusal(wrong) == (400, "Invalid TOTP token", "BadRequest")
    code = {"totp": code_at(given["secret"], time.time())}
    codes = {"recoveryCodes": registered["recoveryCodes"]}
    assert ok(anna.post(f"{APP}/verify", json=code)) == codes
    assert _refusal(anna.post(f"{APP}/verify", json=code))[::2] == (400, "BadRequest")
    assert _refusal(anna.post(f"{APP}/register", json={}))[::2] == (400, "BadRequest")
    assert ok(anna.get(APP)) == {"isVerified": True, **codes}


def test_a_verified_app_is_not_asked_for_until_it_is_chosen(
    standin: Standin, org_id: str, anna: httpx.Client
) -> None:
    registered = ok(anna.post(f"{APP}/register", json={}))
    secret = query(registered["otpUrl"])["secret"]
    ok(anna.post(f"{APP}/verify", json={"totp": code_at(secret, time.time())}))
    assert _select(standin, org_id)["isMfaEnabled"] is False
    unknown = anna.patch(CHOICE, json={"isMfaEnabled": True, "selectedMfaMethod": "sms"})
    assert unknown.status_code == 422
    assert unknown.json()["message"][0]["options"] == ["email", "totp", "webauthn"]
    chosen = ok(anna.patch(CHOICE, json={"isMfaEnabled": True, "selectedMfaMethod": "totp"}))
    assert "isMfaEnabled" not in chosen["user"]
    own = ok(anna.get("/api/v2/users/me"))["user"]
    assert (own["isMfaEnabled"], own["selectedMfaMethod"], own["mfaMethods"]) == (
        True,
        "totp",
        ["email"],
    )


def test_a_login_asks_for_the_app(person: Person) -> None:
    answer = _select(person.standin, person.org_id)
    assert (answer["isMfaEnabled"], answer["mfaMethod"]) == (True, "totp")
    challenge = person.challenge()
    refused = challenge.get("/api/v1/organization")
    assert _refusal(refused) == (401, "Token missing", "UnauthorizedError")
    assert ok(challenge.get("/api/v2/auth/mfa/check/totp")) == {"isVerified": True}
    wrong = challenge.post(VERIFY, json={"mfaToken": "000000", "mfaMethod": "totp"})
    assert _refusal(wrong) == (403, "Invalid TOTP", "ForbiddenError")
    right = {"mfaToken": person.code(1), "mfaMethod": "totp"}
    session = person.standin.client(ok(challenge.post(VERIFY, json=right))["token"])
    ok(session.get("/api/v1/organization"))
    url = "/api/v3/auth/select-organization"
    again = ok(session.post(url, json={"organizationId": person.org_id}))
    assert again["isMfaEnabled"] is False
    # Existing sessions are kept.
    ok(person.client.get("/api/v1/organization"))


def test_a_code_is_good_once(person: Person) -> None:
    code = {"mfaToken": person.code(1), "mfaMethod": "totp"}
    ok(person.challenge().post(VERIFY, json=code))
    assert _refusal(person.challenge().post(VERIFY, json=code))[:2] == (403, "Invalid TOTP")


def test_three_failures_lock_for_five_minutes(person: Person) -> None:
    challenge = person.challenge()
    for body, message in (
        ({"mfaToken": "000000", "mfaMethod": "totp"}, "Invalid TOTP"),
        ({"mfaToken": "000000"}, "Invalid MFA method. totp verification is required."),
        ({"mfaToken": "00000", "mfaMethod": "totp"}, "Please use a valid TOTP code."),
    ):
        assert challenge.post(VERIFY, json=body).json()["message"] == message
    right = {"mfaToken": person.code(1), "mfaMethod": "totp"}
    locked = challenge.post(VERIFY, json=right)
    assert (locked.status_code, locked.json()["error"]) == (403, "UserLocked")
    assert "after 5 minutes" in locked.json()["message"]
    url = "/api/v3/auth/select-organization"
    half = _half(person.standin)
    selected = half.post(url, json={"organizationId": person.org_id})
    assert (selected.status_code, selected.json()["error"]) == (403, "UserLocked")


def test_a_recovery_code_works_once_and_can_be_replaced(person: Person) -> None:
    first = person.recovery_codes[0]
    full = person.client.post(f"{APP}/recovery-codes", json={})
    assert (full.status_code, full.json()["error"]) == (400, "BadRequest")
    challenge = person.challenge()
    assert challenge.post(RECOVERY, json={"recoveryCode": "123"}).status_code == 422
    wrong = challenge.post(RECOVERY, json={"recoveryCode": "12345678"})
    assert _refusal(wrong) == (403, "Invalid TOTP recovery code", "ForbiddenError")
    ok(challenge.post(RECOVERY, json={"recoveryCode": first}))
    again = person.challenge().post(RECOVERY, json={"recoveryCode": first})
    assert again.status_code == 403
    assert len(ok(person.client.get(APP))["recoveryCodes"]) == 9
    assert person.client.post(f"{APP}/recovery-codes", json={}).text == ""
    assert len(ok(person.client.get(APP))["recoveryCodes"]) == 10


def test_a_deleted_app_is_still_asked_for_and_can_be_registered_again(person: Person) -> None:
    half = _half(person.standin)
    assert half.delete(APP).status_code == 401
    assert person.client.delete(APP).text == ""
    challenge = person.challenge()
    assert ok(challenge.get("/api/v2/auth/mfa/check/totp")) == {"isVerified": False}
    asked = challenge.post(VERIFY, json={"mfaToken": "123456", "mfaMethod": "totp"})
    assert _refusal(asked) == (404, "TOTP configuration not found", "NotFound")
    secret = query(ok(half.post(f"{APP}/register", json={}))["otpUrl"])["secret"]
    ok(half.post(f"{APP}/verify", json={"totp": code_at(secret, time.time())}))
    code = {"mfaToken": code_at(secret, time.time()), "mfaMethod": "totp"}
    ok(challenge.post(VERIFY, json=code))


def test_a_half_session_does_not_turn_the_second_factor_off(person: Person) -> None:
    refused = _half(person.standin).patch(CHOICE, json={"isMfaEnabled": False})
    assert refused.status_code == 401
    ok(person.client.patch(CHOICE, json={"isMfaEnabled": False}))
    assert _select(person.standin, person.org_id)["isMfaEnabled"] is False


def test_no_list_shows_an_administrator_who_has_a_second_factor(person: Person) -> None:
    admin = log_in(person.standin, person.org_id)
    users = ok(admin.get("/api/v1/admin/user-management/users"))["users"]
    members = ok(admin.get(f"/api/v2/organizations/{person.org_id}/memberships"))["users"]
    assert {each["email"] for each in users} == {EMAIL, ANNA}
    for shown in [*users, *(each["user"] for each in members)]:
        assert not [name for name in shown if "mfa" in name.lower()]


def test_the_database_shows_who_has_a_second_factor(
    person: Person, postgres: Postgres, database: str
) -> None:
    asked = (
        'SELECT username, "isAccepted", "isMfaEnabled", "selectedMfaMethod", "isGhost", '
        '(SELECT "isVerified" FROM totp_configs WHERE "userId" = users.id) '
        "FROM users ORDER BY username"
    )
    rows = postgres.psql(database, asked)
    assert rows.splitlines() == [f"{EMAIL}|t|f||f|", f"{ANNA}|t|t|totp|f|t"]
    assert person.org_id


def test_enforcement_needs_a_license(standin: Standin, org_id: str) -> None:
    admin = log_in(standin, org_id)
    refused = admin.patch(f"/api/v1/organization/{org_id}", json={"enforceMfa": True})
    assert refused.status_code == 400
    assert "plan restriction" in refused.json()["message"]
    ok(admin.patch(f"/api/v1/organization/{org_id}", json={"selectedMfaMethod": "totp"}))
    assert _select(standin, org_id, EMAIL)["isMfaEnabled"] is False


def test_a_code_comes_by_mail(start: StartStandin, database: str, tmp_path: Path) -> None:
    with serving(MailServer(tmp_path)) as server:
        place = {"SMTP_HOST": "localhost", "SMTP_PORT": str(server.port)}
        standin = start(database, **place, SMTP_REQUIRE_TLS="false").wait()
        org_id = ok(bootstrap(standin.client()))["organization"]["id"]
        admin = log_in(standin, org_id)
        ok(admin.patch(CHOICE, json={"isMfaEnabled": True, "selectedMfaMethod": "email"}))
        answer = _select(standin, org_id, EMAIL)
        assert answer["mfaMethod"] == "email"
        mail = wait_for_mails(server, 2)[1]
        assert mail["Subject"] == "Infisical MFA code"
        (code,) = [word for word in str(mail.get_content()).split() if word[:6].isdigit()]
        challenge = standin.client(str(answer["token"]))
        ok(challenge.post(VERIFY, json={"mfaToken": code[:6]}))
