"""Log in and list secrets by the official SDK, and translate its failures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from infisical_sdk import InfisicalError, InfisicalSDKClient  # type: ignore[import-untyped]
from infisical_sdk.infisical_requests import APIError  # type: ignore[import-untyped]

from .deadline import outcomes
from .errors import TRY_AGAIN_LATER, ConfigError
from .merge import Answer, merge
from .retrying import PatientAdapter, Unchanged
from .route import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .bootstrap import Bootstrap
    from .errors import Code

# The SDK raises these for an answer of an unexpected shape.
_UNEXPECTED = (InfisicalError, AttributeError, KeyError, RecursionError, TypeError, ValueError)

# The server's names for a token that is good, and an identity that may not read the folder.
_DENIED = ("PermissionDenied", "ProjectMembershipNotFound")


class TokenEnded(Exception):
    """The list was refused because of the token; a new login may help."""


class Reader:
    """Reads the secrets of one place, any number of times.

    Attributes:
        _folders: the own one, then those of other projects.
    """

    def __init__(self, place: Bootstrap) -> None:
        self._place = place
        # One for each folder: a connection changes the TLS settings of its route.
        self._routes = [(each, Route.to(each.address)) for each in place.places()]
        self._end = 0.0
        self._connect()

    def _connect(self) -> None:
        self._folders = [_Folder(place, route) for place, route in self._routes]
        self._logged_in = False
        self._secrets: dict[str, str] = {}

    def read(self, timeout: float) -> dict[str, str]:
        """Return the current secrets; the same mapping as before if the server says so.

        Lists are requested side by side, after a login if one is needed.

        Raises ConfigError, after at most `timeout` seconds.
        """
        self._end = time.monotonic() + timeout
        folders = self._folders
        for each in folders:
            each.transport.allow(timeout)
        if self._logged_in:
            self._run({each: each.list for each in folders})
            folders = [each for each in folders if each.is_token_ended]
        if folders:
            self._log_in()
            self._run({each: each.list_with_new_token for each in folders})
        return self._accept()

    def _log_in(self) -> None:
        own, *others = self._folders
        self._run({own: own.log_in})
        for each in others:
            each.sdk.set_token(own.sdk.get_token())
        self._logged_in = True

    def _run(self, calls: Mapping[_Folder, Callable[[], None]]) -> None:
        """Wait for calls that run side by side.

        Raises ConfigError if one fails. Of several failures, one that a later try can't mend counts
        first, so that a cache does not hide it.
        """
        for folder in calls:
            folder.transport.forget_status()
        ended = outcomes(list(calls.values()), self._end - time.monotonic())
        if None in ended:
            self._connect()  # the abandoned calls still use the old clients
        errors = []
        for folder, outcome in zip(calls, ended, strict=True):
            try:
                if outcome is None:
                    raise folder.transport.late()
                outcome()
            except ConfigError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda each: each.exit_code == TRY_AGAIN_LATER)

    def _accept(self) -> dict[str, str]:
        if all(each.is_unchanged for each in self._folders):
            return self._secrets
        answers = [each.answer for each in self._folders]
        self._secrets = _call_sdk(self._place, _list_failure, merge, answers, self._place)
        # Only now: an answer of a read that failed as a whole has not been reported as a change.
        for each in self._folders:
            each.keep()
        return self._secrets

    @property
    def is_refused(self) -> bool:
        """Return whether the server refused the credential."""
        return self._folders[0].is_refused

    def close(self) -> None:
        """Close the connections."""
        for each in self._folders:
            each.sdk.api.session.close()


class _Folder:
    """A folder in a project, with a client of the SDK of its own, since none is safe in threads.

    Attributes:
        answer: the last list received.
        is_unchanged: whether the server said last that the accepted list still counts.
        is_token_ended: whether the last list was refused because of the token.
        is_refused: whether the server refused the credential.
    """

    def __init__(self, place: Bootstrap, route: Route) -> None:
        self.sdk = InfisicalSDKClient(host=place.address, cache_ttl=None)
        self.transport = PatientAdapter(place, route)
        self.answer = self._kept = Answer([], [])
        self.is_unchanged = self.is_token_ended = self.is_refused = False
        self._place = place
        http = self.sdk.api.session
        http.trust_env = False  # a .netrc must not replace the token
        http.proxies, http.verify = dict(route.proxies), route.verify
        http.mount("http://", self.transport)
        http.mount("https://", self.transport)

    def log_in(self) -> None:
        """Get a token; raises ConfigError."""
        place, login = self._place, self.sdk.auth.universal_auth.login
        _call_sdk(place, self._login_failure, login, place.client_id, place.client_secret)

    def _login_failure(self, error: APIError) -> Code:
        code = _login_failure(error)
        self.is_refused = code == "refused" and error.status_code == 401
        return code

    def list_with_new_token(self) -> None:
        """Request the secrets after a login; raises ConfigError."""
        self.list()
        if self.is_token_ended:
            raise self._place.error("forbidden")

    def list(self) -> None:
        """Request the secrets, unless the accepted list still counts; raises ConfigError."""
        self.is_unchanged = self.is_token_ended = False
        try:
            self.answer = _call_sdk(self._place, _list_failure, self._request)
        except Unchanged:
            if not self.transport.known:
                raise self._place.error("not_infisical") from None
            self.answer, self.is_unchanged = self._kept, True
        except TokenEnded:
            self.is_token_ended = True

    def _request(self) -> Answer:
        place = self._place
        found = self.sdk.secrets.list_secrets(
            project_id=place.project,
            environment_slug=place.environment,
            secret_path=place.folder,
            expand_secret_references=False,
            include_imports=True,
        )
        # The SDK makes objects only of the folder's own secrets.
        own = [vars(each) for each in found.secrets]
        return Answer(own, [each.secrets for each in found.imports])

    def keep(self) -> None:
        """Accept the last answer."""
        if not self.is_unchanged:
            self._kept, self.transport.known = self.answer, self.transport.seen


def _call_sdk(
    place: Bootstrap,
    meaning: Callable[[APIError], Code | None],
    call: Callable[..., Any],
    *args: Any,
    **options: Any,
) -> Any:
    """Return the result of a call.

    Raises ConfigError, or TokenEnded if the meaning of a failure is None. Neither contains the
    SDK's error, which may quote requests or answers.
    """
    code: Code | None
    try:
        return call(*args, **options)
    except APIError as error:
        code = meaning(error)
    except OSError:  # by requests, before anything was sent, as for an invalid address
        code = "unreachable"
    except _UNEXPECTED:
        code = "not_infisical"
    # Raised here, so that the SDK's error is not its context.
    raise place.error(code) if code else TokenEnded


def _login_failure(error: APIError) -> Code:
    if error.status_code not in (400, 401, 403, 422):
        return "not_infisical"
    return "locked" if "temporarily locked" in str(error) else "refused"


def _list_failure(error: APIError) -> Code | None:
    if error.status_code in (401, 403):
        return "forbidden" if error.response.get("error") in _DENIED else None
    return "not_found" if error.status_code in (400, 404, 422) else "not_infisical"
