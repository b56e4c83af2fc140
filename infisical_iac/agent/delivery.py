"""Send alerts to their targets, and the host's heartbeat.

To add a kind of target, write a subclass of `Receiver` and add it to RECEIVERS. The reason for a
failure never contains the address of a target, which may hold a token.
"""

import http.client
import json
import smtplib
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit

from infisical_iac.agent.alerts import AlertNotice
from infisical_iac.agent.canary import name_failure, trust

_SECONDS = 10
# Long subjects stay in one line: folded, some begin with an empty one.
_UNFOLDED = policy.SMTP.clone(max_line_length=998)
_COMMAND_SECONDS = 30
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Notification:
    """The text of an alert for people and programs; nothing in it is secret.

    Attributes:
        id: the same in each attempt to deliver it.
        of: the name of the host.
        at: when it was made, as a UTC timestamp.
        phase: `begun`, `repeated` or `ended`.
        error: the sentence on the problem.
    """

    id: str
    of: str
    at: str
    check: str
    subject: str
    severity: str
    phase: str
    error: str
    remedy: str

    @property
    def title(self) -> str:
        """Return one line: `critical on web-1: redis is exited`."""
        state = {"begun": self.severity, "repeated": f"still {self.severity}", "ended": "over"}
        return f"{state[self.phase]} on {self.of}: {self.error}"

    @property
    def text(self) -> str:
        """Return the title with the remedy."""
        return self.title if self.phase == "ended" else f"{self.title}. To do: {self.remedy}"


def notification(notice: AlertNotice, of: str) -> Notification:
    """Return the notification of an alert of the host `of`."""
    alert, moment = notice.alert, datetime.fromtimestamp(notice.at, UTC)
    return Notification(
        f"{alert.key} {notice.phase} {moment:%Y%m%dT%H%M%S}",
        of,
        f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        alert.check,
        alert.subject,
        alert.severity,
        notice.phase,
        alert.text,
        alert.remedy,
    )


@dataclass(frozen=True)
class MailServer:
    """The server that sends mails, from the setting `smtp`."""

    host: str
    port: int
    tls: str
    user: str
    from_address: str
    from_name: str
    password_file: str


@dataclass(frozen=True)
class Means:
    """The certificate authorities and the mail server that deliveries use.

    Attributes:
        authorities: the file of further authorities, in PEM; empty for none.
    """

    authorities: str = ""
    mail: MailServer | None = None

    def make_context(self) -> ssl.SSLContext:
        """Return the context that verifies servers by the host's and the further authorities."""
        return trust([self.authorities])


@dataclass(frozen=True)
class Receiver:
    """A target of alerts: its name, and the address, which may be secret."""

    kind: ClassVar[str]

    name: str
    to: str = field(repr=False)

    def send(self, notification: Notification, means: Means) -> str:
        """Send a notification; return why that failed, or an empty string."""
        raise NotImplementedError


class WebhookReceiver(Receiver):
    """A webhook that takes JSON with the fields of a notification; `text` is for people."""

    kind = "json"

    def send(self, notification: Notification, means: Means) -> str:
        body = json.dumps(self.render(notification)).encode()
        return request(self.to, means, body, {"Content-Type": "application/json"})

    def render(self, notification: Notification) -> dict[str, Any]:
        """Return the body of the request, as a JSON value."""
        return {"text": notification.text, **vars(notification)}


class SlackReceiver(WebhookReceiver):
    """An incoming webhook of Slack or Mattermost."""

    kind = "slack"

    def render(self, notification: Notification) -> dict[str, Any]:
        # Slack gives these characters a meaning, such as links and mentions.
        text = notification.text
        for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, name)
        return {"text": f"{_SIGNS[_level(notification)]} {text}"}


class DiscordReceiver(WebhookReceiver):
    """A webhook of Discord."""

    kind = "discord"

    def render(self, notification: Notification) -> dict[str, Any]:
        text = f"{_SIGNS[_level(notification)]} {notification.text}"
        return {"content": text[:2000], "allowed_mentions": {"parse": []}}


class TeamsReceiver(WebhookReceiver):
    """A workflow of Microsoft Teams that posts a card when a webhook request is received."""

    kind = "teams"

    def render(self, notification: Notification) -> dict[str, Any]:
        lines = [
            {"type": "TextBlock", "text": notification.title, "weight": "bolder", "wrap": True}
        ]
        if notification.phase != "ended":
            lines.append({"type": "TextBlock", "text": notification.remedy, "wrap": True})
        card = {"type": "AdaptiveCard", "version": "1.4", "body": lines}
        content = "application/vnd.microsoft.card.adaptive"
        return {"type": "message", "attachments": [{"contentType": content, "content": card}]}


class NtfyReceiver(Receiver):
    """A topic of ntfy."""

    kind = "ntfy"

    def send(self, notification: Notification, means: Means) -> str:
        level = _level(notification)
        headers = {
            "Title": f"Infisical: {notification.severity}",
            "Priority": {"critical": "5", "warning": "3", "ended": "2"}[level],
            "Tags": {"critical": "rotating_light", "warning": "warning"}.get(level, "ok"),
        }
        return request(self.to, means, notification.text.encode(), headers)


class MailReceiver(Receiver):
    """A mailbox, reached by the server of the setting `smtp`."""

    kind = "email"

    def send(self, notification: Notification, means: Means) -> str:
        if means.mail is None:
            return "the setting `smtp` names no server"
        server = means.mail
        mail = EmailMessage(policy=_UNFOLDED)
        mail["From"] = formataddr((server.from_name, server.from_address))
        mail["To"] = self.to
        mail["Subject"] = " ".join(f"[Infisical] {notification.title}".split())[:200]
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=server.from_address.rpartition("@")[2])
        mail.set_content(f"{notification.text}\n\n{notification.at}, {notification.check}\n")
        try:
            return _send_mail(server, mail, means.make_context())
        except smtplib.SMTPResponseException as error:
            return f"the mail server answers {error.smtp_code}"
        except (OSError, ValueError) as error:
            return name_failure(error)


def _send_mail(server: MailServer, mail: EmailMessage, context: ssl.SSLContext) -> str:
    """Send a mail; return why it must not be sent, or an empty string.

    Raises OSError and ValueError.
    """
    client = _connect(server, context)
    try:
        if server.tls == "none" and _is_public(client.sock):
            return "the mail server has a public address and no TLS"
        if server.tls == "starttls":
            client.starttls(context=context)
        if server.user:
            client.login(server.user, Path(server.password_file).read_text("utf-8").strip())
        client.send_message(mail)
        with suppress(OSError):
            # The server has accepted the mail, whatever it answers to QUIT.
            client.quit()
        return ""
    finally:
        client.close()


def _connect(server: MailServer, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.tls == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=_SECONDS, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=_SECONDS)


def _is_public(connection: socket.socket | None) -> bool:
    """Return whether the server has a public address, to which nothing may go in clear text."""
    if connection is None:
        return True
    peer = ip_address(connection.getpeername()[0].partition("%")[0])
    mapped = peer.ipv4_mapped if isinstance(peer, IPv6Address) else None
    return (mapped or peer).is_global


class CommandReceiver(Receiver):
    """A program on the host, which gets the notification as JSON on its standard input."""

    kind = "command"

    def send(self, notification: Notification, means: Means) -> str:
        body = json.dumps({"text": notification.text, **vars(notification)}).encode()
        try:
            done = subprocess.run(
                [self.to], input=body, capture_output=True, timeout=_COMMAND_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"the command did not end within {_COMMAND_SECONDS} s"
        except OSError as error:
            return error.strerror or type(error).__name__
        return f"the command ended with exit status {done.returncode}" if done.returncode else ""


RECEIVERS: Mapping[str, type[Receiver]] = {
    each.kind: each
    for each in (
        *(WebhookReceiver, SlackReceiver, DiscordReceiver, TeamsReceiver, NtfyReceiver),
        *(MailReceiver, CommandReceiver),
    )
}
_SIGNS = {"critical": "\N{LARGE RED CIRCLE}", "warning": "\N{LARGE YELLOW CIRCLE}"} | {
    "ended": "\N{LARGE GREEN CIRCLE}"
}


def _level(notification: Notification) -> str:
    return "ended" if notification.phase == "ended" else notification.severity


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: following one would drop the body or disclose the address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def request(
    url: str, means: Means, body: bytes | None = None, headers: Mapping[str, str] = {}
) -> str:
    """Send a POST, or a GET if there is no body; return why it failed, or an empty string."""
    if not url:
        return "its address is not on the host: run `infisical-iac apply`"
    try:
        handlers: list[Any] = [_NoRedirect]
        if url.startswith("https:"):
            # Only for TLS, because loading all authorities takes longer than the rest of a run.
            handlers.append(urllib.request.HTTPSHandler(context=means.make_context()))
        opener = urllib.request.build_opener(*handlers)
        asked = urllib.request.Request(url, body, {"User-Agent": "infisical-iac", **headers})
        with opener.open(asked, timeout=_SECONDS) as answer:
            answer.read(_MOST_BYTES)
    except HTTPError as error:
        return f"HTTP {error.code}"
    except URLError as error:
        return name_failure(error.reason) if isinstance(error.reason, OSError) else "no answer"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return name_failure(error)
    return ""


def beat(url: str, means: Means, problem: str) -> str:
    """Call the address of a heartbeat; return why that failed, or an empty string.

    Uptime Kuma gets the state in the query of its push address. All others, such as
    healthchecks.io, get a request to the address itself, or to `/fail` below it with the problem
    as the body.

    Args:
        problem: a sentence on the critical alerts; empty if there are none.
    """
    parts = urlsplit(url)
    if "/api/push/" in parts.path:
        query = {"status": "down" if problem else "up", "msg": problem or "OK"}
        return request(parts._replace(query=urlencode(query)).geturl(), means)
    if not url or not problem:
        return request(url, means)
    failed = parts._replace(path=f"{parts.path.rstrip('/')}/fail").geturl()
    return request(failed, means, problem.encode())
