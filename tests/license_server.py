"""The vendor's license server for tests, as far as a self-hosted server uses it.

    python -m tests.license_server --port 4100 --key fake-license-key --feature auditLogs

It needs only Python 3.11, so a copy of this one file runs on a staging host, where
`LICENSE_SERVER_URL` leads to it. It listens once it prints `ready`. An unknown key gets a 401; the
plan has the features of the options. `offline_keys` needs no server.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LOGIN = "/api/auth/v1/license-login"
_PLAN = "/api/license/v1/plan"
_LICENSE = "/api/license/v1/license"
_TOKEN = "fake-license-token"


@dataclass
class LicenseServer:
    """A license; tests may change it while it runs.

    Attributes:
        features: the names of the plan's features that are on.
        requests: a line `METHOD PATH STATUS` for each request.
    """

    key: str = "fake-license-key"
    features: list[str] = field(default_factory=list)
    port: int = 0
    host: str = "127.0.0.1"
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def reply(self, method: str, path: str, key: str, token: str) -> tuple[int, dict[str, Any]]:
        """Return the status and body of an answer."""
        if (method, path) == ("POST", _LOGIN):
            if key != self.key:
                return 401, {"message": "Invalid license key"}
            return 200, {"token": _TOKEN}
        if (method, path) not in (("GET", _PLAN), ("PATCH", _LICENSE)):
            return 404, {"message": "Not Found"}
        if token != _TOKEN:
            return 401, {"message": "Unauthorized"}
        if path == _LICENSE:
            return 200, {}
        return 200, {"currentPlan": self.plan()}

    def plan(self) -> dict[str, Any]:
        """Return the plan of an enterprise license with these features."""
        limits = dict.fromkeys(
            ("workspaceLimit", "memberLimit", "environmentLimit", "identityLimit")
        )
        used = dict.fromkeys(
            ("workspacesUsed", "membersUsed", "environmentsUsed", "identitiesUsed"), 0
        )
        rates = {"readLimit": 60, "writeLimit": 200, "secretsLimit": 40}
        kind = {"_id": None, "slug": "enterprise", "tier": 2, "rateLimits": rates}
        kind["auditLogsRetentionDays"] = 30 if "auditLogs" in self.features else 0
        return {**kind, **limits, **used, **dict.fromkeys(self.features, True)}

    def listen(self) -> ThreadingHTTPServer:
        """Return a listening server; raise OSError if the port is in use."""
        license_server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PATCH(self) -> None:
                self._answer()

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = self.headers.get("X-API-KEY", "")
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, body = license_server.reply(self.command, self.path, key, token)
                license_server.requests.append(f"{self.command} {self.path} {status}")
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer((license_server.host, license_server.port), Handler)
        license_server.port = server.server_port
        return server


def offline_keys() -> dict[str, str]:
    """Return offline licenses in the vendor's form, signed for the stand-in alone.

    The one `in effect` and the `expired` one are valid; the signature of the `forged` one is not.
    """
    path = Path(__file__).with_name("offline_licenses.json")
    licenses = json.loads(path.read_text(encoding="utf-8"))
    signed = licenses["in effect"]
    features = signed["license"]["features"] | {"rbac": True}
    licenses["forged"] = {**signed, "license": {**signed["license"], "features": features}}
    return {
        name: base64.b64encode(json.dumps(each).encode()).decode()
        for name, each in licenses.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="license_server", description="Licenses for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--feature", dest="features", action="append", default=[])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with LicenseServer(**vars(parser.parse_args(arguments))).listen() as server:
            print("ready", flush=True)
            server.serve_forever()
    except OSError as error:
        print(f"license_server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
