"""Decide by labels what belongs to a deployment, and hold every changing request to that.

A deployment is what one clone of the project makes, named by the setting `server_name`. All that
it makes carries two labels: `managed-by=infisical-iac` and `infisical-iac-deployment=<name>`. What
versions before this one made carries the first alone: it has to be adopted before it is changed.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from infisical_iac.hetzner.failures import HetznerError

Labels = Mapping[str, str] | None

MANAGED = {"managed-by": "infisical-iac"}
SELECTOR = "managed-by=infisical-iac"
DEPLOYMENT = "infisical-iac-deployment"
# Of which cluster a server is, by the name of its first, and as what: manager or worker.
CLUSTER = "infisical-iac-cluster"
ROLE = "role"
# Upon a server that is about to take another's place, and upon its addresses: the other's name.
REPLACES = "infisical-iac-replaces"

ADOPT = "infisical-iac server adopt"

# By the collection in a path of the API, what one of it is called.
KINDS = {
    "servers": "server",
    "volumes": "volume",
    "primary_ips": "primary IP",
    "firewalls": "firewall",
    "networks": "network",
    "load_balancers": "Load Balancer",
    "certificates": "certificate",
    "placement_groups": "placement group",
    "ssh_keys": "SSH key",
    "rrsets": "record",
    "zones": "zone",
}

_RESOURCE = re.compile(
    r"(/(?P<kind>[a-z_]+)/\d+|/zones/[^/]+/(?P<set>rrsets)/[^/]+/[^/]+)(/actions/[a-z_]+)?"
)
_COLLECTION = re.compile(r"/[a-z_]+|/zones/[^/]+/rrsets")


class Standing(Enum):
    """The owner of a resource, seen from a deployment."""

    OWN = "own"
    UNADOPTED = "unadopted"
    OTHER = "other"
    FOREIGN = "foreign"


def labels(deployment: str) -> dict[str, str]:
    """Return the labels of all that a deployment makes."""
    return {**MANAGED, DEPLOYMENT: deployment}


def selector(deployment: str, **more: str) -> str:
    """Return the selector of all that a deployment made, with further labels by name."""
    return ",".join(f"{name}={value}" for name, value in (labels(deployment) | more).items())


def assess(found: Labels, deployment: str | None) -> Standing:
    """Return whose a resource with the labels `found` is: the only place that decides it.

    What the version before made of a cluster carries the cluster's name, which was its
    deployment's.
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
    """Return whether a deployment made what carries these labels, and may change it."""
    return assess(found, deployment) is Standing.OWN


def is_unadopted(found: Labels) -> bool:
    """Return whether the version before made it, so that no label says for which deployment."""
    return MANAGED.items() <= (found or {}).items() and DEPLOYMENT not in (found or {})


def require(what: str, found: Labels, deployment: str | None) -> None:
    """Raise HetznerError for a resource that the deployment may not change.

    Args:
        what: kind and name, such as `server infisical`.
    """
    standing = assess(found, deployment)
    if standing is not Standing.OWN:
        raise HetznerError(_refusal(what, found or {}, deployment, standing))


def refuse_other(what: str, owner: str) -> HetznerError:
    """Return the error for what belongs to another deployment; `owner` is empty if unknown."""
    of = f"the deployment {owner}" if owner else "another deployment"
    return HetznerError(
        f"the {what} belongs to {of}, and is left alone: choose another server_name for one of "
        "the two"
    )


def _refusal(
    what: str, found: Mapping[str, str], deployment: str | None, standing: Standing
) -> str:
    if deployment is None:
        return f"the {what} is not to be changed: this command only looks"
    if standing is Standing.FOREIGN:
        return (
            f"the {what} is not one that infisical-iac made, and is left alone: rename it, choose "
            f"another server_name, or give it the labels {selector(deployment)} if it may be "
            "changed"
        )
    if standing is Standing.UNADOPTED:
        return (
            f"the {what} carries the label {SELECTOR}, and none that says of which deployment it "
            f"is: `{ADOPT}` shows what it takes over for {deployment}, and asks"
        )
    return str(refuse_other(what, found.get(DEPLOYMENT) or found.get(CLUSTER, "")))


class Send(Protocol):
    """A request to the API, as the library makes it."""

    def __call__(self, method: str, url: str, **kwargs: Any) -> dict[str, Any]: ...


class Gate:
    """Let requests that change something through only for what the deployment owns.

    It stands between the library and the network, so that no code of this project has another way:
    each changing request looks at the resource's labels first, and each creating one must bring
    the deployment's.

    Args:
        send: passes a request on.
        deployment: None to let through no change at all.
        adopts: whether what nobody has adopted may be labelled as this deployment's.
    """

    def __init__(self, send: Send, deployment: str | None, *, adopts: bool = False) -> None:
        self._send = send
        self._deployment = deployment
        self._adopts = adopts

    def request(self, method: str, url: str, **kwargs: Any) -> dict[str, Any]:
        """Pass a request on. Raises HetznerError for a change of what is not owned."""
        if method != "GET":
            self._check(method, url, kwargs.get("json") or {})
        return self._send(method, url, **kwargs)

    def _check(self, method: str, url: str, given: Mapping[str, Any]) -> None:
        if match := _RESOURCE.fullmatch(url):
            found = next(iter(self._send("GET", match[1]).values()))
            kind = match["kind"] or match["set"]
            what = f"{KINDS.get(kind, kind)} {found.get('name')}"
            if not (method == "PUT" and self._is_adoption(kind, found, given)):
                require(what, found.get("labels"), self._deployment)
        elif method == "POST" and _COLLECTION.fullmatch(url):
            what = f"{url.rpartition('/')[2]} {given.get('name')}"
        else:
            raise HetznerError(f"{method} {url} is nothing that infisical-iac does: nothing done")
        if "labels" in given or not match:
            require(what, given.get("labels"), self._deployment)

    def _is_adoption(self, kind: str, found: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        if not self._adopts or not given.keys() <= {"labels", "name"}:
            return False
        if assess(found.get("labels"), self._deployment) is Standing.UNADOPTED:
            return "name" not in given
        return kind == "primary_ips" and self._is_temporary(found)

    def _is_temporary(self, address: Mapping[str, Any]) -> bool:
        """Return whether an address came into being, and goes, with a server of this deployment."""
        if not (address.get("auto_delete") and address.get("assignee_id")):
            return False
        server = self._send("GET", f"/servers/{address['assignee_id']}")["server"]
        ours = (Standing.OWN, Standing.UNADOPTED)
        return not address.get("labels") and assess(server["labels"], self._deployment) in ours
