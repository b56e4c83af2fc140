"""The access log of a real Caddy before the stand-in: who did what, and no secret."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode, urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.accesslog.access import Access, Known, parse
from infisical_iac.banning.rules import filter_path, texts
from infisical_iac.deploys.watch import CONFIGURATION, rotation
from infisical_iac.operations.watch import LOG
from infisical_iac.rendering import script

from .caddies import Answer, Caddy
from .services import free_port
from .world import EMAIL, PASSWORD, Identity, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOGIN = "/api/v1/auth/universal-auth/login"
_VALUE = "a-value-that-nobody-may-see"
# Marks all that is made up, in whatever place of a request.
_MARK = "NOBODYMAYSEETHIS"


class Visitor:
    """Asks through Caddy, and remembers all that must not be in a log."""

    def __init__(self, caddy: Caddy, world: World) -> None:
        self.caddy, self.world, self.asked = caddy, world, 0
        self.secrets = {PASSWORD, _VALUE, _MARK}
        self.service = world.member("viewer")
        world.write("/", "production", HIDDEN=_VALUE)

    def ask(
        self, target: str, headers: dict[str, str], method: str = "GET", body: bytes = b""
    ) -> Answer:
        """A request, which is to make a line."""
        self.asked += 1
        return self.caddy.ask(target, method, headers=headers, body=body)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Answer:
        """A request with a body of JSON."""
        headers["Content-Type"] = "application/json"
        return self.ask(path, headers, "POST", json.dumps(body).encode())

    def token(self, identity: Identity) -> str:
        """A token from a login through Caddy."""
        body = {"clientId": identity.client_id, "clientSecret": identity.client_secret}
        self.secrets.add(identity.client_secret)
        return self._kept(json.loads(self.post(_LOGIN, body).body)["accessToken"])

    def persons_token(self) -> str:
        """The administrator's token, from a login through Caddy."""
        answer = self.post("/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD})
        token = self._kept(json.loads(answer.body)["accessToken"])
        body = {"organizationId": self.world.org_id}
        chosen = self.post(
            "/api/v3/auth/select-organization", body, Authorization=f"Bearer {token}"
        )
        return self._kept(json.loads(chosen.body)["token"])

    def _kept(self, token: str) -> str:
        self.secrets |= {token, token.split(".")[2]}
        return token

    def read(self, token: str, *, scheme: str = "Bearer", query: str = "") -> Answer:
        """Read the secrets of production."""
        path = f"/api/v4/secrets?projectId={self.world.project_id}&environment=production"
        return self.ask(f"{path}&secretPath=%2F{query}", {"Authorization": f"{scheme} {token}"})


@pytest.fixture(scope="module")
def caddy(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    one = Caddy(tmp_path_factory.mktemp("caddy"), world.standin.port)
    one.write()
    yield one.start()
    one.stop()


@pytest.fixture(scope="module")
def visitor(caddy: Caddy, world: World) -> Visitor:
    return Visitor(caddy, world)


@pytest.fixture(scope="module")
def visited(visitor: Visitor) -> list[str]:
    """The lines of the log after all kinds of requests, good and bad."""
    _ask_in_all_ways(visitor)
    return _lines(visitor.caddy, at_least=visitor.asked)


def _ask_in_all_ways(visitor: Visitor) -> None:
    ask, token, person = visitor.ask, visitor.token(visitor.service), visitor.persons_token()
    assert _VALUE.encode() in visitor.read(token).body
    for scheme in ("bearer", "BEARER", "Bearer "):
        visitor.read(token, scheme=scheme)
    headers = {"Authorization": f"Bearer {person}", "Cookie": f"jid={_MARK}", "X-Api-Key": _MARK}
    assert ask(f"/api/v1/identities?orgId={visitor.world.org_id}", headers).status == 200
    visitor.read(token, query=f"&token={_MARK}&secretName={_MARK}&x={token}#{_MARK}")
    place = visitor.world.place()
    write = {**place, "secretValue": _MARK}
    writer = f"Bearer {visitor.token(visitor.world.deployer_identity)}"
    assert visitor.post("/api/v4/secrets/NEW", write, Authorization=writer).status == 200
    wrong = {"clientId": visitor.service.client_id, "clientSecret": _MARK}
    assert visitor.post(_LOGIN, wrong).status == 401
    assert visitor.post("/api/v3/auth/login", {"email": EMAIL, "password": _MARK}).status == 400
    head, claims, signature = token.split(".")
    authorizations = (
        *(_MARK, f"Bearer {_MARK}", f"Token {token}", f"Bearer {token} {_MARK}"),
        *(f"Bearer {head}.{claims}", f"Bearer {token}.{_MARK}", f"Bearer {_MARK}.{claims}.x"),
        *(f"Bearer {head}.{_MARK}.{signature}", f"Bearer {head}.eyJ{_MARK * 100}.x"),
        f"Basic {b64encode(f'user:{_MARK}'.encode()).decode()}",
    )
    for each in authorizations:
        ask("/api/v4/secrets", {"Authorization": each})
    targets = (
        *(f"/?token={_MARK}", f"/signupinvite?token={_MARK}&to={_MARK}", f"/x;{_MARK}"),
        *(f"/api/v4/secrets?accessToken={token}", f"/api/v4/secrets&token={_MARK}"),
        *(f"/api/v4/secrets?environment=production?{_MARK}", f"/{token}", f"/x/{token}/y"),
        *(f"/api/v4/secrets?%65nvironment={_MARK}", f"/shared/secret/{_MARK}", f"/#{_MARK}"),
        *(f"/api/v1/secret-sharing/shared/public/{_MARK}", f"/{'a' * 64}{_MARK}"),
        f"https://{_MARK}:{_MARK}@{visitor.caddy.settings.site_url[8:]}/api/status?{_MARK}",
    )
    for target in targets:
        ask(target, {})
    visitor.post("/api/v1/admin/bootstrap", {"password": _MARK})
    assert ask("/api/v4/secrets", {}, "POST", f"{{{_MARK}".encode()).status >= 400
    # What is oversized is refused before there is a request to log.
    assert visitor.caddy.ask("/api/status", headers={"X-Long": _MARK * 4000}).status == 431


def _lines(caddy: Caddy, *, at_least: int = 0) -> list[str]:
    log, end = caddy.home / "log" / "access.log", time.monotonic() + 10
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= at_least or time.monotonic() > end:
            return lines
        time.sleep(0.05)


def _told(caddy: Caddy, *, ids: str = "", environment: str = "", known: Known) -> list[Access]:
    """What `audit access` tells of the log."""
    arguments = (str(caddy.home / "log"), "0", "1000", "", ids, environment, "")
    done = subprocess.run(
        script("access", *arguments), shell=True, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return parse(done.stdout.splitlines(), known)


def test_every_request_makes_a_line_and_none_holds_a_secret(
    visitor: Visitor, visited: list[str]
) -> None:
    assert len(visited) == visitor.asked
    text = "\n".join([*visited, visitor.caddy.said()])
    assert [each for each in visitor.secrets if each in text] == []


def test_a_line_holds_these_fields_alone(visited: list[str]) -> None:
    lines = [json.loads(each) for each in visited]
    fields = {"level", "ts", "logger", "msg", "request", "bytes_read", "user_id", "duration"}
    assert {each for line in lines for each in line} <= fields | {"size", "status"}
    of_requests = {each for line in lines for each in line["request"]}
    assert of_requests - {"client_ip"} == {"remote_ip", "proto", "method", "uri"}


def test_claims_are_logged_and_name_nobody_but_by_ids(visited: list[str]) -> None:
    logged = {line["user_id"] for line in map(json.loads, visited)} - {""}
    found = [json.loads(urlsafe_b64decode(each + "=" * (-len(each) % 4))) for each in logged]
    assert found
    assert EMAIL not in json.dumps(found)
    ids = {"identityId", "identityAccessTokenId", "userId", "organizationId"}
    kinds = {"authTokenType", "authMethod", "iat", "exp"}
    assert {name for each in found for name in each} <= ids | kinds


def test_a_read_is_told_with_who_which_environment_and_when(
    visitor: Visitor, visited: list[str]
) -> None:
    service, project = visitor.service.id, visitor.world.project_id
    known = Known({service: "a-service"}, {}, {project: "a-project"})
    found = [each for each in _told(visitor.caddy, ids=service, known=known) if each.proven]
    assert [each.who for each in found] == ["a-service"] * 5
    assert {(each.project, each.environment, each.folder) for each in found} == {
        ("a-project", "production", "/")
    }
    assert {each.address for each in found} == {"127.0.0.1"}
    assert _told(visitor.caddy, ids=service, environment="staging", known=known) == []


def test_a_persons_request_is_told_with_the_person(visitor: Visitor, visited: list[str]) -> None:
    users = visitor.world.deployer.get(
        f"/api/v2/organizations/{visitor.world.org_id}/memberships"
    ).json()["users"]
    known = Known({}, {each["user"]["id"]: each["user"]["username"] for each in users}, {})
    [id] = known.ids(None, EMAIL)
    found = _told(visitor.caddy, ids=id, known=known)
    [proven] = [each for each in found if each.proven]
    assert (proven.who, proven.method, proven.path) == (EMAIL, "GET", "/api/v1/identities")


def test_fail2ban_counts_the_failed_logins_of_the_log(
    visitor: Visitor, visited: list[str], tmp_path: Path
) -> None:
    filter = tmp_path / "filter.conf"
    filter.write_text(dict(texts(visitor.caddy.settings, LOG))[filter_path("infisical-login")])
    log = tmp_path / "log"
    log.write_text("".join(f"{each}\n" for each in visited))
    done = subprocess.run(
        ["fail2ban-regex", log, filter], capture_output=True, text=True, timeout=60
    )
    # Two wrong logins, one call of a path that is closed, and one that hides behind an escape.
    assert f"Lines: {len(visited)} lines, 0 ignored, 3 matched" in done.stdout, done.stdout


def test_an_infisical_that_is_away_leaves_no_token_in_caddys_own_log(tmp_path: Path) -> None:
    caddy = Caddy(tmp_path, free_port())
    caddy.write()
    caddy.start()
    try:
        answer = caddy.ask(f"/?token={_MARK}", headers={"Authorization": f"Bearer {_MARK}"})
        assert answer.status == 502
        assert "502" in _lines(caddy, at_least=1)[0]
        assert _MARK not in caddy.said()
    finally:
        caddy.stop()


def test_caddy_goes_on_writing_into_a_log_that_was_rotated(tmp_path: Path, world: World) -> None:
    caddy = Caddy(tmp_path, world.standin.port)
    caddy.write()
    caddy.start()
    try:
        caddy.ask("/api/status?before")
        _lines(caddy, at_least=1)
        text = {each.path: each.content for each in rotation(caddy.settings)}[CONFIGURATION]
        configuration, log = tmp_path / "logrotate.conf", tmp_path / "log" / "access.log"
        configuration.write_text(text.replace(LOG, str(log)))
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(configuration)]
        (tmp_path / "log").chmod(0o750)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert log.read_text() == ""
        caddy.ask("/api/status")
        assert [json.loads(each)["status"] for each in _lines(caddy, at_least=1)] == [200]
        assert len(_told(caddy, known=Known())) == 2
    finally:
        caddy.stop()
