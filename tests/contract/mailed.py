"""Invite people and accept invitations, as the pages of a server do, and read mails."""

from __future__ import annotations

import html
import re
import time
from email import message_from_bytes, policy
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from .world import EMAIL, PASSWORD, log_in, ok

if TYPE_CHECKING:
    from email.message import EmailMessage

    import httpx

    from tests.mail_server import MailServer

    from .services import Standin
    from .world import Document

INVITE = "/api/v1/invite-org/signup"
RESEND = "/api/v1/invite-org/signup-resend"
RECOVERY = "/api/v1/account-recovery"
ADMIN = EMAIL
_SECONDS = 5.0


def invite(admin: httpx.Client, org_id: str, *addresses: str) -> httpx.Response:
    return admin.post(INVITE, json={"inviteeEmails": addresses, "organizationId": org_id})


def accept(standin: Standin, link: str, password: str = PASSWORD) -> Document:
    """Complete the account of an invitation's link; return the answer."""
    given = query(link)
    body = {"email": given["to"], "organizationId": given["organization_id"]}
    with standin.client() as client:
        verified = ok(
            client.post("/api/v1/invite-org/verify", json=body | {"code": given["token"]})
        )
    account = {"type": "email", "email": given["to"], "firstName": "Anna", "password": password}
    with standin.client(verified["token"]) as client:
        return ok(client.post("/api/v3/signup/complete-account", json=account))


def join(standin: Standin, admin: httpx.Client, org_id: str, address: str) -> httpx.Client:
    """Make a person a member on a server without mail; return the person's client."""
    (link,) = ok(invite(admin, org_id, address))["completeInviteLinks"]
    accept(standin, link["link"])
    return log_in(standin, org_id, address)


def query(link: str) -> dict[str, str]:
    """Return the query of a link."""
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def wait_for_mails(server: MailServer, count: int) -> list[EmailMessage]:
    """Return the mails of a server once there are so many; raise AssertionError if not."""
    end = time.monotonic() + _SECONDS
    while len(server.mails()) < count and time.monotonic() < end:
        time.sleep(0.02)
    files = server.mails()
    assert len(files) == count, server.sessions()
    return [message_from_bytes(each.read_bytes(), policy=policy.default) for each in files]


def link_of(mail: EmailMessage) -> str:
    """Return the link of a mail that leads to the server."""
    (link,) = [
        html.unescape(each)
        for each in re.findall(r'href="([^"]+)"', str(mail.get_content()))
        if "token=" in each
    ]
    return link
