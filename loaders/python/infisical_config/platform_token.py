"""Get the token of a platform, such as GitHub's, with which an identity logs in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bootstrap import Bootstrap

IDENTITY: Final = "INFISICAL_MACHINE_IDENTITY_ID"
# Variables that only the login needs, and no program that the runner starts.
OWN_VARIABLES: Final = (IDENTITY, "INFISICAL_JWT", "INFISICAL_JWT_FILE")
_SECRETS = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET")
_AUDIENCE = "infisical"
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?/", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Platform:
    """The source of an identity's tokens: a file, a variable, or GitHub.

    Attributes:
        file: the path of a file that the platform renews, as Kubernetes does.
        jwt: the token, from a variable.
        url, bearer: GitHub's address for tokens, and the token that it requires.
    """

    identity: str
    audience: str
    file: str = ""
    jwt: str = field(default="", repr=False)
    url: str = ""
    bearer: str = field(default="", repr=False)


def find(environ: Mapping[str, str]) -> Platform | None:
    """Return the source of tokens; None for a login with a client secret.

    Args:
        environ: the variables of the process, without those of `.env.local`.

    Raises ConfigError `not_configured`.
    """
    identity = environ.get(IDENTITY, "")
    if not identity:
        return None
    if both := [name for name in _SECRETS if environ.get(name)]:
        raise _wrong(f"{IDENTITY} and {both[0]} are both set: remove one, since each is a login")
    audience = environ.get("INFISICAL_JWT_AUDIENCE") or _AUDIENCE
    if file := environ.get("INFISICAL_JWT_FILE", ""):
        return Platform(identity, audience, file=file)
    if jwt := environ.get("INFISICAL_JWT", ""):
        return Platform(identity, audience, jwt=jwt)
    url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    bearer = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not bearer:
        raise _wrong(
            f"{IDENTITY} is set, but there is no token to log in with: give the job `permissions:"
            " id-token: write` at GitHub, or set INFISICAL_JWT_FILE or INFISICAL_JWT"
        )
    if not (url.startswith("https://") or _LOCAL.match(url)) or not _is_address(url):
        raise _wrong("ACTIONS_ID_TOKEN_REQUEST_URL is no https:// address: let GitHub set it")
    return Platform(identity, audience, url=url, bearer=bearer)


def _is_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:  # a bracket of IPv6 that does not end
        return False


def fetch(platform: Platform, place: Bootstrap, timeout: float) -> str:
    """Return a token that is valid now; a file is read, or GitHub is asked, at each call.

    Raises ConfigError, after at most `timeout` seconds.
    """
    if platform.jwt:
        return platform.jwt
    return _read(platform.file) if platform.file else _ask(platform, place, timeout)


def _read(file: str) -> str:
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _wrong(f"the file of INFISICAL_JWT_FILE, {file}, can't be read ({why})") from None
    if not token:
        raise _wrong(f"the file of INFISICAL_JWT_FILE, {file}, is empty")
    return token


def _ask(platform: Platform, place: Bootstrap, timeout: float) -> str:
    from .retrying import PatientClient
    from .route import Route

    parts = urlsplit(platform.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    client = PatientClient(replace(place, address=origin), Route.to(origin))
    client.allow(timeout)
    query = "&".join(filter(None, (parts.query, f"audience={quote(platform.audience, safe='')}")))
    headers = {"Accept": "application/json", "Authorization": f"bearer {platform.bearer}"}
    try:
        reply = client.send("GET", f"{parts.path}?{query}", headers)
    finally:
        client.close()
    try:
        body: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    token = body.get("value") if isinstance(body, dict) else None
    if reply.status != 200 or not isinstance(token, str) or not token:
        raise _wrong(
            f"{origin} gives no token ({reply.status}): give the job `permissions: id-token: write`"
        )
    return token


def reason(body: Mapping[str, Any]) -> str:
    """Return why the server refused a token, in its own words."""
    message = body.get("message")
    text = message if isinstance(message, str) and message else "it does not say why"
    return _UNPRINTABLE.sub(" ", text)[:_LONGEST_REASON].removesuffix(".")


def _wrong(message: str) -> ConfigError:
    return ConfigError("not_configured", message)
