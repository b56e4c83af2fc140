"""Read the canary, and reach Infisical as its users do.

The canary is a secret with a public text in a project of its own, by which changes and restores
prove that a store can be decrypted. With a login of its own the monitor logs in, and writes, reads
and deletes a secret there, through the public address.
"""

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit

from infisical_iac.agent import contents
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient
from infisical_iac.agent.login import parse_variables
from infisical_iac.agent.runner import Runner, make_failure

SLUG, ENVIRONMENT, FOLDER = "infisical-iac-canary", "prod", "/"
SECRET, VALUE = "CANARY", "alive"
NONE = "There is no canary to read yet: an older release may have deployed this host."
# The code of every error about the canary.
CODE = "checks.canary"
# The statuses of every answer of a server whose database or key does not fit.
OF_DATA = (400, 500)
_WHAT = f"the secret {SECRET} of the project {SLUG}"


def is_alive(client: ApiClient) -> bool:
    """Return whether there is a canary.

    Raises RuntimeError with a Failure for a canary that was altered or can't be read. In the second
    case its cause is an AnswerError; with a status in OF_DATA it ends the run.
    """
    try:
        project = contents.project(client, SLUG)
        text = read_text(client, project) if project else None
    except AnswerError as error:
        is_of_data = error.status in OF_DATA
        raise make_failure(CODE, describe_unreadable(error), ends_run=is_of_data) from error
    if text not in (None, VALUE):
        raise make_failure(
            CODE,
            f"the canary was altered, as {_WHAT} is not {VALUE!r}: if a person has changed it, "
            "set it back in Infisical; otherwise secrets are not decrypted correctly",
        )
    return text is not None


def describe_unreadable(reason: AnswerError) -> str:
    """Return the sentence on a canary that can't be read."""
    return f"the canary, {_WHAT}, can't be read: {reason.message}"


def read_text(client: ApiClient, project: dict[str, Any]) -> str | None:
    """Return the canary's text, given its project; None if there is none."""
    if ENVIRONMENT not in {each["slug"] for each in project["environments"]}:
        return None
    listed = contents.secrets(client, project["id"], ENVIRONMENT, folder=FOLDER)
    return next((each["secretValue"] for each in listed if each["secretKey"] == SECRET), None)


# The login of the canary, and the place of its secret, as `apply` writes them.
CANARY_FILE = "/etc/infisical/canary.env"
_SECONDS = 8
_VALUE = "obviously-public"


@dataclass(frozen=True)
class CanaryTarget:
    """The address through which the canary reaches Infisical.

    Attributes:
        url: the public address.
        address: the address to connect to instead of that of the DNS; empty for the DNS. The
            certificate must be for the name in `url` in both cases.
        authorities: files of further authorities, or of the certificate itself, in PEM; those that
            are missing are left out.
    """

    url: str
    address: str = ""
    authorities: Sequence[str] = ()


@dataclass(frozen=True)
class CanaryRun:
    """The result of a run of the canary.

    Attributes:
        at: when it began; 0.0 if there was none.
        seconds: how long each step took that succeeded, by its name.
        failure: the step that failed and why; empty for a success.
    """

    at: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


def trust(paths: Sequence[str]) -> ssl.SSLContext:
    """Return the context that verifies servers by the host's authorities and those in files."""
    context = ssl.create_default_context()
    for path in paths:
        if path and Path(path).exists():
            context.load_verify_locations(path)
    return context


def name_failure(error: Exception) -> str:
    """Return the reason for a failed request, without text that may contain an address."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "the connection is refused"
        case socket.gaierror():
            return "its name can't be resolved"
        case ssl.SSLCertVerificationError():
            return "its certificate is not accepted"
        case ssl.SSLError():
            return "it does not speak TLS"
    return type(error).__name__


class _Secure(http.client.HTTPSConnection):
    """A connection to an address, with a certificate that must be for another name."""

    def __init__(self, name: str, port: int | None, address: str, context: ssl.SSLContext) -> None:
        super().__init__(name, port, timeout=_SECONDS, context=context)
        self._address, self._trusted = address, context

    def connect(self) -> None:
        made = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._trusted.wrap_socket(made, server_hostname=self.host)


def connect(target: CanaryTarget) -> http.client.HTTPConnection:
    url = urlsplit(target.url)
    name = url.hostname or ""
    if url.scheme == "https":
        return _Secure(name, url.port, target.address or name, trust(target.authorities))
    return http.client.HTTPConnection(target.address or name, url.port, timeout=_SECONDS)


def run_canary(runner: Runner, target: CanaryTarget, now: float) -> CanaryRun:
    """Log in, and write, read and delete a secret, through the public address of Infisical.

    A secret of an interrupted run is replaced. No text in the result is secret.
    """
    known = parse_variables(runner.text(CANARY_FILE) or "")
    # Hosts of a cluster share the login, so each has its own secret.
    key = f"PROBE_{re.sub('[^A-Z0-9]', '_', socket.gethostname().upper())}"
    seconds: dict[str, float] = {}
    doing = "logging in"
    try:
        login = {
            "clientId": known["INFISICAL_CLIENT_ID"],
            "clientSecret": known["INFISICAL_CLIENT_SECRET"],
        }
        place = {
            "projectId": known["INFISICAL_PROJECT_ID"],
            "environment": known["INFISICAL_ENVIRONMENT"],
            "secretPath": "/",
        }
        with closing(connect(target)) as connection:
            began = time.monotonic()

            def end(step: str) -> None:
                nonlocal began
                seconds[step], began = round(time.monotonic() - began, 3), time.monotonic()

            path = "/api/v1/auth/universal-auth/login"
            token = str(ask(connection, "POST", path, login)["accessToken"])
            end("login")
            doing = "writing a secret"
            stored = {"mode": "upsert", "secrets": [{"secretKey": key, "secretValue": _VALUE}]}
            ask(connection, "PATCH", "/api/v4/secrets/batch", {**place, **stored}, token)
            end("write")
            doing = "reading the secret"
            path = f"/api/v4/secrets/{key}"
            read = ask(connection, "GET", f"{path}?{urlencode(place)}", None, token)
            if read["secret"]["secretValue"] != _VALUE:
                return CanaryRun(now, seconds, f"{doing} fails: it has another value")
            end("read")
            doing = "deleting the secret"
            ask(connection, "DELETE", path, place, token)
            end("delete")
    except KeyError:
        if not known:
            return CanaryRun(now, {}, "its login is not on the host")
        return CanaryRun(now, seconds, f"{doing} fails: another answer than expected")
    except HTTPError as refused:
        return CanaryRun(now, seconds, f"{doing} fails: HTTP {refused.code}")
    except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
        return CanaryRun(now, seconds, f"{doing} fails: {name_failure(error)}")
    return CanaryRun(now, seconds)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    token: str = "",
) -> Any:
    """Return the JSON of an answer. Raises HTTPError for another status than 200."""
    headers = {"User-Agent": "infisical-iac", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    found = answer.read()
    if answer.status != 200:
        raise HTTPError(path, answer.status, answer.reason, answer.headers, None)
    return json.loads(found)
