"""Measure one start: through the loader, or the same two requests without it.

    INFISICAL_CLIENT_ID=... INFISICAL_CLIENT_SECRET=... NODE_ENV=... python start.py MODE

in a directory with `.infisical.json`. MODE is `loader`, or `bare` (http.client).
Prints {"ms": ..., "import_ms": ...}: the start, and separately the imports for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN = "/api/v1/auth/universal-auth/login"
LIST = "/api/v4/secrets"


def loader() -> Callable[[], int]:
    """Start as a service does."""
    import infisical_config.fetching  # which happens at its first use

    return lambda: len(infisical_config.load())


def bare() -> Callable[[], int]:
    """Make the two requests with the standard library."""
    import http.client

    def start() -> int:
        address, credential, query = _read_requests()
        parts = urlsplit(address)
        https = parts.scheme == "https"
        connect = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = connect(parts.netloc)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", LOGIN, json.dumps(credential), headers)
        token = json.load(connection.getresponse())["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"{LIST}?{urlencode(query)}", headers=headers)
        return len(json.load(connection.getresponse())["secrets"])

    return start


def _read_requests() -> tuple[str, dict[str, str], dict[str, str]]:
    file: dict[str, Any] = json.loads(Path(".infisical.json").read_text("utf-8"))
    credential = {
        "clientId": os.environ["INFISICAL_CLIENT_ID"],
        "clientSecret": os.environ["INFISICAL_CLIENT_SECRET"],
    }
    query = {
        "projectId": file["workspaceId"],
        "environment": os.environ["NODE_ENV"],
        "secretPath": file["defaultSecretPath"],
        "expandSecretReferences": "false",
        "includeImports": "true",
    }
    return file["domain"], credential, query


def main(mode: str) -> None:
    """Print the measurement of one mode."""
    begin = time.perf_counter()
    start = {"loader": loader, "bare": bare}[mode]()
    imported = time.perf_counter()
    if not start():
        sys.exit("no secret came: this measures nothing")
    ended = time.perf_counter()
    times = {"ms": ended - imported, "import_ms": imported - begin}
    print(json.dumps({name: round(seconds * 1000, 3) for name, seconds in times.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
