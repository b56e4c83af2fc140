"""Test that people log in with the loaders of both languages, and read with their own access."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.standin.totp import code_at

from .conftest import CACHE_SECONDS
from .laptops import ANNA, RUNNERS, Laptop, Office, grant
from .mailed import accept, invite
from .world import PASSWORD, ok

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.real
_FACTOR = "Code of the authenticator app"
_ENDED = "eyJhbGciOiJIUzI1NiJ9.e30.x"
_FAILED = 77
_TO_CORRECT = 78


@pytest.fixture(params=RUNNERS)
def laptop(request: pytest.FixtureRequest, tmp_path: Path, office: Office) -> Laptop:
    return office.prepare(Laptop(tmp_path, request.param))


def test_a_person_logs_in_by_password_and_reads_development_only(
    laptop: Laptop, office: Office
) -> None:
    status, shown = laptop.log_in(ANNA, ("Password", PASSWORD))
    assert status == 0, shown
    assert PASSWORD not in shown
    assert f"Logged in as {ANNA} of example" in shown
    done = laptop.read()
    assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr
    assert ANNA in done.stderr
    refused = laptop.read(NODE_ENV="production")
    assert (refused.returncode, refused.stdout) == (_TO_CORRECT, "")
    assert "--env production" in refused.stderr
    typed = laptop.read("--env", "production")
    assert (typed.returncode, typed.stdout) == (_TO_CORRECT, "")
    assert ANNA in typed.stderr


def test_a_person_with_access_to_production_reads_it_by_typing_its_name(
    laptop: Laptop, office: Office
) -> None:
    email = f"fay-{laptop.language}@example.com"
    office.invite(email)
    grant(office.world, email, "production")
    laptop.log_in(email, ("Password", PASSWORD))
    time.sleep(CACHE_SECONDS)
    by_variable = laptop.read(NODE_ENV="production")
    assert (by_variable.returncode, by_variable.stdout) == (_TO_CORRECT, "")
    typed = laptop.read("--env", "production")
    assert (typed.returncode, typed.stdout) == (0, "fake-production"), typed.stderr
    assert email in typed.stderr
    doctor = laptop.run("doctor", "--env", "production")
    assert doctor.returncode == 0, doctor.stdout
    assert re.search("secrets +1 .*production /backend", doctor.stdout)


@pytest.mark.parametrize(
    ("name", "text"), [(".env.local", "# overrides\nA=mine\n"), (".env.override", "A=mine\n")]
)
def test_overrides_refuse_the_production_of_a_person(
    laptop: Laptop, office: Office, name: str, text: str
) -> None:
    email = f"gil-{laptop.language}{name.replace('.', '-')}@example.com"
    office.invite(email)
    grant(office.world, email, "production")
    laptop.log_in(email, ("Password", PASSWORD))
    time.sleep(CACHE_SECONDS)
    own = laptop.service / name
    own.touch(mode=0o600)
    own.write_text(text)
    for options in (("--env", "production"), ("--override", "--env", "production")):
        refused = laptop.read(*options)
        assert (refused.returncode, refused.stdout) == (_TO_CORRECT, "")
        assert f"{own} overrides A" in refused.stderr
    doctor = laptop.run("doctor", "--env", "production")
    assert (doctor.returncode, "WRONG secrets" in doctor.stdout) == (_TO_CORRECT, True)
    own.unlink()
    assert laptop.read("--env", "production").stdout == "fake-production"


def test_a_login_without_a_project_file_asks_for_the_address(
    laptop: Laptop, office: Office
) -> None:
    (laptop.service / ".infisical.json").unlink()
    with laptop.on_terminal("login") as running:
        running.answer("Address of Infisical: ", f"{office.world.standin.url}/")
        running.answer("E-mail", ANNA)
        running.answer("Password", PASSWORD)
        assert running.finish() == 0, running.shown
    assert f"Infisical at {office.world.standin.url}\n" in running.shown
    assert PASSWORD not in running.shown
    office.prepare(laptop)
    done = laptop.read()
    assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr


@pytest.mark.parametrize(
    ("typed", "fact"),
    [
        ("", "--address"),
        ("secrets.example.com", "https://"),
        ("http://secrets.example.com", "https://"),
        ("https://ben:fake@secrets.example.com", "https://"),
    ],
)
def test_a_login_ends_at_an_address_that_is_none(laptop: Laptop, typed: str, fact: str) -> None:
    (laptop.service / ".infisical.json").unlink()
    with laptop.on_terminal("login") as running:
        running.answer("Address of Infisical: ", typed)
        assert running.finish() == _TO_CORRECT
    (message,) = running.shown.split("\n", 1)[1].strip().splitlines()
    assert fact in message
    assert "ben" not in message
    assert "E-mail" not in running.shown


def test_a_login_by_one_language_is_used_by_the_other(laptop: Laptop, office: Office) -> None:
    laptop.log_in(ANNA, ("Password", PASSWORD))
    for other in RUNNERS:
        done = Laptop(laptop.home, other).read()
        assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr


def test_a_login_is_kept_in_files_that_nobody_else_reads(laptop: Laptop, office: Office) -> None:
    laptop.log_in(ANNA, ("Password", PASSWORD))
    kept = [
        each for each in laptop.home.rglob("*") if each.name == "key" or each.suffix == ".login"
    ]
    assert len(kept) == 2
    for each in kept:
        assert each.stat().st_mode & 0o777 == 0o600
        assert b"eyJ" not in each.read_bytes()
        assert ANNA.encode() not in each.read_bytes()
    kept[0].chmod(0o644)
    refused = laptop.read()
    assert refused.returncode == _TO_CORRECT
    assert str(kept[0]) in refused.stderr


def test_a_wrong_password_is_tried_once_and_changes_nothing(laptop: Laptop, office: Office) -> None:
    status, shown = laptop.log_in(ANNA, ("Password", "not-the-password"))
    assert status == _FAILED
    assert ANNA in shown
    assert "--browser" in shown
    assert laptop.run("whoami").returncode == _FAILED


def test_whoami_logout_and_doctor(laptop: Laptop, office: Office) -> None:
    laptop.log_in(ANNA, ("Password", PASSWORD))
    whoami = laptop.run("whoami").stdout
    assert whoami.startswith(f"{ANNA} of example at ")
    assert "session_token_lifetime" not in whoami
    doctor = laptop.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert re.search("secrets +1 .*development /backend", doctor.stdout)
    assert "fake-development" not in doctor.stdout
    production = laptop.run("doctor", "--env", "production")
    assert production.returncode == _TO_CORRECT
    assert "WRONG secrets" in production.stdout
    kept = laptop.change_login()
    laptop.change_login(refresh="")  # as after a login in the browser
    assert "session_token_lifetime" in laptop.run("whoami").stdout
    token = laptop.change_login(refresh=kept["refresh"])["token"]
    out = laptop.run("logout")
    assert out.returncode == 0, out.stderr
    with office.world.standin.client(token) as client:
        assert client.get("/api/v1/user").status_code in (401, 404)
    assert laptop.run("whoami").returncode == _FAILED
    assert laptop.read().returncode == _TO_CORRECT


def test_an_expired_token_is_renewed_or_the_person_must_log_in_again(
    laptop: Laptop, office: Office
) -> None:
    laptop.log_in(ANNA, ("Password", PASSWORD))
    laptop.change_login(token=_ENDED)
    done = laptop.read()
    assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr
    assert laptop.run("whoami").returncode == 0
    laptop.change_login(token=_ENDED, refresh="")
    ended = laptop.read()
    assert ended.returncode == _FAILED
    assert "`with-secrets login`" in ended.stderr


def test_concurrent_starts_renew_a_login_once(laptop: Laptop, office: Office) -> None:
    laptop.log_in(ANNA, ("Password", PASSWORD))
    laptop.change_login(token=_ENDED)
    both = [Laptop(laptop.home, language) for language in (*RUNNERS, *RUNNERS)]
    with ThreadPoolExecutor(len(both)) as pool:
        ended = list(pool.map(Laptop.read, both))
    assert [each.returncode for each in ended] == [0, 0, 0, 0], ended
    laptop.change_login(token=_ENDED)
    assert laptop.read().returncode == 0


def test_a_person_logs_in_with_a_second_factor(laptop: Laptop, office: Office) -> None:
    email = f"ben-{laptop.language}@example.com"
    ben = office.invite(email)
    grant(office.world, email, "development")
    registered = ok(ben.post("/api/v1/user/me/totp/register"))
    secret = parse_qs(urlsplit(registered["otpUrl"]).query)["secret"][0]
    ok(ben.post("/api/v1/user/me/totp/verify", json={"totp": code_at(secret, time.time())}))
    factor = {"isMfaEnabled": True, "selectedMfaMethod": "totp"}
    ok(ben.patch("/api/v2/users/me/mfa", json=factor))
    status, shown = laptop.log_in(email, ("Password", PASSWORD), (_FACTOR, "000000"))
    assert status == _FAILED
    assert "third wrong one" in shown
    code = code_at(secret, time.time() + 30)
    status, shown = laptop.log_in(email, ("Password", PASSWORD), (_FACTOR, code))
    if status:  # the clock was at the end of a step
        code = registered["recoveryCodes"][0]
        status, shown = laptop.log_in(email, ("Password", PASSWORD), (_FACTOR, code))
    assert status == 0, shown
    time.sleep(CACHE_SECONDS)
    done = laptop.read()
    assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr


def test_a_person_chooses_one_of_two_organizations(laptop: Laptop, office: Office) -> None:
    email = f"cyd-{laptop.language}@example.com"
    cyd = office.invite(email)
    ok(cyd.post("/api/v2/organizations", json={"name": f"Own {laptop.language}"}))
    grant(office.world, email, "development")
    status, shown = laptop.log_in(email, ("Password", PASSWORD), ("Organization", "example"))
    assert status == 0, shown
    time.sleep(CACHE_SECONDS)
    assert laptop.read().stdout == "fake-development"
    other = ("login", "--email", email, "--organization", f"Own {laptop.language}")
    with laptop.on_terminal(*other) as running:
        running.answer("Password", PASSWORD)
        assert running.finish() == 0, running.shown
    time.sleep(CACHE_SECONDS)
    done = laptop.read()
    assert (done.returncode, done.stdout) in ((_FAILED, ""), (_TO_CORRECT, ""))
    assert email in done.stderr


def test_an_invited_person_logs_in_for_the_first_time(laptop: Laptop, office: Office) -> None:
    email = f"eva-{laptop.language}@example.com"
    world = office.world
    (link,) = ok(invite(world.admin, world.org_id, email))["completeInviteLinks"]
    accept(world.standin, link["link"])
    status, shown = laptop.log_in(email, ("Password", PASSWORD))
    assert status == 0, shown
    assert laptop.run("whoami").returncode == 0


def test_a_person_reads_where_each_service_has_a_project(laptop: Laptop, office: Office) -> None:
    world = office.world
    projects = {}
    for name in ("own", "shared"):
        slug = f"{name}-{laptop.language}-dev"
        body = {"projectName": slug, "slug": slug, "shouldCreateDefaultEnvs": False}
        project = ok(world.deployer.post("/api/v1/projects", json=body))["project"]["id"]
        environment = {"name": "development", "slug": "development"}
        ok(world.deployer.post(f"/api/v1/projects/{project}/environments", json=environment))
        place = {"projectId": project, "environment": "development", "path": "/"}
        ok(world.deployer.post("/api/v2/folders", json={**place, "name": "backend"}))
        at = {"projectId": project, "environment": "development", "secretPath": "/backend"}
        secret = {"secretKey": "A" if name == "own" else "B", "secretValue": f"fake-{name}"}
        ok(
            world.deployer.patch(
                "/api/v4/secrets/batch", json={**at, "mode": "upsert", "secrets": [secret]}
            )
        )
        grant(world, ANNA, "development", project)
        projects[name] = project
    laptop.check_out(
        domain=world.standin.url,
        defaultEnvironment="development",
        defaultSecretPath="/backend",
        projects={
            "development": {
                "workspaceId": projects["own"],
                "imports": [{"workspaceId": projects["shared"], "secretPath": "/backend"}],
            }
        },
    )
    laptop.log_in(ANNA, ("Password", PASSWORD))
    time.sleep(CACHE_SECONDS)
    done = laptop.run("--", "sh", "-c", 'printf %s "$A $B"')
    assert (done.returncode, done.stdout) == (0, "fake-own fake-shared"), done.stderr
    staging = laptop.read("--env", "staging")
    assert staging.returncode == _TO_CORRECT
    assert "staging" in staging.stderr


def test_credentials_of_a_service_win_and_are_reported(laptop: Laptop, office: Office) -> None:
    identity = office.world.member("viewer")
    file = laptop.service / ".env.local"
    file.touch(mode=0o600)
    file.write_text(
        f"INFISICAL_CLIENT_ID={identity.client_id}\n"
        f"INFISICAL_CLIENT_SECRET={identity.client_secret}\nNODE_ENV=production\n"
    )
    status, shown = laptop.log_in(ANNA, ("Password", PASSWORD))
    assert status == 0
    assert "credentials of a service" in " ".join(shown.split())
    done = laptop.read()
    assert (done.returncode, done.stdout) == (0, "fake-production"), done.stderr
    doctor = laptop.run("doctor")
    assert identity.client_id in doctor.stdout
    assert identity.client_secret not in doctor.stdout
    file.unlink()
    assert laptop.read().stdout == "fake-development"


def test_ctrl_c_at_the_password_ends_the_login_quietly(laptop: Laptop, office: Office) -> None:
    with laptop.on_terminal("login") as running:
        running.answer("E-mail", ANNA)
        running.read_until("Password of")
        assert running.interrupt() == 130
        assert "Traceback" not in running.shown
    assert laptop.run("whoami").returncode == _FAILED


def test_a_login_ends_with_the_membership(laptop: Laptop, office: Office) -> None:
    email = f"dan-{laptop.language}@example.com"
    office.invite(email)
    grant(office.world, email, "development")
    laptop.log_in(email, ("Password", PASSWORD))
    admin, org_id = office.world.admin, office.world.org_id
    members = ok(admin.get(f"/api/v2/organizations/{org_id}/memberships"))["users"]
    (member,) = [each["id"] for each in members if each["user"]["email"] == email]
    ok(admin.delete(f"/api/v2/organizations/{org_id}/memberships/{member}"))
    time.sleep(CACHE_SECONDS)
    done = laptop.read()
    assert done.returncode == _FAILED, done.stderr
    assert "Traceback" not in done.stderr


def test_the_vendors_command_line_logs_in_and_runs(office: Office) -> None:
    """`infisical login -i` and `infisical run`, of version 0.43.134, by their requests."""
    world, agent = office.world, {"User-Agent": "cli"}
    assert world.standin.client().get("/api/status", headers=agent).status_code == 200
    account = {"email": ANNA, "password": PASSWORD}
    answer = world.standin.client().post("/api/v3/auth/login", json=account, headers=agent)
    with world.standin.client(ok(answer)["accessToken"]) as client:
        listed = ok(client.get("/api/v1/organization/accessible-with-sub-orgs", headers=agent))
        (organization,) = listed["organizations"]
        assert (organization["name"], organization["subOrganizations"]) == ("example", [])
        chosen = {"organizationId": organization["id"]}
        path = "/api/v3/auth/select-organization"
        selected = ok(client.post(path, json=chosen, headers=agent))
    assert selected["isMfaEnabled"] is False
    query = {
        "projectId": world.project_id,
        "environment": "development",
        "secretPath": "/backend",
        "includeImports": "true",
        "recursive": "false",
        "expandSecretReferences": "true",
        "includePersonalOverrides": "true",
    }
    with world.standin.client(selected["token"]) as client:
        found = ok(client.get("/api/v4/secrets", params=query, headers=agent))
        assert [each["secretValue"] for each in found["secrets"]] == ["fake-development"]
        at_root = ok(client.get("/api/v4/secrets", params=query | {"secretPath": "/"}))
        assert at_root["secrets"] == []
