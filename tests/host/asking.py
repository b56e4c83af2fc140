"""Send requests to the address that people use, from the host itself."""

from typing import NamedTuple
from urllib.parse import urlsplit

from infisical_iac.core.settings import Settings
from tests.host.connection import Host

_ROOT = "caddy/pki/authorities/local/root.crt"


class Answer(NamedTuple):
    """An HTTP answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    version: str


def ask(host: Host, settings: Settings, path: str, *options: str) -> Answer:
    """Return the answer for a path below site_url; nothing leaves the host.

    The certificate is verified if it is of Let's Encrypt or of Caddy's own authority. The host
    need not trust any other authority, so other certificates are accepted unverified.

    Args:
        options: options of curl.
    """
    url = urlsplit(settings.stack.site_url)
    target = f"https://{url.netloc}{path}"
    return ask_url(host, settings, target, *trust_options(host, settings), *options)


def ask_url(host: Host, settings: Settings, target: str, *options: str) -> Answer:
    """Return the answer for a URL, whose host name is resolved to the host itself."""
    url = urlsplit(settings.stack.site_url)
    ways = (("--resolve", f"{url.hostname}:{port}:127.0.0.1") for port in (80, url.port or 443))
    output = "%{http_code} %{http_version}"
    words = [
        *("curl", "--silent", "--path-as-is", "--max-time", "20", "--output", "/dev/null"),
        *("--dump-header", "-", "--write-out", output),
        *(word for way in ways for word in way),
        *options,
        target,
    ]
    lines = host.run(" ".join(["%s"] * len(words)), *words).stdout.splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines[1:-1] if ": " in line)
    status, _, version = (lines or ["0 0"])[-1].partition(" ")
    return Answer(int(status), headers, version)


def trust_options(host: Host, settings: Settings) -> tuple[str, ...]:
    """Return curl's options to verify the certificate, or to accept one it can't verify."""
    if settings.stack.ingress_kind.is_public and not settings.stack.tls_certificate:
        if settings.stack.acme_ca == "letsencrypt":
            return ()
        if settings.stack.acme_ca == "internal":
            where = "docker volume inspect --format '{{ .Mountpoint }}' infisical_caddy"
            return ("--cacert", f"{host.check_output(where)}/{_ROOT}")
    return ("--insecure",)
