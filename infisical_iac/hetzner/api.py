"""The client of Hetzner Cloud's API, as the environment says."""

import os
from collections.abc import Iterable

from hcloud import Client
from hcloud.actions import BoundAction

from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.ownership import Gate

TOKEN = "HCLOUD_TOKEN"
# The library's own command line has the same name for it.
ENDPOINT = "HCLOUD_ENDPOINT"
_ENDPOINT = "https://api.hetzner.cloud/v1"
_SECONDS = 30.0
# An action is asked for every second at most, and for ten minutes: copying an image can be slow.
_POLLS = 600


def client(deployment: str | None = None, *, adopts: bool = False) -> Client:
    """Return a client with the token in HCLOUD_TOKEN. Raises HetznerError where there is none.

    Args:
        deployment: whose resources it may change; None for a client that only looks.
        adopts: whether it may label what carries no deployment's name as this one's.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise HetznerError(
            f"{TOKEN} is not set: make an API token that may read and write in the console, under "
            "Security, and set it"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise HetznerError(f"{TOKEN} has blanks or other characters that no token has: set it anew")
    made = Client(
        token=token,
        api_endpoint=os.environ.get(ENDPOINT, "").rstrip("/") or _ENDPOINT,
        application_name="infisical-iac",
        poll_interval=1.0,
        poll_max_retries=_POLLS,
        timeout=_SECONDS,
    )
    # Of all clients of resources it is the one that sends.
    base = made._client
    base.request = Gate(base.request, deployment, adopts=adopts).request  # type: ignore[method-assign]
    return made


def ended(*actions: BoundAction | None, then: Iterable[BoundAction] = ()) -> None:
    """Wait until all actions have ended well."""
    for action in (*actions, *then):
        if action is not None and action.status != action.STATUS_SUCCESS:
            action.wait_until_finished()
