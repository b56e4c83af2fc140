"""Lines of the access log, as Caddy 2.6 and 2.11 write them."""

import json
from base64 import urlsafe_b64encode
from typing import Any

AT = 1795672001.5


def claims(**values: Any) -> str:
    """Return the claims of a token, encoded as its second part."""
    return urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def line(
    uri: str,
    *,
    status: int = 200,
    at: float = AT,
    user: str = "",
    address: str = "203.0.113.9",
    method: str = "GET",
    newer: bool = False,
) -> str:
    """Return a line of the log, as Debian's Caddy 2.6 writes it, or 2.11 if `newer`."""
    client = {"client_ip": address} if newer else {}
    request = {"remote_ip": address, **client, "proto": "HTTP/2.0", "method": method, "uri": uri}
    logged = {
        "level": "info",
        "ts": at,
        "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": request,
        **({"bytes_read": 0} if newer else {}),
        "user_id": user,
        "duration": 0.0002,
        "size": 2,
        "status": status,
    }
    return json.dumps(logged, separators=(",", ":"))
