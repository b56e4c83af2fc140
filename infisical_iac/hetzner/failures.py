"""What Hetzner Cloud's API answers when it can't do what was asked, in words for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from hcloud import APIException
from hcloud.actions import ActionFailedException, ActionTimeoutException

from infisical_iac.errors import UserError

# By the code of an error, what to do: https://docs.hetzner.cloud/reference/cloud#errors
_REMEDIES = {
    "unauthorized": "HCLOUD_TOKEN is no valid token: make one in the console, under Security",
    "forbidden": "the token may not do this: make one that may read and write",
    "token_readonly": "the token may only read: make one that may read and write",
    "rate_limit_exceeded": "the project has used up its requests of this hour: wait, and run again",
    "resource_limit_exceeded": "the project's limit is reached: ask for more in the console",
    "uniqueness_error": "another of this name is there: run again, and it is looked at",
    "protected": "it is protected: lift the protection in the console, if you mean it",
    "placement_error": "there is no room in the placement group: run again later, or leave it out",
    "resource_unavailable": "it is sold out there: choose another server_type or server_location",
    "locked": "another action is at work on it: run again when it has ended",
    "conflict": "it was changed at the same time: run again",
    "maintenance": "Hetzner Cloud is under maintenance: run again later",
    "service_error": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
    "server_error": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
    "unavailable": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
}


class HetznerError(UserError):
    """Something at Hetzner Cloud can't be had, or not be worked with."""


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Raise what the API and the way to it can raise as a HetznerError: `could not <doing>: …`."""
    try:
        yield
    except APIException as error:
        raise HetznerError(f"could not {doing}: {_answered(error)}") from None
    except ActionFailedException as error:
        what = error.action.error or {"message": error.message}
        raise HetznerError(
            f"could not {doing}: Hetzner Cloud began and failed ({what['message']}): run again"
        ) from None
    except ActionTimeoutException as error:
        raise HetznerError(
            f"could not {doing}: {error.action.command} has not ended in time; it goes on, so run "
            "again in a while"
        ) from None
    except OSError as error:  # what requests raises is one
        raise HetznerError(
            f"could not {doing}: the API of Hetzner Cloud can't be reached "
            f"({type(error).__name__}): check the network, and run again"
        ) from None


def _answered(error: APIException) -> str:
    remedy = _REMEDIES.get(str(error.code))
    if remedy:
        return remedy
    if isinstance(error.code, int):
        return f"the API answers with status {error.code}: run again later"
    return f"{error.message} ({error.code})"
