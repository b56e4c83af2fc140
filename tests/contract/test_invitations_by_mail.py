"""Test invitations, password resets and other mails, through a real SMTP server and without one.

The answers are those of the real server, measured with the same mail server and its failures.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.certificates import OwnAuthority
from tests.mail_server import MailServer, Refusal
from tests.serving import serving

from .mailed import ADMIN, INVITE, RECOVERY, RESEND, accept, invite, link_of, query, wait_for_mails
from .world import PASSWORD, bootstrap, log_in, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import StartStandin
    from .services import Standin

ANNA = "anna+x@example.com"
SETTINGS = {
    "SMTP_HOST": "localhost",
    "SMTP_USERNAME": "mailer",
    "SMTP_PASSWORD": "not-a-real-password",
    "SMTP_FROM_ADDRESS": "secrets@example.com",
    "SMTP_FROM_NAME": "Secrets",
    "STANDIN_MAIL_SECONDS": "1",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OwnAuthority:
    return OwnAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def mail_server(authority: OwnAuthority, tmp_path: Path) -> Iterator[MailServer]:
    """A server that offers a login after STARTTLS, as port 587 of a provider."""
    pair = authority.issue("localhost")
    server = MailServer(tmp_path / "mails", tls="starttls")
    server.user, server.password = SETTINGS["SMTP_USERNAME"], SETTINGS["SMTP_PASSWORD"]
    server.certificate, server.key = pair.certificate, pair.key
    with serving(server):
        yield server


@pytest.fixture
def standin(
    start: StartStandin, database: str, mail_server: MailServer, authority: OwnAuthority
) -> Standin:
    """A stand-in that sends its mails through the mail server."""
    place = {"SMTP_PORT": str(mail_server.port), "NODE_EXTRA_CA_CERTS": str(authority.ca)}
    return start(database, **SETTINGS, **place).wait()


def _org(standin: Standin) -> str:
    org_id: str = ok(bootstrap(standin.client()))["organization"]["id"]
    return org_id


def _members(standin: Standin, org_id: str) -> dict[str, tuple[str, str]]:
    """Return the membership's id and status of each person."""
    admin = log_in(standin, org_id)
    users = ok(admin.get(f"/api/v2/organizations/{org_id}/memberships"))["users"]
    return {each["user"]["username"]: (each["id"], each["status"]) for each in users}


def test_an_invitation_goes_by_mail_and_is_accepted(
    standin: Standin, mail_server: MailServer
) -> None:
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    wait_for_mails(mail_server, 1)  # about the administrator's new device
    answer = ok(invite(admin, org_id, ANNA))
    assert (ANNA in answer["message"], answer["completeInviteLinks"]) == (True, [])
    mail = wait_for_mails(mail_server, 2)[1]
    assert (mail["Subject"], mail["To"]) == ("Infisical organization invitation", ANNA)
    assert mail["From"] == "Secrets <secrets@example.com>"
    assert (mail["X-Login"], mail.get_content_type()) == ("mailer", "text/html")
    link = link_of(mail)
    assert link.startswith(f"{standin.url}/signupinvite?token=")
    assert "to=anna%2Bx%40example.com&" in link
    assert accept(standin, link)["message"] == "Successfully set up account"
    assert _members(standin, org_id)[ANNA][1] == "invited"
    log_in(standin, org_id, ANNA)
    assert _members(standin, org_id)[ANNA][1] == "accepted"


def test_a_second_invitation_sends_nothing(standin: Standin, mail_server: MailServer) -> None:
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    ok(invite(admin, org_id, ANNA))
    assert ok(invite(admin, org_id, ANNA)).keys() == {"message"}
    wait_for_mails(mail_server, 2)


def test_a_resent_invitation_replaces_the_first(standin: Standin, mail_server: MailServer) -> None:
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    ok(invite(admin, org_id, ANNA))
    membership, _ = _members(standin, org_id)[ANNA]
    assert ok(admin.post(RESEND, json={"membershipId": membership})) == {}
    first, second = (link_of(each) for each in wait_for_mails(mail_server, 3)[1:])
    code = query(first)
    body = {"email": ANNA, "organizationId": org_id, "code": code["token"]}
    assert standin.client().post("/api/v1/invite-org/verify", json=body).status_code == 500
    accept(standin, second)
    log_in(standin, org_id, ANNA)
    refused = admin.post(RESEND, json={"membershipId": membership})
    assert refused.status_code == 400
    assert refused.json()["message"] == "Organization invitation already accepted"


@pytest.mark.parametrize("step", ["login", "sender", "recipient", "message", "greeting"])
def test_a_failed_invitation_is_answered_as_a_sent_one(
    standin: Standin, mail_server: MailServer, step: Refusal
) -> None:
    """Only a second try shows that the mail was not accepted."""
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    mail_server.refuse = step
    assert ok(invite(admin, org_id, ANNA))["completeInviteLinks"] == []
    membership, status = _members(standin, org_id)[ANNA]
    assert status == "invited"
    failed = admin.post(RESEND, json={"membershipId": membership})
    assert (failed.status_code, failed.json()["error"]) == (500, "InternalServerError")
    wait_for_mails(mail_server, 1)


def test_a_person_is_in_a_project_although_the_answer_is_a_failure(
    standin: Standin, mail_server: MailServer
) -> None:
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    ok(invite(admin, org_id, ANNA))
    accept(standin, link_of(wait_for_mails(mail_server, 2)[1]))
    log_in(standin, org_id, ANNA)
    project = {"projectName": "example", "slug": "example", "shouldCreateDefaultEnvs": False}
    project_id = ok(admin.post("/api/v1/projects", json=project))["project"]["id"]
    url = f"/api/v1/projects/{project_id}/memberships"
    mail_server.refuse = "recipient"
    added = {"emails": [ANNA], "roleSlugs": ["viewer"]}
    assert admin.post(url, json=added).status_code == 500
    names = [each["user"]["username"] for each in ok(admin.get(url))["memberships"]]
    assert ANNA in names
    assert ok(admin.post(url, json=added)) == {"memberships": []}


def test_a_login_from_a_new_device_sends_a_mail(standin: Standin, mail_server: MailServer) -> None:
    org_id = _org(standin)
    log_in(standin, org_id)
    (mail,) = wait_for_mails(mail_server, 1)
    assert "new device" in mail["Subject"]
    log_in(standin, org_id)
    wait_for_mails(mail_server, 1)
    mail_server.refuse = "login"
    with standin.client() as client:
        client.headers["User-Agent"] = "another"
        body = {"email": ADMIN, "password": PASSWORD}
        client.headers["Authorization"] = (
            f"Bearer {ok(client.post('/api/v3/auth/login', json=body))['accessToken']}"
        )
        ok(client.post("/api/v3/auth/select-organization", json={"organizationId": org_id}))


def test_a_password_is_reset_by_mail_once(standin: Standin, mail_server: MailServer) -> None:
    org_id = _org(standin)
    old = log_in(standin, org_id)
    client = standin.client()
    sent = ok(client.post(f"{RECOVERY}/send-email", json={"email": ADMIN}))
    assert ok(client.post(f"{RECOVERY}/send-email", json={"email": "no@example.com"})) == sent
    mail = wait_for_mails(mail_server, 2)[1]
    assert (mail["Subject"], mail["To"]) == ("Infisical account recovery", ADMIN)
    link = link_of(mail)
    assert link.startswith(f"{standin.url}/account-recovery-reset?token=")
    body = {"email": ADMIN, "code": query(link)["token"]}
    wrong = client.post(f"{RECOVERY}/verify-email", json={**body, "code": "wrong"})
    assert wrong.status_code == 500
    token = ok(client.post(f"{RECOVERY}/verify-email", json=body))["token"]
    assert client.post(f"{RECOVERY}/verify-email", json=body).status_code == 500
    with standin.client(token) as recovering:
        new = {"newPassword": "another-fake-password"}
        done = recovering.post("/api/v2/password/password-reset", json=new)
        assert (done.status_code, done.text) == (200, "")
        again = recovering.post("/api/v2/password/password-reset", json=new)
        assert (again.status_code, again.json()["message"]) == (401, "Invalid recovery token")
    ended = old.get("/api/v1/organization")
    assert (ended.status_code, ended.json()["error"]) == (404, "Session not found")
    login = {"email": ADMIN, "password": new["newPassword"]}
    ok(client.post("/api/v3/auth/login", json=login))
    refused = client.post("/api/v3/auth/login", json={**login, "password": PASSWORD})
    assert refused.status_code == 400


def test_without_mail_the_links_are_answered_and_logged(start: StartStandin, database: str) -> None:
    standin = start(database).wait()
    org_id = _org(standin)
    admin = log_in(standin, org_id)
    assert ok(standin.client().get("/api/status"))["emailConfigured"] is False
    (link,) = ok(invite(admin, org_id, ANNA))["completeInviteLinks"]
    assert (link["email"], query(link["link"])["token"] in standin.log()) == (ANNA, True)
    membership, _ = _members(standin, org_id)[ANNA]
    again = ok(admin.post(RESEND, json={"membershipId": membership}))["signupToken"]
    assert again["email"] == ANNA
    assert again["link"] != link["link"]
    accept(standin, again["link"].replace("+", "%2B"))


def test_the_start_logs_whether_the_mail_server_answers(
    start: StartStandin, database: str, mail_server: MailServer, authority: OwnAuthority
) -> None:
    place = {"SMTP_PORT": str(mail_server.port), "NODE_EXTRA_CA_CERTS": str(authority.ca)}
    standin = start(database, **SETTINGS, **place).wait()
    assert f"SMTP - Verified connection to localhost:{mail_server.port}" in standin.log()
    assert ok(standin.client().get("/api/status"))["emailConfigured"] is True
    mail_server.refuse = "login"
    standin = start(database, **SETTINGS, **place).wait()
    assert f"localhost:{mail_server.port} - Invalid login: 535" in standin.log()


@pytest.mark.parametrize(
    ("changes", "is_reached"),
    [
        ({"NODE_EXTRA_CA_CERTS": None}, False),
        ({"NODE_EXTRA_CA_CERTS": None, "SMTP_TLS_REJECT_UNAUTHORIZED": "false"}, True),
        ({"NODE_EXTRA_CA_CERTS": None, "SMTP_CUSTOM_CA_CERT": "CA"}, True),
        ({"NODE_EXTRA_CA_CERTS": None, "SMTP_CUSTOM_CA_CERT": "bm9uc2Vuc2U="}, False),
        ({"SMTP_PASSWORD": "wrong"}, False),
        # Without TLS this server offers no login, and none is tried.
        ({"SMTP_IGNORE_TLS": "true"}, True),
        ({"SMTP_HOST": "127.0.0.1"}, False),
    ],
)
def test_variables_of_tls_are_heeded(
    start: StartStandin,
    database: str,
    mail_server: MailServer,
    authority: OwnAuthority,
    changes: dict[str, str | None],
    is_reached: bool,
) -> None:
    given = {
        **SETTINGS,
        "SMTP_PORT": str(mail_server.port),
        "NODE_EXTRA_CA_CERTS": str(authority.ca),
        **changes,
    }
    if given.get("SMTP_CUSTOM_CA_CERT") == "CA":
        given["SMTP_CUSTOM_CA_CERT"] = base64.b64encode(authority.ca.read_bytes()).decode()
    standin = start(database, **given).wait()
    assert ("SMTP - Verified connection" in standin.log()) == is_reached


@pytest.mark.parametrize(("required", "is_reached"), [("true", False), ("false", True)])
def test_a_server_without_starttls_needs_a_variable(
    start: StartStandin, database: str, tmp_path: Path, required: str, is_reached: bool
) -> None:
    with serving(MailServer(tmp_path)) as server:
        place = {"SMTP_PORT": str(server.port), "SMTP_REQUIRE_TLS": required}
        standin = start(database, SMTP_HOST="localhost", **place).wait()
    assert ("SMTP - Verified connection" in standin.log()) == is_reached


def test_a_port_that_is_no_number_ends_the_start(start: StartStandin, database: str) -> None:
    standin = start(database, SMTP_HOST="localhost", SMTP_PORT="abc")
    assert standin.exit_code() == 255
    assert "SMTP_PORT" in standin.log()


def test_an_invitation_needs_an_address_with_a_domain(standin: Standin) -> None:
    org_id = _org(standin)
    body = {"inviteeEmails": ["anna"], "organizationId": org_id}
    assert log_in(standin, org_id).post(INVITE, json=body).status_code == 422
