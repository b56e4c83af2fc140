"""Send HTTPS requests to a staging host from outside."""

import subprocess
from pathlib import Path

from tests.staging import ingress
from tests.staging.host import StagingHost


def ask(host: StagingHost, path: str, *options: str, trust: Path | None = None) -> tuple[int, str]:
    """Return the status and body of a path, status 0 for no answer; `trust` is a CA's file.

    Without `trust`, the authority that Caddy made on the host is fetched and trusted.
    """
    name = ingress.name(host)
    command = [
        *("curl", "--silent", "--max-time", "20", "--cacert", str(trust or ingress.root(host))),
        *("--resolve", f"{name}:443:{ingress.address(host)}", "--write-out", "\n%{http_code}"),
        *options,
        f"https://{name}{path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body
