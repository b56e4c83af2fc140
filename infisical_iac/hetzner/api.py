"""Connect to Hetzner Cloud's API, and guard resources that the deployment does not own.

A deployment is what one clone of the project creates, named by the setting `server_name`. Its
resources carry two labels: `managed-by=infisical-iac` and `infisical-iac-deployment=<name>`.
Resources of earlier versions carry only the first and have to be adopted before they are changed.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Protocol

from hcloud import APIException, Client
from hcloud.actions import ActionFailedException, ActionTimeoutException, BoundAction

from infisical_iac.core.errors import Refused, RunFailed, Unreachable, UserError

Labels = Mapping[str, str] | None

TOKEN = "HCLOUD_TOKEN"
# The variable with the API's address; Hetzner's own command line uses the same name.
ENDPOINT = "HCLOUD_ENDPOINT"
_ENDPOINT = "https://api.hetzner.cloud/v1"
_SECONDS = 30.0
# An action is polled every second, for ten minutes at most: copying an image can be slow.
_POLLS = 600

MANAGED = {"managed-by": "infisical-iac"}
SELECTOR = "managed-by=infisical-iac"
DEPLOYMENT = "infisical-iac-deployment"
# The cluster of a server, by the name of its first server, and its role: manager or worker.
CLUSTER = "infisical-iac-cluster"
ROLE = "role"
# On a server that replaces another one, and on its addresses: the name of the other one.
REPLACES = "infisical-iac-replaces"

ADOPT = "infisical-iac server adopt"

# The remedy for each error code: https://docs.hetzner.cloud/reference/cloud#errors
_REMEDIES = {
    "unauthorized": "HCLOUD_TOKEN is not a valid token: make one in the console, under Security",
    "forbidden": "the token may not do this: make one that may read and write",
    "token_readonly": "the token may only read: make one that may read and write",
    "rate_limit_exceeded": "the project has used up its requests of this hour: wait, and run again",
    "resource_limit_exceeded": "the project's limit is reached: ask for more in the console",
    "uniqueness_error": "another resource of this name exists: run again, and it is found",
    "protected": "it is protected: lift the protection in the console, if that is intended",
    "placement_error": "there is no room in the placement group: run again later, or leave "
    "server_placement_group empty",
    "resource_unavailable": "it is sold out there: choose another server_type or server_location",
    "locked": "another action is running on it: run again when it has ended",
    "conflict": "it was changed at the same time: run again",
    "maintenance": "Hetzner Cloud is under maintenance: run again later",
    "service_error": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
    "server_error": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
    "unavailable": "Hetzner Cloud has trouble: run again later, see status.hetzner.com",
}
# Titles of the collections whose singular would be unclear.
_TITLES = {
    "primary_ips": "primary IP",
    "load_balancers": "Load Balancer",
    "ssh_keys": "SSH key",
    "rrsets": "record",
}
_RESOURCE = re.compile(
    r"(/(?P<kind>[a-z_]+)/\d+|/zones/[^/]+/(?P<set>rrsets)/[^/]+/[^/]+)(/actions/[a-z_]+)?"
)
_COLLECTION = re.compile(r"/[a-z_]+|/zones/[^/]+/rrsets")


def connect(deployment: str | None = None, *, adopts: bool = False) -> Client:
    """Return a client with the token in HCLOUD_TOKEN. Raises UserError if there is none.

    Args:
        deployment: the deployment that it may change; None for a client that only reads.
        adopts: whether it may label resources without a deployment as this one's.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(
            f"{TOKEN} is not set: make an API token with read and write access in the console, "
            "under Security, and set it",
            code="error.token",
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UserError(
            f"{TOKEN} has spaces or other characters that no token has: set it again",
            code="error.token",
        )
    client = Client(
        token=token,
        api_endpoint=os.environ.get(ENDPOINT, "").rstrip("/") or _ENDPOINT,
        application_name="infisical-iac",
        poll_interval=1.0,
        poll_max_retries=_POLLS,
        timeout=_SECONDS,
    )
    # The clients of all resources send through this one.
    base = client._client
    guard = OwnershipGuard(base.request, deployment, adopts=adopts)
    base.request = guard.request  # type: ignore[method-assign]
    return client


def wait_for(*actions: BoundAction | None, then: Iterable[BoundAction] = ()) -> None:
    """Wait until all actions have succeeded."""
    for action in (*actions, *then):
        if action is not None and action.status != action.STATUS_SUCCESS:
            action.wait_until_finished()


@contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Raise errors of the API and of the network as a UserError: `could not <doing>: …`."""
    try:
        yield
    except APIException as error:
        raise UserError(f"could not {doing}: {_explain(error)}", code="error.hetzner") from None
    except ActionFailedException as error:
        what = error.action.error or {"message": error.message}
        raise RunFailed(
            f"could not {doing}: the action failed at Hetzner Cloud ({what['message']}): run again",
            code="run.hetzner",
        ) from None
    except ActionTimeoutException as error:
        raise RunFailed(
            f"could not {doing}: {error.action.command} has not ended in time and continues: run "
            "again later",
            code="run.hetzner_timeout",
        ) from None
    except OSError as error:  # the errors of requests are subclasses
        raise Unreachable(
            f"could not {doing}: the API of Hetzner Cloud can't be reached "
            f"({type(error).__name__}): check the network, and run again",
            code="unreachable.hetzner",
        ) from None


def _explain(error: APIException) -> str:
    remedy = _REMEDIES.get(str(error.code))
    if remedy:
        return remedy
    if isinstance(error.code, int):
        return f"the API answers with status {error.code}: run again later"
    return f"{error.message} ({error.code})"


class Standing(Enum):
    """The relation of a resource to a deployment, by its labels.

    A resource is the deployment's own, unadopted, another deployment's, or foreign.
    """

    OWN = "own"
    UNADOPTED = "unadopted"
    OTHER = "other"
    FOREIGN = "foreign"


def labels(deployment: str) -> dict[str, str]:
    """Return the labels of all resources of a deployment."""
    return {**MANAGED, DEPLOYMENT: deployment}


def selector(deployment: str, **more: str) -> str:
    """Return the selector of a deployment's resources, with further labels by name."""
    return ",".join(f"{name}={value}" for name, value in (labels(deployment) | more).items())


def title_of(collection: str) -> str:
    """Return the title in messages of one resource of a collection in the API's paths."""
    return _TITLES.get(collection) or collection.removesuffix("s").replace("_", " ")


def assess(found: Labels, deployment: str | None) -> Standing:
    """Return the standing of a resource, by its labels `found` only.

    A cluster's resource of an earlier version carries the cluster's name, which was the name of
    its deployment.
    """
    has = found or {}
    if not MANAGED.items() <= has.items():
        return Standing.FOREIGN
    if deployment is None:
        return Standing.OTHER
    if DEPLOYMENT in has:
        return Standing.OWN if has[DEPLOYMENT] == deployment else Standing.OTHER
    is_of_others = has.get(CLUSTER, deployment) != deployment
    return Standing.OTHER if is_of_others else Standing.UNADOPTED


def is_own(found: Labels, deployment: str) -> bool:
    """Return whether a resource with these labels belongs to a deployment, which may change it."""
    return assess(found, deployment) is Standing.OWN


def is_unadopted(found: Labels) -> bool:
    """Return whether a resource of an earlier version lacks the label with its deployment."""
    return MANAGED.items() <= (found or {}).items() and DEPLOYMENT not in (found or {})


def require_own(what: str, found: Labels, deployment: str | None) -> None:
    """Raise UserError for a resource that the deployment may not change.

    Args:
        what: kind and name, such as `server infisical`.
    """
    standing, has = assess(found, deployment), found or {}
    if standing is Standing.OWN:
        return
    if deployment is None:
        raise Refused(
            f"the {what} is not to be changed: this command is read-only", code="refused.read_only"
        )
    if standing is Standing.FOREIGN:
        raise Refused(
            f"the {what} was not made by infisical-iac, and stays unchanged: rename it, choose "
            f"another server_name, or give it the labels {selector(deployment)} if it may be "
            "changed",
            code="refused.foreign",
        )
    if standing is Standing.UNADOPTED:
        raise Refused(
            f"the {what} carries the label {SELECTOR}, but none that names its deployment: "
            f"`{ADOPT}` shows what it would adopt for {deployment}, and asks",
            code="refused.unadopted",
        )
    raise refuse_other(what, has.get(DEPLOYMENT) or has.get(CLUSTER, ""))


def refuse_other(what: str, owner: str) -> Refused:
    """Return the error for what belongs to another deployment; `owner` is empty if unknown."""
    of = f"the deployment {owner}" if owner else "another deployment"
    return Refused(
        f"the {what} belongs to {of}, and stays unchanged: choose another server_name for one of "
        "the two",
        code="refused.other_deployment",
    )


class SendRequest(Protocol):
    """A request to the API, as the library makes it."""

    def __call__(self, method: str, url: str, **kwargs: Any) -> dict[str, Any]: ...


class OwnershipGuard:
    """Refuse requests that change a resource which the deployment does not own.

    It is between the library and the network, so that no code of this project can bypass it.
    Before a changing request it reads the resource's labels; a creating request must contain the
    deployment's.

    Args:
        send: passes a request on.
        deployment: None to refuse all changes.
        adopts: whether unadopted resources may be labelled as this deployment's.
    """

    def __init__(self, send: SendRequest, deployment: str | None, *, adopts: bool = False) -> None:
        self._send = send
        self._deployment = deployment
        self._adopts = adopts

    def request(self, method: str, url: str, **kwargs: Any) -> dict[str, Any]:
        """Pass a request on. Raises UserError if it changes a resource that is not owned."""
        if method != "GET":
            self._check(method, url, kwargs.get("json") or {})
        return self._send(method, url, **kwargs)

    def _check(self, method: str, url: str, given: Mapping[str, Any]) -> None:
        if match := _RESOURCE.fullmatch(url):
            found = next(iter(self._send("GET", match[1]).values()))
            kind = match["kind"] or match["set"]
            what = f"{title_of(kind)} {found.get('name')}"
            if not (method == "PUT" and self._is_adoption(kind, found, given)):
                require_own(what, found.get("labels"), self._deployment)
        elif method == "POST" and _COLLECTION.fullmatch(url):
            what = f"{url.rpartition('/')[2]} {given.get('name')}"
        else:
            raise UserError(f"{method} {url} is not a request of infisical-iac: nothing was done")
        if "labels" in given or not match:
            require_own(what, given.get("labels"), self._deployment)

    def _is_adoption(self, kind: str, found: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        if not self._adopts or not given.keys() <= {"labels", "name"}:
            return False
        if assess(found.get("labels"), self._deployment) is Standing.UNADOPTED:
            return "name" not in given
        return kind == "primary_ips" and self._is_temporary(found)

    def _is_temporary(self, address: Mapping[str, Any]) -> bool:
        """Return whether an address is deleted with one of the deployment's servers."""
        if not (address.get("auto_delete") and address.get("assignee_id")):
            return False
        server = self._send("GET", f"/servers/{address['assignee_id']}")["server"]
        ours = (Standing.OWN, Standing.UNADOPTED)
        return not address.get("labels") and assess(server["labels"], self._deployment) in ours
