"""Test the form in which each kind of target gets an alert, with servers on the loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest

from infisical_iac.agent import delivery
from infisical_iac.agent.alerts import Alert, AlertNotice
from infisical_iac.agent.delivery import RECEIVERS, MailServer, Means, beat, notification
from infisical_iac.monitoring.settings import _FORMS, AlertTarget
from tests.unit.agent.watching import NOW

_TOKEN = "obviously-fake"
_ALERT = Alert(
    *("container", "redis", "critical", "redis is exited", "run `infisical-iac apply`", NOW)
)
_BEGUN = notification(AlertNotice("begun", _ALERT, NOW), "web-1")
_ENDED = replace(_BEGUN, phase="ended")


class _Server(HTTPServer):
    """A webhook that answers each request with `status`, and keeps the requests."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{_TOKEN}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.got.append((self.command, self.path, dict(self.headers.items()), body))
        self.send_response(server.status)
        if server.status == 302:
            self.send_header("Location", server.url)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serve(status: int = 200) -> Iterator[_Server]:
    """Yield a webhook that runs in a thread."""
    server = _Server(status)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _send(kind: str, to: str, notice: delivery.Notification = _BEGUN, **means: Any) -> str:
    return RECEIVERS[kind]("team", to).send(notice, Means(**means))


@pytest.mark.parametrize("kind", ["json", "slack", "discord", "teams"])
def test_a_webhook_gets_the_sentence_and_the_remedy_as_json(kind: str) -> None:
    with serve() as server:
        assert _send(kind, server.url) == ""
    ((method, path, headers, body),) = server.got
    assert (method, path) == ("POST", f"/{_TOKEN}")
    assert headers["Content-Type"] == "application/json"
    text = json.dumps(json.loads(body), ensure_ascii=False)
    for fact in ("critical on web-1", _ALERT.text, "`infisical-iac apply`"):
        assert fact in text


def test_the_fields_of_a_json_webhook_are_those_of_the_jobs_and_more() -> None:
    with serve() as server:
        _send("json", server.url, _ENDED)
    body = json.loads(server.got[0][3])
    assert body == {
        "text": f"over on web-1: {_ALERT.text}",
        "of": "web-1",
        "at": "2026-11-25T12:00:00Z",
        "error": _ALERT.text,
        "check": "container",
        "subject": "redis",
        "severity": "critical",
        "phase": "ended",
        "remedy": _ALERT.remedy,
        "id": "container:redis begun 20261125T120000",
    }


def test_each_service_gets_the_keys_that_it_reads() -> None:
    found: dict[str, Any] = {}
    for kind in ("slack", "discord", "teams"):
        with serve() as server:
            _send(kind, server.url, replace(_BEGUN, error="a <b> & c"))
        found[kind] = json.loads(server.got[0][3])
    assert "a &lt;b&gt; &amp; c" in found["slack"]["text"]
    assert "a <b> & c" in found["discord"]["content"]
    # A name in the text of an error must not mention anybody.
    assert found["discord"]["allowed_mentions"] == {"parse": []}
    card = found["teams"]["attachments"][0]["content"]
    assert [each["type"] for each in card["body"]] == ["TextBlock", "TextBlock"]


@pytest.mark.parametrize(("notice", "priority"), [(_BEGUN, "5"), (_ENDED, "2")])
def test_ntfy_gets_text_with_a_priority(notice: delivery.Notification, priority: str) -> None:
    with serve() as server:
        assert _send("ntfy", server.url, notice) == ""
    ((_, _, headers, body),) = server.got
    assert headers["Priority"] == priority
    assert body.decode() == notice.text


@pytest.mark.parametrize(("status", "reason"), [(500, "HTTP 500"), (302, "HTTP 302")])
def test_a_server_that_does_not_take_an_alert_is_reported_without_its_address(
    status: int, reason: str
) -> None:
    """A redirect is not followed, because the body would be lost."""
    with serve(status) as server:
        assert _send("json", server.url) == reason
        assert len(server.got) == 1


def test_a_server_that_refuses_is_reported_without_its_address() -> None:
    with serve() as server:
        url = server.url
    assert _send("json", url) == "the connection is refused"


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_SECONDS", 0.2)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        # The backlog accepts connections, and nothing answers them.
        url = f"http://127.0.0.1:{server.server_address[1]}/{_TOKEN}"
        assert _send("json", url) == "no answer in time"


@pytest.mark.parametrize("kind", sorted({*RECEIVERS} - {"email", "command"}))
def test_no_reason_has_the_address(kind: str) -> None:
    for url in (f"http://127.0.0.1:1/{_TOKEN}", f"http://name.invalid/{_TOKEN}", f"x {_TOKEN}"):
        why = _send(kind, url)
        assert why
        assert _TOKEN not in why
    assert _TOKEN not in repr(RECEIVERS[kind]("team", _TOKEN))


@pytest.mark.parametrize(
    ("script", "reason"),
    [("cat >{}\n", ""), ("exit 3\n", "exit status 3"), (None, "No such")],
)
def test_a_command_gets_the_alert_on_its_standard_input(
    tmp_path: Path, script: str | None, reason: str
) -> None:
    program, got = tmp_path / "page", tmp_path / "got"
    if script:
        program.write_text(f"#!/bin/sh\n{script.format(got)}")
        program.chmod(0o755)
    error = _send("command", str(program))
    assert reason in error
    assert bool(error) is bool(reason)
    if script and not reason:
        assert json.loads(got.read_text())["error"] == "redis is exited"


class _Mail(socketserver.StreamRequestHandler):
    """A mail server that takes one mail, with the login that it is given."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _MailTaker)
        self.wfile.write(b"220 mail\r\n")
        for line in self.rfile:
            word = line.strip().upper()
            if word.startswith(b"EHLO"):
                self.wfile.write(b"250-mail\r\n250 AUTH PLAIN\r\n")
            elif word.startswith(b"AUTH"):
                server.logins.append(line)
                self.wfile.write(b"235 ok\r\n" if server.accepts else b"535 no\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go\r\n")
                while (line := self.rfile.readline()) != b".\r\n":
                    server.mail += line
                self.wfile.write(b"250 ok\r\n")
            else:
                self.wfile.write(b"250 ok\r\n")


class _MailTaker(socketserver.ThreadingTCPServer):
    def __init__(self, *, accepts: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.accepts, self.mail, self.logins = accepts, b"", list[bytes]()
        self.daemon_threads = True


@pytest.mark.parametrize(("accepts", "reason"), [(True, ""), (False, "answers 535")])
def test_a_mail_is_sent_by_the_server_of_the_settings(
    tmp_path: Path, accepts: bool, reason: str
) -> None:
    (tmp_path / "password").write_text(f"{_TOKEN}\n")
    with _MailTaker(accepts=accepts) as taker:
        threading.Thread(target=taker.serve_forever, args=(0.02,), daemon=True).start()
        server = MailServer(
            *("127.0.0.1", taker.server_address[1], "none", "infisical"),
            *("iac@example.com", "Infisical", str(tmp_path / "password")),
        )
        more = b", and so is the service with the longest name of all of them"
        notice = replace(_BEGUN, error=_ALERT.text + more.decode())
        why = _send("email", "ops@example.com", notice, mail=server)
        taker.shutdown()
    assert bool(why) is bool(reason)
    assert why.endswith(reason)
    assert len(taker.logins) == 1
    if accepts:
        assert b"To: ops@example.com" in taker.mail
        # Folded, a subject of these lengths would begin with an empty line.
        assert b"Subject: [Infisical] critical on web-1: redis is exited" + more in taker.mail
    else:
        assert _TOKEN not in why


def test_a_mail_without_a_server_is_a_reason() -> None:
    assert "smtp" in _send("email", "ops@example.com")


@pytest.mark.parametrize(
    ("path", "problem", "method", "asked"),
    [
        ("/ping/id", "", "GET", "/ping/id"),
        ("/ping/id", "it is down", "POST", "/ping/id/fail"),
        ("/api/push/id?status=up&msg=OK&ping=", "", "GET", "/api/push/id?status=up&msg=OK"),
        ("/api/push/id", "a b", "GET", "/api/push/id?status=down&msg=a+b"),
    ],
)
def test_a_heartbeat_has_the_form_of_its_service(
    path: str, problem: str, method: str, asked: str
) -> None:
    with serve() as server:
        url = f"http://127.0.0.1:{server.server_port}{path}"
        assert beat(url, Means(), problem) == ""
    assert [(each[0], each[1]) for each in server.got] == [(method, asked)]
    if method == "POST":
        assert server.got[0][3].decode() == problem


def test_the_settings_accept_the_kinds_that_the_agent_has() -> None:
    kinds = {*get_args(AlertTarget.model_fields["kind"].annotation)}
    assert kinds == {*RECEIVERS} == {*_FORMS}
