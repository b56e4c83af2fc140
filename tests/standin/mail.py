"""Send mails by SMTP as the real server does, or write them to the log while mail is off."""

from __future__ import annotations

import binascii
import json
import logging
import smtplib
import ssl
from base64 import b64decode
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formataddr, formatdate
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("standin")
# Connections to this port begin with TLS; those to all others in clear text, with any settings.
TLS_PORT = 465


class InvalidMailSettings(Exception):
    """A variable is not of its form; the text names it."""


@dataclass(frozen=True)
class MailSettings:
    """The variables SMTP_* with the real server's defaults; without a host, mail is off.

    Booleans are true only for the exact word `true`. `ignore_tls` prevails over `require_tls`.
    """

    host: str = ""
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = "undefined"
    sender_name: str = "Infisical"
    require_tls: bool = True
    ignore_tls: bool = False
    verify: bool = True
    ca: str = ""
    extra_ca: str = ""
    helo: str = ""
    seconds: float = 30.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> MailSettings:
        """Read the variables; empty ones count as absent. Raises InvalidMailSettings."""
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        port = given.get("SMTP_PORT", str(cls.port))
        if not port.isdigit():
            raise InvalidMailSettings("Invalid environment variables: SMTP_PORT is no number")
        return cls(
            host=given.get("SMTP_HOST", ""),
            port=int(port),
            user=given.get("SMTP_USERNAME", ""),
            password=given.get("SMTP_PASSWORD", ""),
            sender=given.get("SMTP_FROM_ADDRESS", cls.sender),
            sender_name=given.get("SMTP_FROM_NAME", cls.sender_name),
            require_tls=given.get("SMTP_REQUIRE_TLS", "true") == "true",
            ignore_tls=given.get("SMTP_IGNORE_TLS") == "true",
            verify=given.get("SMTP_TLS_REJECT_UNAUTHORIZED", "true") == "true",
            ca=given.get("SMTP_CUSTOM_CA_CERT", ""),
            extra_ca=given.get("NODE_EXTRA_CA_CERTS", ""),
            helo=given.get("SMTP_HELO_HOST", ""),
            seconds=float(given.get("STANDIN_MAIL_SECONDS", cls.seconds)),
        )


class MailError(Exception):
    """A mail was not accepted; the text is the reason."""


class Mailer:
    """The mails of a server."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self.is_on = bool(settings.host)

    def check(self) -> None:
        """Log whether the server can be reached; a failure does not prevent the start."""
        if not self.is_on:
            return
        place = f"{self._settings.host}:{self._settings.port}"
        try:
            with self._connect():
                log.info("SMTP - Verified connection to %s", place)
        except (OSError, smtplib.SMTPException) as error:
            log.error("SMTP - Failed to connect to %s - %s", place, _reason(error))

    def send(self, recipient: str, subject: str, body: str) -> None:
        """Send a mail with a text in HTML; raise MailError, whose reason is logged."""
        mail = EmailMessage()
        mail["From"] = formataddr((self._settings.sender_name, self._settings.sender))
        mail["To"], mail["Subject"], mail["Date"] = recipient, subject, formatdate()
        mail.set_content(body, subtype="html")
        if not self.is_on:
            log.info("SMTP is not configured. Outputting it in terminal")
            log.info("%s", json.dumps({**dict(mail.items()), "html": body}))
            return
        try:
            with self._connect() as connection:
                connection.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            log.error("%s", _reason(error))
            raise MailError(_reason(error)) from None

    def try_to_send(self, recipient: str, subject: str, body: str) -> None:
        """Send a mail whose failure is only logged."""
        try:
            self.send(recipient, subject, body)
        except MailError:
            log.error("Failed to send: %s", subject)

    def _connect(self) -> smtplib.SMTP:
        options = self._settings
        helo = options.helo or None
        if options.port == TLS_PORT:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                options.host, options.port, helo, timeout=options.seconds, context=self._trust()
            )
        else:
            connection = smtplib.SMTP(options.host, options.port, helo, timeout=options.seconds)
        try:
            connection.ehlo()
            if options.port != TLS_PORT and not options.ignore_tls:
                self._start_tls(connection)
            # A server that offers no login gets none, as from nodemailer.
            if options.user and options.password and connection.has_extn("auth"):
                connection.login(options.user, options.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start_tls(self, connection: smtplib.SMTP) -> None:
        if not connection.has_extn("starttls") and not self._settings.require_tls:
            return
        connection.starttls(context=self._trust())
        connection.ehlo()

    def _trust(self) -> ssl.SSLContext:
        """Return the trusted authorities; the custom authority replaces all others."""
        options = self._settings
        context = ssl.create_default_context(cadata=_pem(options.ca) or None)
        if options.extra_ca and not _pem(options.ca):
            try:
                context.load_verify_locations(options.extra_ca)
            except OSError:
                log.warning("Ignoring extra certs from `%s`, load failed", options.extra_ca)
        if not options.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def link_mail(text: str, link: str, label: str) -> str:
    """Return the HTML of a mail with one link."""
    return (
        f"<!doctype html><html><body><p>{escape(text)}</p>"
        f'<p><a href="{escape(link)}">{escape(label)}</a></p></body></html>'
    )


def text_mail(text: str) -> str:
    """Return the HTML of a mail without a link."""
    return f"<!doctype html><html><body><p>{escape(text)}</p></body></html>"


def _pem(encoded: str) -> str:
    """Return the certificates of SMTP_CUSTOM_CA_CERT; other text is ignored."""
    try:
        text = b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text if "-----BEGIN CERTIFICATE-----" in text else ""


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        ((code, text), *_) = error.recipients.values()
        return f"Can't send mail - all recipients were rejected: {code} {text.decode()}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"Invalid login: {error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"Mail command failed: {error.smtp_code} {_text(error.smtp_error)}"
    return str(error) or type(error).__name__


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
