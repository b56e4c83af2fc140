"""Log in and list secrets by Infisical's HTTP API, and translate its refusals."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from . import platform_token
from .deadline import outcomes
from .errors import TRY_AGAIN_LATER, ConfigError
from .merge import Answer, merge
from .person import foreign_refusal, is_locked, is_route_missing, is_session_gone, parse
from .retrying import PatientClient
from .route import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from .bootstrap import Bootstrap
    from .errors import Code
    from .refusals import Refusals
    from .retrying import Received

_LOGIN = "/api/v1/auth/universal-auth/login"
_TOKEN_LOGIN = "/api/v1/auth/oidc-auth/login"
# The fraction of its lifetime after which an access token from a login by tokens is renewed.
_RENEWED_AFTER = 0.8
_HEADERS = {"Accept": "application/json", "User-Agent": "infisical-config"}

# The server's error names if the token is valid, but its identity may not read the folder.
_DENIED = ("PermissionDenied", "ProjectMembershipNotFound")


class _ListRequest(NamedTuple):
    """The request for a list of secrets, with its names of parameters."""

    path: str
    project: str
    imports: str


_V4 = _ListRequest("/api/v4/secrets", "projectId", "includeImports")
_V3 = _ListRequest("/api/v3/secrets/raw", "workspaceId", "include_imports")


class Reader:
    """A reader of the secrets of one place, for any number of reads.

    Attributes:
        request: the newest request for lists that the server has.
        is_forgotten: whether the server refused the credential, and no file could note that.
        _folders: the service's own folder, then those of other projects.
    """

    def __init__(self, place: Bootstrap, refusals: Refusals, folder: type[Folder]) -> None:
        self._place = place
        self._refusals = refusals
        self._folder = folder
        self.is_forgotten = False
        self._route = Route.to(place.address)
        self._end = 0.0
        self.request = _V4
        self._connect()

    def _connect(self) -> None:
        self._folders = [self._folder(each, self._route, self) for each in self._place.places()]
        self._logged_in = bool(self._place.person)
        self._secrets: dict[str, str] = {}

    def read(self, timeout: float) -> dict[str, str]:
        """Return the current secrets; the same mapping as before if the server says so.

        Lists are requested in parallel, after a login if one is needed.

        Raises ConfigError, after at most `timeout` seconds.
        """
        self._end = time.monotonic() + timeout
        folders = self._folders
        for each in folders:
            each.client.allow(timeout)
        if self._logged_in and time.monotonic() < self._folders[0].renews_at:
            self._run({each: each.list for each in folders})
            folders = [each for each in folders if each.is_token_ended]
        if folders:
            self._log_in()
            self._run({each: each.list_with_new_token for each in folders})
        return self._accept()

    def _log_in(self) -> None:
        own, *others = self._folders
        with self._alone():
            try:
                self._run({own: own.log_in})
            except ConfigError:
                if own.is_refused:
                    self.is_forgotten = not self._refusals.add()
                raise
        for each in others:
            each.token = own.token
        self._logged_in = True

    def _alone(self) -> AbstractContextManager[None]:
        """Keep replicas from logging in with the same client secret at the same time."""
        place = self._place
        if place.person or place.platform:
            return nullcontext()
        return self._refusals.alone(self._end - time.monotonic())

    def _run(self, calls: Mapping[Folder, Callable[[], None]]) -> None:
        """Run calls in parallel, and wait for them.

        Raises ConfigError if one fails. Of several failures, it raises one that a later try can't
        mend, so that a cache does not hide it.
        """
        for folder in calls:
            folder.client.forget_status()
        ended = outcomes(list(calls.values()), self._end - time.monotonic())
        if None in ended:
            self._connect()  # the abandoned calls still use the old clients
        errors = []
        for folder, outcome in zip(calls, ended, strict=True):
            try:
                if outcome is None:
                    raise folder.client.late()
                outcome()
            except ConfigError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda each: each.exit_code == TRY_AGAIN_LATER)

    def _accept(self) -> dict[str, str]:
        if all(each.is_unchanged for each in self._folders):
            return self._secrets
        answers = [each.answer for each in self._folders]
        self._secrets = merge(answers, self._place)
        # Answers are accepted only after the whole read has succeeded. Otherwise the next read
        # would find them unchanged, although no change was reported.
        for each in self._folders:
            each.keep()
        return self._secrets

    def close(self) -> None:
        """Close the connections."""
        for each in self._folders:
            each.client.close()


class Folder:
    """A folder in a project, with a connection of its own.

    Attributes:
        answer: the last list received.
        token: the token of the last login.
        is_unchanged: whether the server said last that the accepted list still counts.
        is_token_ended: whether the last list was refused because of the token.
        is_refused: whether the server refused the credential.
        renews_at: when a login by tokens is renewed, by the monotonic clock.
    """

    def __init__(self, place: Bootstrap, route: Route, reader: Reader) -> None:
        self.client = PatientClient(place, route)
        self.answer = self._kept = Answer([], [])
        self.token = place.person.token if place.person else ""
        self.is_unchanged = self.is_token_ended = self.is_refused = False
        self.renews_at = inf
        self._etag = self._kept_etag = ""
        self._place = place
        self._reader = reader

    def log_in(self) -> None:
        """Get a token; raises ConfigError."""
        place = self._place
        if place.person:
            place.person.renew(self.client)
            self.token = place.person.token
            return
        reply = self.request_login()
        body = self._read(reply)
        is_unknown = reply.status == 404 and not is_route_missing(reply.status, body)
        if place.platform and (reply.status in (400, 401, 403, 422) or is_unknown):
            # The refusal is not noted, as the platform gives another token the next time.
            raise place.error("refused", reason=platform_token.reason(body))
        if reply.status != 200:
            code = _login_failure(reply.status, body)
            self.is_refused = code == "refused" and reply.status == 401
            raise place.error(code)
        token = body.get("accessToken")
        if not isinstance(token, str) or not token:
            raise place.error("not_infisical")
        self.token = token
        lifetime = body.get("expiresIn")
        if place.platform and isinstance(lifetime, int) and lifetime > 0:
            self.renews_at = time.monotonic() + lifetime * _RENEWED_AFTER

    def request_login(self) -> Received:
        """Return the answer to a login; raises ConfigError if there is no usable one."""
        path, credential = self._credential()
        headers = {**_HEADERS, "Content-Type": "application/json"}
        body, by_token = json.dumps(credential).encode(), self._place.platform is not None
        return self.client.send("POST", path, headers, body, by_token=by_token)

    def _credential(self) -> tuple[str, dict[str, str]]:
        """Return the path and body of the login; raises ConfigError."""
        place = self._place
        if place.platform is None:
            return _LOGIN, {"clientId": place.client_id, "clientSecret": place.client_secret}
        jwt = platform_token.fetch(place.platform, place, self.client.seconds_left())
        return _TOKEN_LOGIN, {"identityId": place.client_id, "jwt": jwt}

    def list_with_new_token(self) -> None:
        """Request the secrets after a login; raises ConfigError."""
        self.list()
        if self.is_token_ended:
            raise self._place.error("forbidden")

    def list(self) -> None:
        """Request the secrets, unless the accepted list still counts; raises ConfigError."""
        self.is_unchanged = self.is_token_ended = False
        reply = self.request_list()
        body = self._read(reply)
        if reply.status == 304 and self._kept_etag:
            self.answer, self.is_unchanged = self._kept, True
        elif self._place.person and is_locked(reply.status, body):
            raise self._place.error("locked")
        elif self._is_of_token(reply.status, body):
            self.is_token_ended = True
        elif reply.status != 200:
            raise self._place.error(_list_failure(reply.status))
        else:
            answer = _answer(body)
            if answer is None:
                raise self._place.error("not_infisical")
            self.answer, self._etag = answer, reply.headers.get("ETag", "")

    def _read(self, reply: Received) -> Mapping[str, Any]:
        """Return the body of an answer; raises ConfigError for one in place of Infisical's."""
        body = parse(reply.body)
        if code := foreign_refusal(reply.status, body):
            raise self._place.error(code, status=reply.status)
        return body

    def _is_of_token(self, status: int, body: Mapping[str, Any]) -> bool:
        """Return whether a list was refused because of the token, so that a new one may help."""
        if self._place.person and is_session_gone(status, body):
            return True
        return status in (401, 403) and body.get("error") not in _DENIED

    def request_list(self) -> Received:
        """Return the answer to a list; raises ConfigError if there is no usable one."""
        return self._request(self._reader.request)

    def _request(self, request: _ListRequest) -> Received:
        """Send a request, or the older one if the server does not have its route."""
        place = self._place
        query = {
            request.project: place.project,
            "environment": place.environment,
            "secretPath": place.folder,
            "viewSecretValue": "true",
            "expandSecretReferences": "false",
            "recursive": "false",
            request.imports: "true",
        }
        headers = {**_HEADERS, "Authorization": f"Bearer {self.token}"}
        if self._kept_etag:
            headers["If-None-Match"] = self._kept_etag
        path = f"{request.path}?{urlencode(query, errors='surrogateescape')}"
        reply = self.client.send("GET", path, headers)
        if request is not _V4 or not is_route_missing(reply.status, parse(reply.body)):
            return reply
        self._reader.request = _V3
        return self._request(_V3)

    def keep(self) -> None:
        """Accept the last answer."""
        if not self.is_unchanged:
            self._kept, self._kept_etag = self.answer, self._etag


def _answer(body: Mapping[str, Any]) -> Answer | None:
    """Return the secrets of a list; None if it is none."""
    own: Any = body.get("secrets")
    imports = body.get("imports", [])
    if not isinstance(imports, list):
        return None
    groups: list[Any] = [
        each.get("secrets") if isinstance(each, dict) else None for each in imports
    ]
    return Answer(own, groups) if all(map(_is_list, (own, *groups))) else None


def _is_list(secrets: Any) -> bool:
    return isinstance(secrets, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("secretKey"), str)
        and (isinstance(each.get("secretValue"), str) or each.get("secretValueHidden") is True)
        for each in secrets
    )


def _login_failure(status: int, body: Mapping[str, Any]) -> Code:
    if status not in (400, 401, 403, 422):
        return "not_infisical"
    return "locked" if "temporarily locked" in str(body.get("message")) else "refused"


def _list_failure(status: int) -> Code:
    if status in (401, 403):
        return "forbidden"
    return "not_found" if status in (400, 404, 422) else "not_infisical"
