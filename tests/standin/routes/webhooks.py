"""Webhooks of a project: as much as sends one on request. They are in this process's memory."""

from __future__ import annotations

import json
import os
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from ..errors import bad_request, not_found
from ..store import now, timestamp
from ..validation import text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/webhooks"
_made: dict[str, Document] = {}
_addresses: dict[str, str] = {}


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields(
        {name: text() for name in ("projectId", "environment", "webhookUrl", "secretPath")}
    )
    call.permissions(fields["projectId"]).require("create", "webhooks")
    _refuse_private(fields["webhookUrl"])
    moment = timestamp(now())
    webhook = {
        "id": str(uuid4()),
        "secretPath": fields["secretPath"],
        "lastStatus": None,
        "lastRunErrorMessage": None,
        "isDisabled": False,
        "createdAt": moment,
        "updatedAt": moment,
        "projectId": fields["projectId"],
        "type": "general",
        "eventsFilter": [],
    }
    _made[webhook["id"]], _addresses[webhook["id"]] = webhook, fields["webhookUrl"]
    return {"message": "Successfully created webhook", "webhook": webhook}


# As on a real server, no machine may send one.
@route("POST", PATH + "/{id}/test", PEOPLE)
def send(call: Call) -> Document:
    """Send a webhook by the proxy of the environment, as urllib does by itself."""
    webhook = _made.get(call.path["id"])
    if webhook is None:
        raise not_found(f"Webhook with ID '{call.path['id']}' not found")
    call.permissions(webhook["projectId"]).require("read", "webhooks")
    body = json.dumps({"event": "test", "project": {"workspaceId": webhook["projectId"]}})
    kind = {"Content-Type": "application/json"}
    request = Request(_addresses[webhook["id"]], data=body.encode(), headers=kind, method="POST")
    failed = None
    try:
        urlopen(request, timeout=10).close()
    except (URLError, OSError) as error:
        failed = str(error)
    ended = {"lastStatus": "failed" if failed else "success", "lastRunErrorMessage": failed}
    _made[webhook["id"]] = webhook | ended | {"updatedAt": timestamp(now())}
    return {"message": "Successfully tested webhook", "webhook": _made[webhook["id"]]}


def _refuse_private(url: str) -> None:
    """Raise the answer to an address that is not public, unless those are allowed."""
    host = urlsplit(url).hostname or ""
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        raise bad_request("Could not resolve hostname to any IP address") from None
    allowed = os.environ.get("ALLOW_INTERNAL_IP_CONNECTIONS", "").lower() == "true"
    if not allowed and not all(ip_address(str(each)).is_global for each in found):
        raise bad_request("Local IPs not allowed as URL")
