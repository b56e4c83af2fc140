"""Test how a job gets its platform's token, and how it ends without one."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from infisical_iac.api import login
from infisical_iac.cli.main import main
from infisical_iac.core.errors import SettingsError, Unreachable, UserError
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BEARER = "fake-request-token"
_TOKEN = "fake-platform-token"
_URL, _ASK = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_FILE = "INFISICAL_JWT_FILE"
_PAGE = "<!doctype html><title>Unicorn</title>"
_GIVEN = {"value": _TOKEN, "count": 1}


@dataclass
class _GitHub:
    """GitHub's address for tokens, on loopback.

    Attributes:
        status: the status of its answers; 0 for no answer.
        body: the text of its answers.
        asked: the targets and credentials of the requests so far.
    """

    status: int = 200
    body: str = json.dumps(_GIVEN)
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.released = threading.Event()

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a job."""
        return {_URL: f"http://127.0.0.1:{self.port}/token?api-version=2.0", _ASK: _BEARER}

    def listen(self) -> ThreadingHTTPServer:
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                github.asked.append((self.path, self.headers["Authorization"]))
                if not github.status:
                    github.released.wait(20)
                    return
                self.send_response(github.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(github.body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_port
        return server


@pytest.fixture
def github() -> Iterator[_GitHub]:
    with serving(_GitHub()) as github:
        yield github
        github.released.set()


def _refusal(environ: Mapping[str, str]) -> UserError:
    """Return the error of a login, which is one sentence without a token."""
    with pytest.raises(UserError) as failure:
        login.platform_token({login.IDENTITY: "identity-example", **environ})
    error = failure.value
    assert error.__suppress_context__ or error.__context__ is None
    assert all(error.split())
    assert "\n" not in str(error)
    assert _TOKEN not in str(error)
    assert _BEARER not in str(error)
    return error


def test_a_token_of_a_file_wins_over_a_variable(tmp_path: Path, github: _GitHub) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {_TOKEN}\n")
    environ = {_FILE: str(file), "INFISICAL_JWT": "another", **github.environ}
    assert login.platform_token(environ) == _TOKEN
    assert login.platform_token({**environ, _FILE: ""}) == "another"
    assert github.asked == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xff\xfe", "UTF-8"),
    ],
    ids=["missing", "empty", "blank", "binary"],
)
def test_a_file_without_a_token_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    error = _refusal({_FILE: str(file), "INFISICAL_JWT": _TOKEN})
    assert (type(error), error.code) == (SettingsError, "settings")
    for fact in (_FILE, str(file), reason):
        assert fact in str(error)


def test_a_directory_is_no_file_of_a_token(tmp_path: Path) -> None:
    error = _refusal({_FILE: str(tmp_path)})
    assert (error.code, str(tmp_path) in str(error)) == ("settings", True)


def test_github_is_asked_for_the_audience_with_the_jobs_credential(github: _GitHub) -> None:
    assert login.platform_token(github.environ) == _TOKEN
    other = {**github.environ, "INFISICAL_JWT_AUDIENCE": "https://secrets.example.com"}
    assert login.platform_token(other) == _TOKEN
    target = "/token?api-version=2.0&audience="
    assert github.asked == [
        (f"{target}infisical", f"bearer {_BEARER}"),
        (f"{target}https%3A%2F%2Fsecrets.example.com", f"bearer {_BEARER}"),
    ]


@pytest.mark.parametrize("missing", [_URL, _ASK])
def test_a_job_without_the_permission_is_told_of_it(github: _GitHub, missing: str) -> None:
    error = _refusal({**github.environ, missing: ""})
    assert error.code == "settings"
    assert "id-token: write" in str(error)
    assert github.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://pipelines.example.com/token",
        "http://127.0.0.1.example.com/token",
        "ftp://pipelines.example.com/token",
        "pipelines.example.com",
        "https://",
        "https://[::1/token",
        "https://pipelines.example.com:port/token",
    ],
)
def test_github_is_asked_at_an_address_under_tls_only(url: str) -> None:
    error = _refusal({_URL: url, _ASK: _BEARER})
    assert (type(error), error.code) == (SettingsError, "settings")
    assert _URL in str(error)


def test_a_github_that_hangs_ends_the_login_in_time(
    github: _GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_PLATFORM_SECONDS", 0.3)
    github.status = 0
    begun = time.monotonic()
    error = _refusal(github.environ)
    assert time.monotonic() - begun < 5
    assert (type(error), error.code) == (Unreachable, "unreachable")
    assert "127.0.0.1" in str(error)
    assert len(github.asked) == 1


def test_a_github_that_refuses_the_connection_is_unreachable() -> None:
    closed = _GitHub()
    closed.listen().server_close()
    assert _refusal(closed.environ).code == "unreachable"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_github_is_no_lack_of_a_permission(github: _GitHub, status: int) -> None:
    github.status, github.body = status, _PAGE
    error = _refusal(github.environ)
    assert (type(error), error.code) == (Unreachable, "unreachable")
    assert str(status) in str(error)
    assert "id-token" not in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, _PAGE),
        (403, json.dumps(_GIVEN)),
        (302, ""),
        (200, _PAGE),
        (200, ""),
        (200, json.dumps([_GIVEN])),
        (200, json.dumps({"value": ""})),
        (200, json.dumps({"value": 1})),
        (200, "[" * 100_000),
    ],
)
def test_an_answer_without_a_token_names_the_permission(
    github: _GitHub, status: int, body: str
) -> None:
    github.status, github.body = status, body
    error = _refusal(github.environ)
    assert (type(error), error.code) == (SettingsError, "settings")
    assert str(status) in str(error)
    assert "id-token: write" in str(error)
    assert len(github.asked) == 1


def test_a_credential_that_no_header_can_hold_is_refused(github: _GitHub) -> None:
    for bearer in (f"{_BEARER}ü", f"{_BEARER}\nHost: elsewhere"):
        error = _refusal({**github.environ, _ASK: bearer})
        assert (error.code, _ASK in str(error)) == ("settings", True)
    assert github.asked == []


@pytest.mark.parametrize("case", ["empty", "plain", "failing"])
def test_check_ends_with_one_sentence(
    tmp_path: Path, github: _GitHub, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    empty = tmp_path / "token"
    empty.touch()
    github.status = 500
    job, code = {
        "empty": ({_FILE: str(empty)}, "settings"),
        "plain": ({_URL: "http://pipelines.example.com", _ASK: _BEARER}, "settings"),
        "failing": (github.environ, "unreachable"),
    }[case]
    file = tmp_path / "acme.yaml"
    file.write_text(json.dumps(_PROJECT))
    given = {"INFISICAL_API_URL": "http://127.0.0.1:1", login.IDENTITY: "identity-example", **job}
    for name in (_FILE, "INFISICAL_JWT", "INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    arguments = ["check", str(tmp_path), "--project-file", str(file)]
    ran = CliRunner(env=given).invoke(main, arguments)
    assert (ran.exit_code, type(ran.exception)) == (1, SystemExit)
    assert ran.output.count("Error: ") == 1
    for hidden in ("Traceback", _BEARER, _TOKEN):
        assert hidden not in ran.output
    ran = CliRunner(env=given).invoke(main, [*arguments, "--json"])
    assert json.loads(ran.stdout)["code"] == code


_PROJECT = {
    "project": {"name": "acme", "slug": "acme-services"},
    "environments": [{"slug": "production", "name": "Production"}],
    "services": {"backend": {"folder": "/backend"}},
}
