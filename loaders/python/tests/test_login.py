"""Test logins of people by the cases that both languages share."""

import json
import os
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infisical_config import ConfigError
from infisical_config.callback import wait_for_browser
from infisical_config.commands import logout, whoami
from infisical_config.doctor import doctor
from infisical_config.keyring import Login, Logins, MacKeychain, SecretService
from infisical_config.login import Instance, LoginOptions, Terminal, log_in
from infisical_config.person import Person
from infisical_config.sealed_text import open_text
from infisical_config.starting import Start
from tests import service
from tests.scripted import ScriptedServer
from tests.vectors import cases

ADDRESS = "https://secrets.example.com"
ANNA = "anna@example.com"
LOGIN = Login(ADDRESS, ANNA, "Acme", "token-example", "cookie-example")
SECRET_TOOL = """#!/bin/sh
echo "$@" >>{home}/calls
case $1 in
store) cat >{home}/item-${{6##*/}} ;;
lookup) cat {home}/item-${{5##*/}} 2>/dev/null ;;
clear) rm -f {home}/item-${{5##*/}} ;;
esac
"""


@cases("logins")
def test_a_person_logs_in_as_the_vectors_say(case: dict[str, Any]) -> None:
    with _expecting(case["requests"]) as (address, left):
        port = ""

        def fill(value: Any) -> Any:
            text = json.dumps(value).replace("{address}", address)
            return json.loads(text.replace("{port}", port))

        questions = [*case["answers"]]
        said: list[str] = []
        pages: list[threading.Thread] = []
        failures: list[str] = []

        def ask(question: str, *, hidden: bool = False) -> str:
            expected, answer = questions.pop(0)
            assert question == expected
            assert hidden == (not question.startswith(("E-mail", "Organization")))
            return str(answer)

        def visit(url: str) -> None:
            nonlocal port
            port = parse_qs(urlsplit(url).query)["callback_port"][0]
            page = threading.Thread(target=_visit, args=(port, fill(case["browser"]), failures))
            page.start()
            pages.append(page)

        options = LoginOptions(**{**case["options"], "email": _lower(case["options"])})
        want = case["want"]
        terminal = Terminal(ask, said.append, visit)
        if "login" in want:
            assert log_in(address, terminal, options) == Login(**fill(want["login"]))
        else:
            with pytest.raises(ConfigError) as failure:
                log_in(address, terminal, options)
            assert failure.value.code == want["error"]
            assert str(failure.value) == fill(want["message"])
        for page in pages:
            page.join(10)
        assert (said, failures) == (fill(case["told"]), [])
        assert (questions, left) == ([], [])


def test_the_page_of_an_address_with_capitals_and_a_port_logs_in() -> None:
    """Browsers send the origin in small letters, and without the usual port."""
    body = json.dumps({"email": LOGIN.email, "JTWToken": LOGIN.token})
    page = {"origin": "https://secrets.example.com", "text": body, "status": 200}
    failures: list[str] = []

    def visit(url: str) -> None:
        port = parse_qs(urlsplit(url).query)["callback_port"][0]
        threading.Thread(target=_visit, args=(port, [page], failures)).start()

    found = wait_for_browser("https://Secrets.Example.com:443", lambda _: None, visit)
    assert (found.email, found.token) == (LOGIN.email, LOGIN.token)
    assert failures == []
    assert LOGIN.token not in repr(found)


def test_a_connection_that_sends_nothing_does_not_delay_the_login() -> None:
    """Browsers open one before they need it."""
    body = json.dumps({"email": LOGIN.email, "JTWToken": LOGIN.token})
    page = {"origin": ADDRESS, "text": body, "status": 200}
    failures: list[str] = []
    silent: list[socket.socket] = []

    def visit(url: str) -> None:
        port = parse_qs(urlsplit(url).query)["callback_port"][0]
        silent.append(socket.create_connection(("127.0.0.1", int(port))))
        threading.Thread(target=_visit, args=(port, [page], failures)).start()

    begin = time.monotonic()
    assert wait_for_browser(ADDRESS, lambda _: None, visit).token == LOGIN.token
    assert time.monotonic() - begin < 3
    assert failures == []
    silent[0].close()


@cases("sealedTexts")
def test_a_text_is_opened_as_the_vectors_say(case: dict[str, Any]) -> None:
    key = bytes.fromhex(case["key"])
    assert open_text(case["file"].encode(), key, case["context"]) == case["want"]


@cases("people")
def test_the_place_of_a_person_is_as_the_vectors_say(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".infisical.json").write_text(case["file"])
    own = {"envLocal": tmp_path / ".env.local", "envOverride": tmp_path / ".env.override"}
    for key, file in own.items():
        if case[key] is not None:
            file.touch(mode=0o600)
            file.write_text(case[key])
    environ = {"HOME": str(tmp_path), "INFISICAL_KEYRING": "file", **case["environ"]}
    if case["login"]:
        Logins(environ).keep(LOGIN)
    monkeypatch.setattr("os.environ", environ)
    start = Start(
        environment=case["environment"],
        directory=tmp_path,
        warn=pytest.fail,
        is_typed=case["isTyped"],
    )
    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            start.place()
        message = want["message"]
        for key, file in own.items():
            message = message.replace(f"{{{key}}}", str(file))
        assert (failure.value.code, str(failure.value)) == (want["error"], message)
    else:
        place = start.place()
        person = place.person.email if place.person else ""
        found = {"environment": place.environment, "project": place.project, "person": person}
        assert found == want


@cases("renewals")
def test_a_renewal_ends_as_the_vectors_say(case: dict[str, Any], tmp_path: Path) -> None:
    with ScriptedServer(login=[case["answer"]]) as server:
        logins = Logins({"HOME": str(tmp_path), "INFISICAL_KEYRING": "file"})
        login = replace(LOGIN, address=server.address)
        logins.keep(login)
        person = Person(login, logins)
        client = Instance(server.address).client
        want = case["want"]
        if "error" in want:
            with pytest.raises(ConfigError) as failure:
                person.renew(client)
            message = want["message"].replace("{address}", server.address)
            assert (failure.value.code, str(failure.value)) == (want["error"], message)
        else:
            person.renew(client)
            assert person.token == want["token"]
        client.close()
        assert server.count("login") == 1


def test_a_login_is_a_sealed_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    logins = Logins({"HOME": str(tmp_path), "INFISICAL_KEYRING": "file"})
    file = Path(logins.keep(LOGIN))
    assert logins.place(ADDRESS) == str(file)
    assert b"token" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert logins.find(ADDRESS) == LOGIN
    file.chmod(0o640)
    with pytest.raises(ConfigError) as failure:
        logins.find(ADDRESS)
    assert failure.value.code == "not_configured"
    assert logins.forget(ADDRESS)
    assert logins.find(ADDRESS) is None


def test_a_login_is_refused_where_others_may_write(tmp_path: Path) -> None:
    (tmp_path / ".config" / "infisical-config").mkdir(parents=True, mode=0o755)
    logins = Logins({"HOME": str(tmp_path), "INFISICAL_KEYRING": "file"})
    with pytest.raises(ConfigError) as failure:
        logins.keep(LOGIN)
    assert failure.value.code == "not_configured"


def test_a_login_is_kept_in_the_keyring_or_else_in_a_file(tmp_path: Path) -> None:
    tool = tmp_path / "secret-tool"
    tool.write_text(SECRET_TOOL.format(home=tmp_path))
    tool.chmod(0o755)
    bus = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}", **bus}
    logins = Logins(environ)
    assert "Secret Service" in logins.keep(LOGIN)
    assert LOGIN.token not in (tmp_path / "calls").read_text()
    assert logins.find(ADDRESS) == LOGIN
    assert logins.find("https://other.example.com") is None
    assert logins.forget(ADDRESS)
    assert logins.find(ADDRESS) is None
    assert Logins(environ | {"PATH": "/nonexistent"}).keep(LOGIN).endswith(".login")


def test_logout_reports_a_keyring_that_does_not_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "secret-tool"
    tool.write_text(SECRET_TOOL.format(home=tmp_path).replace("rm -f", "exit 1 #"))
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with ScriptedServer(login=[{"status": 200, "json": {}}]) as server:
        environ = {
            "HOME": str(tmp_path),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
            "INFISICAL_DOMAIN": server.address,
        }
        Logins(environ).keep(replace(LOGIN, address=server.address))
        with pytest.raises(ConfigError, match="Secret Service") as failure:
            logout(environ, pytest.fail)
    assert failure.value.code == "not_configured"
    assert [each.path for each in server.seen] == ["/api/v1/auth/logout"]


@cases("keyrings")
def test_a_keyring_is_read_as_the_vectors_say(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = _with_program(tmp_path, case["program"], case["results"])
    is_of_mac = case["program"] == "security"
    keyring = MacKeychain(environ) if is_of_mac else SecretService(environ)
    logins = Logins({"HOME": str(tmp_path)})
    monkeypatch.setattr(logins, "_tool", lambda: keyring)
    if not case["want"]:
        assert logins.find(ADDRESS) is None
        return
    with pytest.raises(ConfigError) as failure:
        logins.find(ADDRESS)
    assert (failure.value.code, str(failure.value)) == ("not_configured", case["want"])


LOCKED = {"lookup": (1, "", ""), "search": (0, "[/1]\n", ""), "clear": (1, "", "")}


def test_every_command_says_that_the_keyring_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(login=[{"status": 200, "json": {}}]) as server:
        home = service.directory(tmp_path / "service", server.address)
        monkeypatch.chdir(home)
        environ = {**_with_program(tmp_path, "secret-tool", LOCKED), "NODE_ENV": "development"}
        monkeypatch.setattr("os.environ", environ)
        for command in (logout, whoami):
            with pytest.raises(ConfigError, match="it is locked") as failure:
                command(environ, pytest.fail)
            assert failure.value.exit_code == 78
        with pytest.raises(ConfigError, match="it is locked"):
            Start(directory=home).place()
        assert server.seen == []
        lines: list[str] = []
        assert doctor(environ, lines.append) == 78
        assert any(each.startswith("WRONG access") and "locked" in each for each in lines)
        own = {**environ, **service.CREDENTIAL}
        lines.clear()
        doctor(own, lines.append)
        assert any(each.startswith("ok    access") for each in lines)


@pytest.mark.parametrize("what", ["missing", "damaged", "another"])
def test_a_sealed_login_that_cannot_be_opened_is_reported(tmp_path: Path, what: str) -> None:
    environ = {"HOME": str(tmp_path), "INFISICAL_KEYRING": "file"}
    file = Path(Logins(environ).keep(LOGIN))
    key = tmp_path / ".local/state/infisical-config/key"
    if what == "missing":
        key.unlink()
    elif what == "damaged":
        file.write_text(file.read_text()[:-20])
    else:
        key.write_text(f"{'0' * 64}\n")
    with pytest.raises(ConfigError) as failure:
        logout({**environ, "INFISICAL_DOMAIN": ADDRESS}, pytest.fail)
    assert failure.value.code == "not_configured"
    assert str(key if what == "missing" else file) in str(failure.value)
    assert "with-secrets login" in str(failure.value)
    assert Logins(environ).keep(LOGIN) == str(file)
    assert Logins(environ).find(ADDRESS) == LOGIN


def test_logout_does_not_take_a_proxys_page_for_the_end_of_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for status in (403, 404):
        with ScriptedServer(login=[{"status": status, "text": "<html>blocked"}]) as server:
            environ = {
                "HOME": str(tmp_path),
                "INFISICAL_KEYRING": "file",
                "INFISICAL_DOMAIN": server.address,
            }
            Logins(environ).keep(replace(LOGIN, address=server.address))
            with pytest.raises(ConfigError, match=server.address) as failure:
                logout(environ, pytest.fail)
        assert failure.value.code == "unreachable"


def test_whoami_does_not_take_a_proxys_page_for_an_ended_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ScriptedServer(listed=[{"status": 403, "text": "<html>blocked"}]) as server:
        environ = {
            "HOME": str(tmp_path),
            "INFISICAL_KEYRING": "file",
            "INFISICAL_DOMAIN": server.address,
        }
        Logins(environ).keep(replace(LOGIN, address=server.address, refresh=""))
        with pytest.raises(ConfigError) as failure:
            whoami(environ, pytest.fail)
    assert failure.value.code == "unreachable"


def _with_program(
    home: Path, name: str, results: dict[str, tuple[int, str, str]]
) -> dict[str, str]:
    """Make a program that answers by its first argument; return the environment that finds it."""
    for argument, (status, output, messages) in results.items():
        for end, text in (("status", str(status)), ("out", output), ("err", messages)):
            (home / f"{argument}.{end}").write_text(text)
    program = home / name
    at = f'"{home}/$1'
    script = f'cat {at}.out"\ncat {at}.err" >&2\nexit "$(cat {at}.status")"\n'
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return {
        "HOME": str(home),
        "PATH": f"{home}:{os.environ['PATH']}",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
    }


def test_without_a_terminal_the_login_says_so(tmp_path: Path) -> None:
    with _expecting([["GET", "/api/v1/admin/config", None, "", 200, {"config": {}}, ""]]) as (
        address,
        _,
    ):
        variables = {"HOME": str(tmp_path), "INFISICAL_DOMAIN": address}
        done = service.run(tmp_path, "-m", "infisical_config", "login", **variables)
    assert done.returncode == 78
    assert "no terminal" in done.stderr


def _lower(options: dict[str, str]) -> str:
    """Return the e-mail as the command line gives it."""
    return options.get("email", "").lower()


def _visit(port: str, pages: list[dict[str, Any]], failures: list[str]) -> None:
    """Send what a page in a browser sends, and note answers that are not the expected ones."""
    for page in pages:
        for method, body, status in (
            ("OPTIONS", None, 403 if page["status"] == 403 else 204),
            ("POST", page["text"].encode(), page["status"]),
        ):
            headers = {"Origin": page["origin"], "Content-Type": "application/json"}
            url = f"http://127.0.0.1:{port}/"
            request = urllib.request.Request(url, body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found = answer.status
            except urllib.error.HTTPError as error:
                found = error.code
            if found != status:
                failures.append(f"{method} {found}")


@contextmanager
def _expecting(requests: list[list[Any]]) -> Iterator[tuple[str, list[list[Any]]]]:
    """Serve these requests, in this order; yield the address and those that have not come."""
    left = [*requests]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            seen = [self.command, self.path, json.loads(raw) if raw else None, token]
            *expected, status, answer, cookie = left.pop(0) if left else [None, 599, {}, ""]
            body = json.dumps(answer).encode()
            self.send_response(status if seen == expected else 599)
            self.send_header("Content-Length", str(len(body)))
            if cookie:
                self.send_header("Set-Cookie", f"jid={cookie}; Path=/api; HttpOnly")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", left
    finally:
        server.shutdown()
        server.server_close()
