"""Test from the host that servers of others accept Infisical: mail, logins and outbound proxy.

A secret is given as `{"key": …, "value": …}`: the value from this run or, if that is empty, the
name of a key on the host.
"""

import base64
import json
import re
import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from ipaddress import ip_address
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from infisical_iac.agent.runner import Runner, observation

Secret = Mapping[str, str]

_KEYS = "/etc/infisical/keys"
_SECONDS = 15
_MOST_BYTES = 65536
# The words of a provider that refuses the client, and of one that refuses only the code.
_REFUSALS = ("invalid_client", "incorrect_client_credentials")
_ACCEPTED = ("invalid_grant", "bad_verification_code")


@dataclass(frozen=True)
class ServerFinding:
    """The result of a test.

    Attributes:
        step: the step that failed; empty for none, and `password` for a secret that the host lacks.
        reason: why it failed; the name of the key that the host lacks.
    """

    step: str = ""
    reason: str = ""


@dataclass(frozen=True)
class TunnelAnswer:
    """The answer of a proxy to a request for a tunnel to `target`, a host and port.

    Attributes:
        status: the status of its answer.
        reason: the reason that the proxy gives.
    """

    target: str
    status: int
    reason: str = ""


@dataclass(frozen=True)
class Tunnels(ServerFinding):
    """The answers of a proxy, one for each target; fewer if a step failed."""

    answers: tuple[TunnelAnswer, ...] = ()


def _stop(step: str, reason: str) -> RuntimeError:
    """Return the error that ends a test, with its ServerFinding."""
    return RuntimeError(ServerFinding(step, reason.rstrip(".")[:300]))


def _finding_of(error: RuntimeError) -> ServerFinding:
    found: ServerFinding = error.args[0]
    return found


def _read(runner: Runner, secret: Secret | None) -> str:
    if not secret:
        return ""
    found = secret["value"] or runner.text(f"{_KEYS}/{secret['key']}")
    if found is None:
        raise _stop("password", secret["key"])
    return found.rstrip("\n")


def _make_context(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Python from 3.13 on refuses authorities without a key usage, which Infisical accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


def _login_of(runner: Runner, proxy: Mapping[str, Any]) -> str:
    return f"{proxy['user']}:{_read(runner, proxy['password'])}" if proxy["user"] else ""


class _Stay(HTTPRedirectHandler):
    """Follow no redirect, because the secret is for no other address."""

    def redirect_request(self, *_: object) -> None:
        return None


@observation
def try_client(
    runner: Runner,
    *,
    url: str,
    client: str,
    secret: Secret,
    callback: str,
    authorities: str,
    proxy: Mapping[str, Any] | None,
) -> ServerFinding:
    """Test that a provider of logins knows a client and its secret.

    The request for a token has an invalid code. A provider that accepts the client refuses the
    code, and nothing else happens. The step is `client` for a client or secret that the provider
    refuses, `callback` for an address that it does not know, `certificate` or `unreachable`.

    Args:
        url: the provider's address for tokens.
        authorities: further authorities, in PEM.
        proxy: the proxy to ask through, as for `open_tunnels`; None for none.
    """
    try:
        form = {
            "grant_type": "authorization_code",
            "code": "made-up-to-check-the-client",
            "redirect_uri": callback,
            "client_id": client,
            "client_secret": _read(runner, secret),
        }
        through = {}
        if proxy:
            login = _login_of(runner, proxy)
            through["https"] = "http://" + (f"{login}@" if login else "") + proxy["place"]
        request = Request(url, urlencode(form).encode(), {"Accept": "application/json"})
        https = HTTPSHandler(context=_make_context(authorities))
        word, reason = _ask_for_token(build_opener(_Stay, ProxyHandler(through), https), request)
    except RuntimeError as stopped:
        return _finding_of(stopped)
    if word in _REFUSALS:
        return ServerFinding("client", word)
    if word == "redirect_uri_mismatch":
        return ServerFinding("callback", word)
    return (
        ServerFinding()
        if word in _ACCEPTED
        else ServerFinding("unreachable", reason or "an unknown answer")
    )


def _ask_for_token(opener: Any, request: Request) -> tuple[str, str]:
    """Return the provider's word for the error, and its status if that is an error."""
    reason = ""
    try:
        try:
            with opener.open(request, timeout=_SECONDS) as found:
                answer = found.read(_MOST_BYTES)
        except HTTPError as failed:
            with failed:
                answer = failed.read(_MOST_BYTES)
            reason = f"status {failed.code}"
        said = json.loads(answer)
    except URLError as failed:
        cause = failed.reason
        step = "certificate" if isinstance(cause, ssl.SSLCertVerificationError) else "unreachable"
        raise _stop(step, getattr(cause, "verify_message", None) or str(cause)) from None
    except (OSError, ValueError) as failed:
        raise _stop("unreachable", reason or type(failed).__name__) from None
    return str(said.get("error") if isinstance(said, dict) else ""), reason


@observation
def open_tunnels(runner: Runner, *, proxy: Mapping[str, Any], targets: Sequence[str]) -> Tunnels:
    """Request a tunnel to each target from a proxy, and close it again.

    The step is `resolve`, `connect`, or `answer` for a server that is no proxy.

    Args:
        proxy: its `place`, a host and port, and the `user` and `password` of its login, which are
            empty and None if it needs none.
        targets: hosts with ports.
    """
    host, _, port = proxy["place"].rpartition(":")
    answers: list[TunnelAnswer] = []
    step = "connect"
    try:
        login = base64.b64encode(_login_of(runner, proxy).encode()).decode()
        header = f"Proxy-Authorization: Basic {login}\r\n" if login else ""
        for target in targets:
            step = "connect"
            with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
                step = "answer"
                head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n"
                connection.sendall(head.encode())
                line = connection.makefile("rb").readline(500).decode("latin-1").strip()
            answer = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?(.*)", line)
            if answer is None:
                what = "it sends no answer of HTTP" if line else "it sends no answer"
                return Tunnels("answer", what)
            answers.append(TunnelAnswer(target, int(answer[1]), answer[2][:200]))
    except RuntimeError as stopped:
        return Tunnels(_finding_of(stopped).step, _finding_of(stopped).reason)
    except socket.gaierror as error:
        return Tunnels("resolve", error.strerror or "")
    except OSError as error:
        return Tunnels(step, error.strerror or str(error) or type(error).__name__)
    return Tunnels(answers=tuple(answers))


@observation
def log_in_to_mail(
    runner: Runner,
    *,
    host: str,
    port: int,
    tls: str,
    user: str,
    password: Secret | None,
    sender: str,
    name: str,
    to: str,
    send: bool,
    authorities: str,
) -> ServerFinding:
    """Log in to a mail server as Infisical does, and send a mail if `send` is true.

    Otherwise it ends once the server accepts the recipient `to`, and sends nothing. The step is
    `resolve`, `connect`, `public` for a public address without TLS, `greet`, `starttls`, `tls`,
    `certificate`, `auth`, `sender`, `recipient` or `send`.

    Args:
        password: None for a server without logins.
        sender: the address of the sender, whose name is `name`.
        authorities: further authorities, in PEM.
    """
    mail = _Mail(host, port, tls)
    try:
        word = _read(runner, password)
        mail.connect(_make_context(authorities))
        if user:
            mail.step = "auth"
            mail.server.login(user, word)
        mail.step = "sender"
        _check_reply(*mail.server.mail(sender))
        mail.step = "recipient"
        # Greylisting refuses only the first attempt; Infisical sends later.
        _check_reply(*mail.server.rcpt(to), accepts_temporary=not send)
        if send:
            mail.step = "send"
            _check_reply(*mail.server.data(_test_mail(name, sender, to)))
        with suppress(OSError):
            mail.server.rset()
            mail.server.quit()
    except RuntimeError as stopped:
        return _finding_of(stopped)
    except (OSError, ValueError) as error:
        return _finding_of(_stop(*_describe(error, mail.step)))
    finally:
        if mail.server:
            mail.server.close()
    return ServerFinding()


class _Mail:
    """A connection to a mail server, and the step that is under way."""

    server: smtplib.SMTP

    def __init__(self, host: str, port: int, tls: str) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.step = "connect"
        self.server = None  # type: ignore[assignment]

    def connect(self, context: ssl.SSLContext) -> None:
        """Connect and greet, with TLS as it is set."""
        place = self.host, self.port
        if self.tls == "tls":
            # A closed or blocked port fails here, and one without TLS below.
            socket.create_connection(place, timeout=_SECONDS).close()
            self.step = "tls"
            self.server = smtplib.SMTP_SSL(*place, timeout=_SECONDS, context=context)
        else:
            self.server = smtplib.SMTP(*place, timeout=_SECONDS)
        if self.tls == "none":
            self.step = "public"
            assert self.server.sock
            address = self.server.sock.getpeername()[0].partition("%")[0]
            if is_public(address):
                raise ValueError(address)
        self.step = "greet"
        self.server.ehlo_or_helo_if_needed()
        if self.tls == "starttls":
            self.step = "starttls"
            if not self.server.has_extn("starttls"):
                raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS")
            self.step = "tls"
            self.server.starttls(context=context)
            self.server.ehlo()


def is_public(address: str) -> bool:
    """Return whether an address is reached through the internet."""
    found = ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_global


def _check_reply(code: int, said: bytes, *, accepts_temporary: bool = False) -> None:
    if not 200 <= code < 300 and not (accepts_temporary and 400 <= code < 500):
        raise smtplib.SMTPResponseException(code, said)


def _test_mail(name: str, sender: str, to: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = formataddr((name, sender))
    mail["To"] = to
    mail["Subject"] = "Infisical can send mail"
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    mail.set_content("This mail was sent by `infisical-iac mail test`.\n")
    return mail.as_bytes()


def _describe(error: OSError | ValueError, step: str) -> tuple[str, str]:
    """Return the step that an error belongs to, and its reason without a secret."""
    match error:
        case smtplib.SMTPResponseException():
            said: bytes | str = error.smtp_error
            said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            return step, f"{error.smtp_code} {said}"
        case ssl.SSLCertVerificationError():
            return "certificate", error.verify_message
        case UnicodeEncodeError():
            # The reason of this error has a part of the text, which may be the password.
            return step, "it has other characters than those of ASCII"
        case socket.gaierror():
            return "resolve", str(error)
    return step, str(error) or type(error).__name__
