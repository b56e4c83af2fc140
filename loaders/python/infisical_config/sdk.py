"""Ask Infisical through its own SDK, an optional package."""

from __future__ import annotations

import json
import time
from email.message import Message
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .bootstrap import is_loopback
from .errors import ConfigError
from .fetching import Folder
from .retrying import ATTEMPTS, Received, pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bootstrap import Bootstrap
    from .errors import Code

_STATUS = "/api/status"


def check(place: Bootstrap) -> None:
    """Refuse what the SDK can't do; raises ConfigError `not_configured`."""
    if place.person or place.platform:
        raise ConfigError(
            "not_configured",
            "infisicalsdk is given a client id and secret only: leave out the option client",
        )
    _import()


def _import() -> Any:
    try:
        return import_module("infisical_sdk")
    except ModuleNotFoundError:
        message = (
            "infisicalsdk is not installed: install infisical-config[sdk], or leave out the option"
            " client"
        )
        raise ConfigError("not_configured", message) from None


class SdkFolder(Folder):
    """A folder that is read through the SDK."""

    def request_login(self) -> Received:
        """Return the answer to a login, after a request without a secret.

        The first request finds redirects, untrusted certificates and unreachable servers. The SDK
        would follow a redirect with the secret, and report the others later and with less detail.
        """
        place = self._place
        self.client.send("GET", _STATUS, {"Accept": "application/json"})
        login = self._connect().auth.universal_auth.login
        return self._ask(lambda: login(place.client_id, place.client_secret))

    def request_list(self) -> Received:
        """Return the answer to a list."""
        place = self._place
        lists = self._connect(self.token).secrets
        return self._ask(
            lambda: lists.list_secrets(
                project_id=place.project,
                environment_slug=place.environment,
                secret_path=place.folder,
                view_secret_value=True,
                expand_secret_references=False,
                include_imports=True,
                recursive=False,
            )
        )

    def _connect(self, token: str | None = None) -> Any:
        """Return a client of the SDK, which follows no redirect and keeps nothing."""
        client = _import().InfisicalSDKClient(self._place.address, token, cache_ttl=None)
        session = client.api.session
        session.max_redirects = 0
        session.auth = lambda request: request  # else one of ~/.netrc would replace the token
        if is_loopback(self._place.address):
            session.trust_env = False  # a proxy would see the client secret
        session.send = partial(self._send, session.send)
        return client

    def _send(self, send: Callable[..., Any], request: object, **options: object) -> Any:
        """Send a request of the SDK, which has no deadline; raises ConfigError after ours."""
        left = self.client.seconds_left()
        if left <= 0:
            raise self.client.late()
        return send(request, **{**options, "timeout": left})

    def _ask(self, call: Callable[[], Any]) -> Received:
        """Return the answer to a call, which is repeated after 429 and errors of the server.

        The SDK itself repeats only requests that failed in the network. Raises ConfigError.
        """
        for attempt in range(ATTEMPTS):
            received = self._once(call)
            is_final = received.status < 500 and received.status != 429
            wait = pause(attempt, None)
            if is_final or attempt + 1 == ATTEMPTS or wait >= self.client.seconds_left():
                break
            time.sleep(wait)
        if received.status == 429:
            raise self._place.error("rate_limited")
        if received.status >= 500:
            raise self._place.error("server", status=received.status)
        return received

    def _once(self, call: Callable[[], Any]) -> Received:
        errors = _import()
        try:
            return _make_received(200, call().to_dict())
        except ConfigError:
            raise
        except errors.infisical_requests.APIError as error:
            return _make_received(error.status_code, error.response)
        except import_module("requests").TooManyRedirects:
            code: Code = "not_infisical"
        except OSError:  # the base class of the errors of requests
            code = "unreachable"
        except Exception:  # its models fail in many ways on an answer that is not Infisical's
            code = "not_infisical"
        # Not raised in the handlers: as the context, the failure would quote values.
        raise self._place.error(code)


def _make_received(status: int, body: object) -> Received:
    return Received(status, Message(), json.dumps(body).encode())
