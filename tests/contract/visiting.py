"""A client of Caddy that sends all kinds of requests, and the log of them."""

from __future__ import annotations

import json
import time
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from infisical_iac.agent.access import find_requests
from infisical_iac.agent.runner import Runner
from infisical_iac.stack.access_log import KnownNames, LoggedRequest, describe_requests

from .world import EMAIL, PASSWORD, Identity, World

if TYPE_CHECKING:
    from pathlib import Path

    from .caddies import Answer, Caddy

_LOGIN = "/api/v1/auth/universal-auth/login"
VALUE = "a-value-that-nobody-may-see"
# Marks each made-up value, wherever it is in a request.
MARK = "NOBODYMAYSEETHIS"
# A token with longer claims than the log keeps.
LONG = "00000000-0000-4000-8000-00000000long"
SERVICE_TOKEN = "st.00000000-0000-4000-8000-000000000000"


class Visitor:
    """Send requests through Caddy, and collect the secrets that must not be in a log."""

    def __init__(self, caddy: Caddy, world: World) -> None:
        self.caddy, self.world, self.asked = caddy, world, 0
        self.secrets = {PASSWORD, VALUE, MARK}
        self.service = world.member("viewer")
        world.write("/", "production", HIDDEN=VALUE)

    def ask(
        self, target: str, headers: dict[str, str], method: str = "GET", body: bytes = b""
    ) -> Answer:
        """Send a request, which is to be logged as a line."""
        self.asked += 1
        return self.caddy.ask(target, method, headers=headers, body=body)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Answer:
        """Send a request with a body of JSON."""
        headers["Content-Type"] = "application/json"
        return self.ask(path, headers, "POST", json.dumps(body).encode())

    def token(self, identity: Identity) -> str:
        """Return a token from a login through Caddy."""
        body = {"clientId": identity.client_id, "clientSecret": identity.client_secret}
        self.secrets.add(identity.client_secret)
        return self._keep(json.loads(self.post(_LOGIN, body).body)["accessToken"])

    def persons_token(self) -> str:
        """Return the administrator's token from a login through Caddy."""
        answer = self.post("/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD})
        token = self._keep(json.loads(answer.body)["accessToken"])
        body = {"organizationId": self.world.org_id}
        chosen = self.post(
            "/api/v3/auth/select-organization", body, Authorization=f"Bearer {token}"
        )
        return self._keep(json.loads(chosen.body)["token"])

    def _keep(self, token: str) -> str:
        self.secrets |= {token, token.split(".")[2]}
        return token

    def read(self, token: str, *, scheme: str = "Bearer", query: str = "") -> Answer:
        """Read the secrets of production."""
        path = f"/api/v4/secrets?projectId={self.world.project_id}&environment=production"
        return self.ask(f"{path}&secretPath=%2F{query}", {"Authorization": f"{scheme} {token}"})


def send_all_kinds(visitor: Visitor) -> None:
    """Send all kinds of requests, good and bad."""
    ask, token, person = visitor.ask, visitor.token(visitor.service), visitor.persons_token()
    assert VALUE.encode() in visitor.read(token).body
    for scheme in ("bearer", "BEARER", "Bearer ", "Xearer", "Basic"):
        assert visitor.read(token, scheme=scheme).status == 401
    headers = {"Authorization": f"Bearer {person}", "Cookie": f"jid={MARK}", "X-Api-Key": MARK}
    assert ask(f"/api/v1/identities?orgId={visitor.world.org_id}", headers).status == 200
    visitor.read(token, query=f"&token={MARK}&secretName={MARK}&x={token}#{MARK}")
    place = visitor.world.place()
    write = {**place, "secretValue": MARK}
    writer = f"Bearer {visitor.token(visitor.world.deployer_identity)}"
    assert visitor.post("/api/v4/secrets/NEW", write, Authorization=writer).status == 200
    wrong = {"clientId": visitor.service.client_id, "clientSecret": MARK}
    assert visitor.post(_LOGIN, wrong).status == 401
    assert visitor.post("/api/v3/auth/login", {"email": EMAIL, "password": MARK}).status == 400
    head, claims, signature = token.split(".")
    long = urlsafe_b64encode(f'{{"identityId":"{LONG}","x":"{"x" * 3000}"}}'.encode()).decode()
    authorizations = (
        *(MARK, f"Bearer {MARK}", f"Token {token}", f"Bearer {token} {MARK}"),
        *(f"Bearer {head}.{claims}", f"Bearer {token}.{MARK}", f"Bearer {MARK}.{claims}.x"),
        *(f"Bearer {head}.{MARK}.{signature}", f"Bearer {head}.{long}.{MARK}"),
        f"Bearer {SERVICE_TOKEN}.{MARK}.{MARK}",
        f"Basic {b64encode(f'user:{MARK}'.encode()).decode()}",
    )
    for each in authorizations:
        ask("/api/v4/secrets", {"Authorization": each})
    targets = (
        *(f"/?token={MARK}", f"/signupinvite?token={MARK}&to={MARK}", f"/x;{MARK}"),
        *(f"/api/v4/secrets?accessToken={token}", f"/api/v4/secrets&token={MARK}"),
        *(f"/api/v4/secrets?environment=production?{MARK}", f"/{token}", f"/x/{token}/y"),
        *(f"/api/v4/secrets?%65nvironment={MARK}", f"/shared/secret/{MARK}", f"/#{MARK}"),
        *(f"/api/v1/secret-sharing/shared/public/{MARK}", f"/{'a' * 64}{MARK}"),
        f"https://{MARK}:{MARK}@{visitor.caddy.settings.stack.site_url[8:]}/api/status?{MARK}",
    )
    for target in targets:
        ask(target, {})
    visitor.post("/api/v1/admin/bootstrap", {"password": MARK})
    assert ask("/api/v4/secrets", {}, "POST", f"{{{MARK}".encode()).status >= 400
    # An oversized request is refused before it is logged.
    assert visitor.caddy.ask("/api/status", headers={"X-Long": MARK * 4000}).status == 431


def log_lines(caddy: Caddy, *, at_least: int = 0) -> list[str]:
    """Return the lines of the log once there are `at_least` as many, or after ten seconds."""
    log, end = caddy.home / "log" / "access.log", time.monotonic() + 10
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= at_least or time.monotonic() > end:
            return lines
        time.sleep(0.05)


def logged_requests(
    caddy: Caddy,
    *,
    ids: str = "",
    environment: str = "",
    known: KnownNames,
    directory: Path | None = None,
) -> list[LoggedRequest]:
    """Return the entries of `audit access` for the log."""
    found = find_requests(
        Runner(),
        folder=str(directory or caddy.home / "log"),
        since=0,
        last=1000,
        ids=[ids] if ids else [],
        environment=environment,
    )
    assert found.is_finished
    return describe_requests(found, known)
