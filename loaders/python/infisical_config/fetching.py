"""Log in and list secrets by the official SDK, and translate its failures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from infisical_sdk import InfisicalError, InfisicalSDKClient  # type: ignore[import-untyped]
from infisical_sdk.infisical_requests import APIError  # type: ignore[import-untyped]

from .deadline import outcome
from .merge import Answer, merge
from .retrying import PatientAdapter, Unchanged
from .route import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bootstrap import Bootstrap
    from .errors import Code

# The SDK raises these for an answer of an unexpected shape.
_UNEXPECTED = (InfisicalError, AttributeError, KeyError, RecursionError, TypeError, ValueError)

# The server's names for a token that is good, and an identity that may not read the folder.
_DENIED = ("PermissionDenied", "ProjectMembershipNotFound")


class TokenEnded(Exception):
    """The list was refused because of the token; a new login may help."""


class Reader:
    """Reads the secrets of one place, any number of times."""

    def __init__(self, place: Bootstrap) -> None:
        self._place = place
        self._route = Route.to(place.address)
        self._session = _Session(place, self._route)

    def read(self, timeout: float) -> dict[str, str]:
        """Return the current secrets; the same mapping as before if the server says so.

        Raises ConfigError, after at most `timeout` seconds.
        """
        session = self._session
        session.transport.allow(timeout)
        result = outcome(session.read, timeout)
        if result is None:
            # The abandoned call still uses the old one.
            self._session = _Session(self._place, self._route)
            raise session.transport.late()
        return result()

    @property
    def is_refused(self) -> bool:
        """Return whether the server refused the credential."""
        return self._session.is_refused

    def close(self) -> None:
        """Close the connection."""
        self._session.sdk.api.session.close()


class _Session:
    """A client of the SDK, logged in for as long as the server allows, and its last answer."""

    def __init__(self, place: Bootstrap, route: Route) -> None:
        self.sdk = InfisicalSDKClient(host=place.address, cache_ttl=None)
        self.transport = PatientAdapter(place, route)
        self._place = place
        self._logged_in = self.is_refused = False
        self._secrets: dict[str, str] = {}
        http = self.sdk.api.session
        http.trust_env = False  # a .netrc must not replace the token
        http.proxies, http.verify = dict(route.proxies), route.verify
        http.mount("http://", self.transport)
        http.mount("https://", self.transport)

    def read(self) -> dict[str, str]:
        if self._logged_in:
            with suppress(TokenEnded):
                return self._list()
        self._login()
        with suppress(TokenEnded):
            return self._list()
        raise self._place.error("forbidden")

    def _login(self) -> None:
        place, login = self._place, self.sdk.auth.universal_auth.login
        _call_sdk(place, self._login_failure, login, place.client_id, place.client_secret)
        self._logged_in = True

    def _login_failure(self, error: APIError) -> Code:
        code = _login_failure(error)
        self.is_refused = code == "refused" and error.status_code == 401
        return code

    def _list(self) -> dict[str, str]:
        place = self._place
        try:
            found = _call_sdk(
                place,
                _list_failure,
                self.sdk.secrets.list_secrets,
                project_id=place.project,
                environment_slug=place.environment,
                secret_path=place.folder,
                expand_secret_references=False,
                include_imports=True,
            )
        except Unchanged:
            return self._secrets
        self._secrets = _call_sdk(place, _list_failure, _merge, found, place)
        self.transport.known = self.transport.seen
        return self._secrets


def _merge(found: Any, place: Bootstrap) -> dict[str, str]:
    # The SDK makes objects only of the folder's own secrets.
    own = [vars(each) for each in found.secrets]
    return merge(Answer(own, [each.secrets for each in found.imports]), place)


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
