"""Test how the agent reads every secret of an Infisical that a drill has started."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infisical_iac.agent import decryption
from infisical_iac.agent.decryption import DecryptedContents, decrypt_contents
from infisical_iac.agent.runner import explain
from infisical_iac.workspace import canary
from tests.unit.agent.fake_runner import FakeRunner

_DEPLOYER = "# client secret x\nINFISICAL_CLIENT_ID=id\nINFISICAL_CLIENT_SECRET=obviously=fake\n"
_ADMIN = "INFISICAL_ADMIN_EMAIL=a@example.com\nINFISICAL_ADMIN_PASSWORD=obviously fake\n"
_HIDDEN = {"secretValueHidden": True}


class _Server:
    """An Infisical with one project; `refused` has statuses by the path of a request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.tokens: list[str] = []
        self.refused: dict[str, int] = {}
        self.canary = "alive"
        self.projects = [
            {"id": "p1", "slug": "acme", "environments": [{"slug": "prod"}, {"slug": "dev"}]},
            {
                "id": "p2",
                "slug": "infisical-iac-canary",
                "environments": [{"slug": "prod"}],
            },
        ]
        self.folders = ["/backend", "/backend/with space"]
        self.secrets: list[dict[str, Any]] = [{"secretValueHidden": False}, _HIDDEN, {}]

    def answer(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.asked.append((path, query, body))
        place = f"{path}?{query.get('environment', '')}{query.get('secretPath', '')}"
        for begin, status in self.refused.items():
            if place.startswith(begin):
                return status, {"message": "refused here"}
        return 200, {
            "/api/v1/auth/universal-auth/login": {"accessToken": "one"},
            "/api/v3/auth/login": {"accessToken": "two"},
            "/api/v1/organization": {"organizations": [{"id": "o1"}]},
            "/api/v3/auth/select-organization": {"token": "three"},
            "/api/v1/projects": {"projects": self.projects},
            "/api/v2/folders": {"folders": [{"relativePath": each} for each in self.folders]},
            "/api/v4/secrets": {"secrets": self.secrets},
            "/api/v4/secrets/CANARY": {"secret": {"secretValue": self.canary}},
        }[path]


@pytest.fixture
def server() -> Iterator[tuple[_Server, str]]:
    made = _Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            url = urlsplit(self.path)
            query = {name: value for name, (value,) in parse_qs(url.query).items()}
            made.tokens.append(self.headers.get("Authorization", ""))
            status, found = made.answer(url.path, query, body)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield made, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    made = FakeRunner(tmp_path)
    made.write("/etc/infisical/deployer.env", _DEPLOYER)
    made.write("/etc/infisical/admin.env", _ADMIN)
    return made


def _refusal(host: FakeRunner, url: str) -> str:
    with pytest.raises(RuntimeError) as refused:
        decrypt_contents(host, url)
    return explain(refused.value)


def test_the_canary_is_the_one_of_every_deploy() -> None:
    own = (decryption.CANARY_PROJECT, decryption.CANARY_ENVIRONMENT)
    assert own == (canary.SLUG, canary.ENVIRONMENT)
    assert (decryption.CANARY_SECRET, decryption.CANARY_VALUE) == (canary.SECRET, canary.VALUE)


def test_every_folder_of_every_project_is_read(
    host: FakeRunner, server: tuple[_Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = server
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert decrypt_contents(host, url) == DecryptedContents("deployer", "alive", 9, 18)
    login = {"clientId": "id", "clientSecret": "obviously=fake"}
    assert made.asked[0] == ("/api/v1/auth/universal-auth/login", {}, login)
    assert set(made.tokens[1:]) == {"Bearer one"}
    reads = [query for path, query, _ in made.asked if path == "/api/v4/secrets"]
    assert {each["secretPath"] for each in reads} == {"/", "/backend", "/backend/with space"}
    assert {each["viewSecretValue"] for each in reads} == {"true"}


def test_the_administrator_reads_if_the_deployer_can_not_log_in(
    host: FakeRunner, server: tuple[_Server, str]
) -> None:
    made, url = server
    made.refused["/api/v1/auth/universal-auth/login"] = 401
    assert decrypt_contents(host, url).login == "administrator"
    assert ("/api/v3/auth/select-organization", {}, {"organizationId": "o1"}) in made.asked
    assert made.tokens[-1] == "Bearer three"


def test_without_a_login_the_last_refusal_is_reported(
    host: FakeRunner, server: tuple[_Server, str]
) -> None:
    made, url = server
    host.path("/etc/infisical/deployer.env").unlink()
    made.refused["/api/v3/auth/login"] = 400
    error = _refusal(host, url)
    assert error.endswith(": 400 refused here")
    assert "deployer" in error


def test_an_infisical_that_does_not_answer_is_reported(host: FakeRunner) -> None:
    assert _refusal(host, "http://127.0.0.1:9").endswith(": 0 no answer")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_login_that_sees_no_canary_is_no_failure(
    host: FakeRunner, server: tuple[_Server, str], is_there: bool
) -> None:
    made, url = server
    if is_there:
        made.refused["/api/v4/secrets/CANARY"] = 404
    else:
        made.projects.pop()
    assert decrypt_contents(host, url).canary == "none"


def test_an_altered_canary_fails(host: FakeRunner, server: tuple[_Server, str]) -> None:
    server[0].canary = "dead"
    assert "canary was altered" in _refusal(host, server[1])


@pytest.mark.parametrize(
    ("request_", "fact"),
    [
        ("/api/v1/projects", "projects "),
        ("/api/v4/secrets/CANARY", "canary "),
        ("/api/v2/folders?dev", "of dev in acme "),
        ("/api/v4/secrets?dev/backend", "/backend in dev of acme "),
    ],
)
def test_what_can_not_be_read_is_named(
    host: FakeRunner, server: tuple[_Server, str], request_: str, fact: str
) -> None:
    server[0].refused[request_] = 500
    error = _refusal(host, server[1])
    assert fact in error
    assert ": 500 " in error


@pytest.mark.parametrize(
    ("request_", "folders"), [("/api/v2/folders?dev", 6), ("/api/v4/secrets?dev/backend", 7)]
)
def test_what_the_login_may_not_read_is_left_out(
    host: FakeRunner, server: tuple[_Server, str], request_: str, folders: int
) -> None:
    server[0].refused[request_] = 403
    assert decrypt_contents(host, server[1]).folders == folders
