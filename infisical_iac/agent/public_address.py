"""Ask the public address of Infisical from this host, by DNS and TLS, as clients do."""

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from infisical_iac.agent.runner import Runner, observation

# The certificate of the user, and the files in Caddy's volume with the certificates of its
# authorities and those that it serves. The keys are in files of other names, which are not read.
CERTIFICATE = "/etc/infisical/ingress/tls.crt"
_VOLUME = "infisical_caddy"
_IN_VOLUME = ("caddy/pki/authorities/*/root.crt", "caddy/certificates/*/*/*.crt")
_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SECONDS = 10
# The seconds between two attempts.
_PAUSE, _PAUSE_CLOSED = 3, 2


@dataclass(frozen=True)
class PublicAddress:
    """The public address, and how to ask it.

    Attributes:
        url: scheme, host and port.
        is_ours: whether clients connect to a Caddy of this project, which can be closed.
        closed_text: what that Caddy answers while it is closed.
        attempts: how often it is asked after a change; a load balancer takes a while to notice
            that a node is healthy again.
        certificates: those of the Caddy of other nodes, in PEM, as any node may answer.
    """

    url: str
    is_ours: bool = False
    closed_text: str = ""
    attempts: int = 1
    certificates: Sequence[str] = ()

    @property
    def is_secure(self) -> bool:
        """True for HTTPS; another address is not asked."""
        return self.url.startswith("https:")


@observation
def read_certificates(runner: Runner) -> str:
    """Return the certificates of this host's Caddy and of its authorities, in PEM."""
    return "\n".join(_read_files(runner))


def _read_files(runner: Runner) -> Iterator[str]:
    shown = runner.run(["docker", "volume", "inspect", "--format", "{{json .}}", _VOLUME])
    with suppress(ValueError, KeyError, OSError):
        volume = runner.path(json.loads(shown.text or "{}")["Mountpoint"])
        for each in (file for pattern in _IN_VOLUME for file in sorted(volume.glob(pattern))):
            yield each.read_text("utf-8", errors="replace")
    yield runner.text(CERTIFICATE) or ""


def is_public(runner: Runner, address: PublicAddress, *, attempts: int = 1) -> bool:
    """Return whether this host reaches Infisical by its public address."""
    if not address.is_secure:
        return False
    context = _trust(runner, address)
    for number in range(attempts):
        if number:
            time.sleep(_PAUSE)
        found = _get(address.url, "/api/status", context)
        if found and found[0] < 400:
            return True
    return False


def answers_closed(runner: Runner, address: PublicAddress) -> bool:
    """Return whether this host reaches its closed Caddy at the public address."""
    context = _trust(runner, address)
    for number in range(address.attempts):
        if number:
            time.sleep(_PAUSE_CLOSED)
        found = _get(address.url, "/", context)
        if found and found[1].decode(errors="replace").rstrip("\n") == address.closed_text:
            return True
    return False


def _trust(runner: Runner, address: PublicAddress) -> ssl.SSLContext:
    """Return the context that trusts the host's own authorities and, for our Caddy, its own ones.

    The host's list lacks Caddy's own authority and the user's.
    """
    context = ssl.create_default_context()
    # A certificate without its authority is trusted too, and so are authorities that lack the
    # extensions which only the newest Pythons require.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if address.is_ours:
        texts = [read_certificates(runner), *address.certificates]
        for pem in (each for text in texts for each in _PEM.findall(text)):
            with suppress(ssl.SSLError):
                context.load_verify_locations(cadata=pem)
    return context


def _get(url: str, path: str, context: ssl.SSLContext) -> tuple[int, bytes] | None:
    """Return the status and the body of an answer; None without one. No proxy is used."""
    target = urlsplit(url)
    try:
        made = http.client.HTTPSConnection(
            target.hostname or "", target.port, timeout=_SECONDS, context=context
        )
        with closing(made):
            made.request("GET", path, headers={"User-Agent": "infisical-iac"})
            answer = made.getresponse()
            return answer.status, answer.read()
    except (OSError, ValueError, http.client.HTTPException):
        return None
