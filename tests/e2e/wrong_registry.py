"""A registry that fails on purpose: `python3 wrong_registry.py <port>`, on a host's loopback.

The first part of a repository says how: `status-429/infisical` answers with that status,
`stalls/infisical` never, and `wrong/infisical` with a manifest that has not the digest that was
asked for. It needs the standard library only.
"""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# As registries name the error, in the answer's body.
_CODES = {401: "UNAUTHORIZED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 500: "UNKNOWN"}
_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 2,
        "digest": f"sha256:{'c' * 64}",
    },
    "layers": [],
}
_LONGEST = 1000


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(200, {})
        elif self.path.startswith("/v2/stalls/"):
            time.sleep(_LONGEST)
        elif found := re.match(r"/v2/status-(\d{3})/", self.path):
            status = int(found[1])
            error = {"code": _CODES[status], "message": "as it was asked to"}
            self._answer(status, {"errors": [error]})
        else:
            self._answer(200, _MANIFEST, str(_MANIFEST["mediaType"]))

    def _answer(self, status: int, body: object, kind: str = "application/json") -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="fake"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
