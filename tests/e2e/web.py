"""Asking a staging host by https from outside of it, as people do."""

import subprocess
from pathlib import Path

from tests.staging import ingress
from tests.staging.host import StagingHost


def ask(host: StagingHost, path: str, *options: str, trust: Path | None = None) -> tuple[int, str]:
    """The status, 0 for no answer, and the body of a path; `trust` is whom the certificate needs.

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
