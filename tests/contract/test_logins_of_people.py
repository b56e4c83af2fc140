"""Test that people log in by the loaders of both languages, and read with their own access."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.standin.totp import code_at

from .conftest import CACHE_SECONDS
from .laptops import RUNNERS, Laptop
from .mailed import join
from .world import PASSWORD, ok

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from .world import World

pytestmark = pytest.mark.real
ANNA = "anna@example.com"
_FACTOR = "Code of the authenticator app"
_ENDED = "eyJhbGciOiJIUzI1NiJ9.e30.x"
_FAILED = 77
_TO_CORRECT = 78


@dataclass(frozen=True)
class Office:
    """A project in which Anna reads development's `/backend`, and nothing else."""

    world: World
    anna: httpx.Client

    def invite(self, email: str) -> httpx.Client:
        return join(self.world.standin, self.world.admin, self.world.org_id, email)


@pytest.fixture(scope="module")
def office(world: World) -> Office:
    for environment in ("development", "production"):
        world.folder("/", "backend", environment)
        world.write("/backend", environment, A=f"fake-{environment}")
    anna = join(world.standin, world.admin, world.org_id, ANNA)
    grant(world, ANNA, "development")
    time.sleep(CACHE_SECONDS)
    return Office(world, anna)


@pytest.fixture(params=RUNNERS)
def laptop(request: pytest.FixtureRequest, tmp_path: Path, office: Office) -> Laptop:
    laptop = Laptop(tmp_path, request.param)
    laptop.check_out(
        workspaceId=office.world.project_id,
        domain=office.world.standin.url,
        defaultEnvironment="development",
        defaultSecretPath="/backend",
    )
    return laptop


def grant(world: World, email: str, environment: str, project: str = "") -> None:
    """Let a person read `/backend` in an environment."""
    project = project or world.project_id
    body = {"emails": [], "usernames": [email], "roleSlugs": ["no-access"]}
    ok(world.deployer.post(f"/api/v1/projects/{project}/memberships", json=body))
    members = ok(world.deployer.get(f"/api/v1/projects/{project}/memberships"))["memberships"]
    (member,) = [each["id"] for each in members if each["user"]["email"] == email]
    url = f"/api/v1/organization-admin/projects/{project}/grant-admin-access"
    ok(world.admin.post(url))
    conditions = {"environment": {"$eq": environment}, "secretPath": {"$glob": "/backend"}}
    permission = {
        "subject": "secrets",
        "action": ["describeSecret", "readValue"],
        "conditions": conditions,
    }
    privilege = {
        "projectMembershipId": member,
        "slug": "granted",
        "type": {"isTemporary": False},
        "permissions": [permission],
    }
    ok(world.admin.post("/api/v1/user-project-additional-privilege", json=privilege))


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
    assert laptop.run("whoami").stdout.startswith(f"{ANNA} of example at ")
    doctor = laptop.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "1 may be read in development /backend" in doctor.stdout
    assert "fake-development" not in doctor.stdout
    production = laptop.run("doctor", "--env", "production")
    assert production.returncode == _TO_CORRECT
    assert "WRONG secrets" in production.stdout
    token = laptop.change_login()["token"]
    out = laptop.run("logout")
    assert out.returncode == 0, out.stderr
    with office.world.standin.client(token) as client:
        assert client.get("/api/v1/user").status_code in (401, 404)
    assert laptop.run("whoami").returncode == _FAILED
    assert laptop.read().returncode == _TO_CORRECT


def test_a_token_that_has_ended_is_renewed_or_the_person_asked_to_log_in(
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
