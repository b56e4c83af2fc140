"""Read every secret of an Infisical next to the live one, to show that they can be decrypted."""

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from infisical_iac.agent.runner import Failure, Runner

_ROOT = "/etc/infisical"
_SECONDS = 300
# The secret that every deploy writes (workspace/canary.py).
CANARY_PROJECT, CANARY_ENVIRONMENT, CANARY_SECRET, CANARY_VALUE = (
    *("infisical-iac-canary", "prod"),
    *("CANARY", "alive"),
)
_FORBIDDEN, _MISSING = 403, 404


@dataclass(frozen=True)
class DecryptedContents:
    """The contents that could be read.

    Attributes:
        login: `deployer`, or `administrator` if the deployer could not log in.
        canary: `alive`, or `none` if the login sees no canary.
        folders, secrets: how many were read.
    """

    login: str = ""
    canary: str = ""
    folders: int = 0
    secrets: int = 0


@dataclass(frozen=True)
class _Answer:
    """An answer of the server: its status, 0 without one, and its JSON, empty if it has none."""

    status: int = 0
    content: Any = field(default_factory=dict, repr=False)

    @property
    def refusal(self) -> str:
        """The status and message of a refused request; empty for one that was answered."""
        if self.status == 200:
            return ""
        found = self.content if isinstance(self.content, dict) else {}
        return f"{self.status} {found.get('message') or 'no answer'}"


@dataclass(frozen=True)
class _Client:
    url: str
    token: str = field(default="", repr=False)

    def ask(
        self, path: str, query: Mapping[str, str] = {}, body: Mapping[str, str] | None = None
    ) -> _Answer:
        """Send a GET, or a POST if there is a body, and return the answer."""
        headers = {"User-Agent": "infisical-iac", "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        address = f"{self.url}{path}{'?' if query else ''}{urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        opener = build_opener(ProxyHandler({}))  # it is on this host
        try:
            with opener.open(Request(address, data, headers), timeout=_SECONDS) as answer:
                return _Answer(answer.status, json.load(answer))
        except HTTPError as error:
            return _Answer(error.code, _read(error))
        except (OSError, ValueError, http.client.HTTPException):
            return _Answer()


def _read(error: HTTPError) -> Any:
    try:
        return json.load(error)
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def _fail(message: str) -> RuntimeError:
    return RuntimeError(Failure("command", message))


def decrypt_contents(runner: Runner, url: str) -> DecryptedContents:
    """Read all secrets that the login of this host may read, and the canary.

    The canary shows that decrypting works even if there is no other secret. Raises RuntimeError
    with a Failure that names what can't be read; it has no secret.
    """
    login, client = _log_in(runner, url)
    listed = client.ask("/api/v1/projects")
    if listed.refusal:
        raise _fail(f"the projects can't be listed: {listed.refusal}")
    projects = listed.content["projects"]
    (canary, *_) = [*(_read_canary(client, each) for each in projects if _is_canary(each)), "none"]
    counts = [count for each in projects for count in _read_project(client, each)]
    return DecryptedContents(login, canary, len(counts), sum(counts))


def _log_in(runner: Runner, url: str) -> tuple[str, _Client]:
    refusal = "there is no login"
    for login, log_in in (("deployer", _as_deployer), ("administrator", _as_administrator)):
        try:
            answer, name = log_in(runner, _Client(url))
        except KeyError:
            refusal = f"{_ROOT} lacks the login of the {login}"
            continue
        if not answer.refusal:
            return login, _Client(url, str(answer.content[name]))
        refusal = answer.refusal
    message = f"neither the deployer nor the administrator of {_ROOT} can log in: {refusal}"
    raise _fail(message)


def _read_login(runner: Runner, name: str) -> dict[str, str]:
    text = runner.text(f"{_ROOT}/{name}") or ""
    return dict(re.findall("(?m)^([A-Z_]+)=(.*)$", text))


def _as_deployer(runner: Runner, client: _Client) -> tuple[_Answer, str]:
    """Log in; return the answer, and the name of its token. Raises KeyError without a login."""
    found = _read_login(runner, "deployer.env")
    login = {
        "clientId": found["INFISICAL_CLIENT_ID"],
        "clientSecret": found["INFISICAL_CLIENT_SECRET"],
    }
    return client.ask("/api/v1/auth/universal-auth/login", body=login), "accessToken"


def _as_administrator(runner: Runner, client: _Client) -> tuple[_Answer, str]:
    """Log in as `_as_deployer` does."""
    found = _read_login(runner, "admin.env")
    login = {
        "email": found["INFISICAL_ADMIN_EMAIL"],
        "password": found["INFISICAL_ADMIN_PASSWORD"],
    }
    answer = client.ask("/api/v3/auth/login", body=login)
    if answer.refusal:
        return answer, ""
    client = _Client(client.url, str(answer.content["accessToken"]))
    answer = client.ask("/api/v1/organization")
    if answer.refusal:
        return answer, ""
    body = {"organizationId": answer.content["organizations"][0]["id"]}
    return client.ask("/api/v3/auth/select-organization", body=body), "token"


def _is_canary(project: Mapping[str, Any]) -> bool:
    return bool(project["slug"] == CANARY_PROJECT)


def _read_canary(client: _Client, project: Mapping[str, Any]) -> str:
    place = {
        "projectId": project["id"],
        "environment": CANARY_ENVIRONMENT,
        "secretPath": "/",
    }
    answer = client.ask(f"/api/v4/secrets/{CANARY_SECRET}", place)
    if answer.status == _MISSING:
        return "none"
    if answer.refusal:
        raise _fail(f"the canary can't be read: {answer.refusal}")
    if answer.content["secret"]["secretValue"] != CANARY_VALUE:
        raise _fail("the canary was altered: its text is not the one that every deploy writes")
    return "alive"


def _read_project(client: _Client, project: Mapping[str, Any]) -> Iterator[int]:
    """Yield the number of secrets in each folder of a project that the login may read."""
    for environment in (each["slug"] for each in project["environments"]):
        place = {"projectId": project["id"], "environment": environment}
        answer = client.ask("/api/v2/folders", {**place, "path": "/", "recursive": "true"})
        if answer.status == _FORBIDDEN:
            continue
        if answer.refusal:
            where = f"{environment} in {project['slug']}"
            raise _fail(f"the folders of {where} can't be listed: {answer.refusal}")
        for path in ("/", *(each["relativePath"] for each in answer.content["folders"])):
            where = f"{path} in {environment} of {project['slug']}"
            count = _count_secrets(client, {**place, "secretPath": path}, where)
            if count is not None:
                yield count


def _count_secrets(client: _Client, place: Mapping[str, str], where: str) -> int | None:
    """Decrypt all secrets of a folder, and return their number; None if it may not be read."""
    options = {
        "viewSecretValue": "true",
        "expandSecretReferences": "false",
        "includeImports": "false",
    }
    answer = client.ask("/api/v4/secrets", {**place, **options})
    if answer.status == _FORBIDDEN:
        return None
    if answer.refusal:
        raise _fail(f"the secrets of {where} can't be read: {answer.refusal}")
    return sum(not each.get("secretValueHidden") for each in answer.content["secrets"])
