"""An SMTP server for tests, which keeps the mails that it accepts as files.

    python -m tests.mail_server --port 2525 --tls starttls --user mailer --password fake-password \
        --certificate cert.pem --key key.pem --directory /tmp/mails

It needs Python 3.11 and aiosmtpd, and nothing else of this repository: `tests/staging/programs.py`
runs a copy on a staging host. It listens once it prints `ready`. The directory then has

    000001.eml, …   the accepted mails, with the headers X-Sender, X-Recipients and X-Login before
                    the others: the envelope, and the user who logged in
    sessions.log    a line for each step of a client, for example `EHLO host.example tls=TLSv1.3`,
                    `AUTH mailer accepted`, `MAIL a@example.com refused`

`--refuse` makes it fail as servers do: `login` refuses every password (535), `sender` every From
address (553), `recipient` all relaying (550), `greylist` each recipient for now (450), `message`
the text of the mail (554), and `greeting` never answers a connection. A server without STARTTLS is
`--tls none`, one with an unsuitable certificate has a certificate of another name.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Tls = Literal["starttls", "tls", "none"]
Refusal = Literal["login", "sender", "recipient", "greylist", "message", "greeting"]
_LARGEST_MAIL = 10_000_000


@dataclass
class MailServer:
    """An SMTP server; `refuse` may change while it runs.

    Attributes:
        directory: where mails and the log are kept; it is made if missing.
        port: the port to listen on; 0 for a free one, which is then set here.
        tls: `starttls` offers AUTH after STARTTLS only, `tls` speaks TLS from the first byte.
        user: the user who has to log in before MAIL; empty for a server without logins.
        certificate, key: PEM files for TLS.
        refuse: the step that fails.
    """

    directory: Path
    port: int = 0
    host: str = "127.0.0.1"
    tls: Tls = "none"
    user: str = ""
    password: str = ""
    certificate: Path | None = None
    key: Path | None = None
    refuse: Refusal | None = None

    def mails(self) -> list[Path]:
        """Return the files of the accepted mails, the oldest first."""
        return sorted(self.directory.glob("*.eml"))

    def sessions(self) -> list[str]:
        """Return the lines of the log."""
        log = self.directory / "sessions.log"
        return log.read_text("utf-8").splitlines() if log.exists() else []

    async def listen(self) -> asyncio.Server:
        """Start to accept connections; raise OSError if the port is in use."""
        self.directory.mkdir(parents=True, exist_ok=True)
        context = None
        if self.tls != "none":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            if self.certificate is None:
                raise ValueError(f"tls {self.tls} needs a certificate")
            context.load_cert_chain(self.certificate, self.key)
        starttls = context if self.tls == "starttls" else None
        implicit = context if self.tls == "tls" else None

        def connect() -> asyncio.Protocol:
            self._log("connection")
            if self.refuse == "greeting":
                return asyncio.Protocol()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
                return make_session()

        def make_session() -> SMTP:
            return SMTP(
                _MailHandler(self),
                hostname="mail.example.com",
                ident="test server",
                data_size_limit=_LARGEST_MAIL,
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=self._authenticate if self.user else None,
                auth_required=bool(self.user),
                # aiosmtpd recognizes only STARTTLS, not TLS from the first byte.
                auth_require_tls=starttls is not None,
            )

        server = await asyncio.get_running_loop().create_server(
            connect, self.host, self.port, ssl=implicit
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = data if isinstance(data, LoginPassword) else LoginPassword(b"", b"")
        name = given.login.decode("utf-8", "replace")
        right = name == self.user and given.password.decode("utf-8", "replace") == self.password
        accepted = right and self.refuse != "login"
        self._log(f"AUTH {name} {'accepted' if accepted else 'refused'}")
        if accepted:
            return AuthResult(success=True, auth_data=name)
        text = "535 5.7.8 Error: authentication failed: wrong user or password"
        return AuthResult(success=False, handled=False, message=text)

    def _log(self, line: str) -> None:
        with (self.directory / "sessions.log").open("a", encoding="utf-8") as log:
            log.write(line.replace("\n", " ") + "\n")

    def _keep(self, envelope: Envelope, session: Session) -> None:
        headers = {
            "X-Sender": str(envelope.mail_from),
            "X-Recipients": ", ".join(map(str, envelope.rcpt_tos)),
            "X-Login": str(session.auth_data or "nobody"),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        content = envelope.content
        assert isinstance(content, bytes)
        place = self.directory / f"{len(self.mails()) + 1:06}.eml"
        # A reader sees whole mails only.
        new = place.with_suffix(".new")
        new.write_bytes(head + content)
        new.rename(place)


class _MailHandler:
    """The answers to the steps of a session, by the names that aiosmtpd calls."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, name: str, answers: list[str]
    ) -> list[str]:
        tls = server.transport and server.transport.get_extra_info("ssl_object")
        session.host_name = name
        self._server._log(f"EHLO {name} tls={tls.version() if tls else 'none'}")
        return answers

    async def handle_MAIL(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        refused = self._server.refuse == "sender"
        self._server._log(f"MAIL {address} {'refused' if refused else 'accepted'}")
        if refused:
            return f"553 5.7.1 <{address}>: Sender address rejected: not owned by user"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        refusals = {
            "recipient": f"550 5.7.1 <{address}>: Relay access denied",
            "greylist": f"450 4.2.0 <{address}>: Greylisted, try again in 300 seconds",
        }
        refusal = refusals.get(self._server.refuse or "")
        self._server._log(f"RCPT {address} {'refused' if refusal else 'accepted'}")
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        refused = self._server.refuse == "message"
        self._server._log(f"DATA {'refused' if refused else 'accepted'}")
        if refused:
            return "554 5.7.1 Message rejected as spam"
        self._server._keep(envelope, session)
        return "250 2.0.0 Ok: queued"


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="mail_server", description="An SMTP server for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", choices=get_args(Tls), default="starttls")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--refuse", choices=get_args(Refusal))
    return asyncio.run(_serve(MailServer(**vars(parser.parse_args(arguments)))))


async def _serve(server: MailServer) -> int:
    try:
        listening = await server.listen()
    except (OSError, ValueError) as error:
        print(f"mail_server: {error}", file=sys.stderr)
        return 1
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print("ready", flush=True)
    await ended.wait()
    listening.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
