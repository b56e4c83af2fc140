"""The base of all kinds of resources, and the deployment that they belong to.

Each kind is a class. It finds existing resources, yields the changes from the actual to the desired
state, returns prices, and yields deletions. `plan` walks all kinds in the order of their ranks. To
add a kind, write a subclass of SharedResource or ServerResource in one of the modules
`parts`, `server` and `edge`, and add it to the tuple KINDS at the end of that module.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from hcloud import Client
from hcloud.actions import BoundAction
from hcloud.servers import BoundServer

from infisical_iac.core.change import Change, Kind
from infisical_iac.core.errors import SettingsError
from infisical_iac.hetzner import api
from infisical_iac.hetzner.desired import DesiredDeployment, DesiredServer

_CENT = Decimal("0.01")
# Hours of a month, for prices that are only given per month.
_HOURS = 730


@dataclass(frozen=True)
class Price:
    """A net price in `currency`; `monthly` is the maximum for a month."""

    hourly: Decimal
    monthly: Decimal
    currency: str

    def __str__(self) -> str:
        if not self.monthly:
            return "free"
        hourly = f"{self.hourly.quantize(Decimal('0.0001'))}"
        return f"{self.monthly.quantize(_CENT)} {self.currency} a month ({hourly} an hour)"


class Prices:
    """Prices of GET /pricing, https://docs.hetzner.cloud/reference/cloud#pricing."""

    def __init__(self, pricing: Mapping[str, Any]) -> None:
        self._pricing = pricing
        self._currency = str(pricing["currency"])

    def server(self, type: str, location: str) -> Price:
        """Return the price of a server. Raises UserError for a type that is not sold there."""
        prices = self._of_type("server", type)
        places = sorted(each["location"] for each in prices)
        if location not in places:
            raise SettingsError(
                f"setting 'server_location': {type} is not sold in {location}: choose one of "
                f"{', '.join(places)}",
                code="settings.location",
            )
        return self._at(prices, location)

    def balancer(self, type: str, location: str) -> Price:
        """Return the price of a Load Balancer. Raises UserError for a type that is not sold."""
        return self._at(self._of_type("balancer", type), location)

    def address(self, version: str, location: str) -> Price:
        """Return the price of a primary IP, `ipv4` or `ipv6`."""
        prices = {each["type"]: each["prices"] for each in self._pricing["primary_ips"]}
        return self._at(prices.get(version, []), location)

    def volume(self, gigabytes: int) -> Price:
        monthly = Decimal(self._pricing["volume"]["price_per_gb_month"]["net"]) * gigabytes
        return Price(monthly / _HOURS, monthly, self._currency)

    def backups(self, type: str, location: str) -> Price:
        share = Decimal(self._pricing["server_backup"]["percentage"]) / 100
        price = self.server(type, location)
        return Price(price.hourly * share, price.monthly * share, price.currency)

    def total(self, prices: Iterable[Price]) -> Price:
        found = list(prices)
        return Price(
            sum((each.hourly for each in found), Decimal(0)),
            sum((each.monthly for each in found), Decimal(0)),
            self._currency,
        )

    def _of_type(self, what: str, type: str) -> list[Mapping[str, Any]]:
        listed = "load_balancer_types" if what == "balancer" else "server_types"
        types = {each["name"]: each["prices"] for each in self._pricing[listed]}
        if type not in types:
            raise SettingsError(
                f"setting '{what}_type': Hetzner Cloud has no {type}: choose one of "
                f"{', '.join(sorted(types))}",
                code="settings.unknown_type",
            )
        return list(types[type])

    def _at(self, prices: Iterable[Mapping[str, Any]], location: str) -> Price:
        for each in prices:
            if each["location"] == location:
                hourly, monthly = each["price_hourly"]["net"], each["price_monthly"]["net"]
                return Price(Decimal(hourly), Decimal(monthly), self._currency)
        return Price(Decimal(0), Decimal(0), self._currency)


@dataclass(frozen=True)
class PlannedChange(Change):
    """A change of a resource, with the function that makes it."""

    make: Callable[[], object] = field(kw_only=True)


Changes = Iterator[PlannedChange]


def change(kind: Kind, what: str, detail: str, make: Callable[[], object]) -> PlannedChange:
    """Return the change that `make` makes."""
    return PlannedChange(kind, what, detail, make=make)


class ListedResource(NamedTuple):
    """A row of `server list`; `deployment` is empty for an unadopted resource."""

    kind: str
    name: str
    what: str
    place: str
    status: str
    where: str
    deployment: str


class Labelled(Protocol):
    """A resource as the library returns it."""

    id: Any
    labels: Any


class Resource:
    """A kind of resource: its actual state and the changes to the desired one.

    Attributes:
        collection: its name in the API's paths and in the library's client.
        made: its rank in the order of creation, after the kinds that it needs.
        deleted: its rank in the order of deletion, 0 for a kind that is not deleted.
        listed: its rank in `server list`, 0 for a kind that is not listed.
        is_data: whether `destroy` keeps it unless the data are to be deleted too.
    """

    collection: ClassVar[str]
    made: ClassVar[int]
    deleted: ClassVar[int] = 0
    listed: ClassVar[int] = 0
    is_data: ClassVar[bool] = False

    def find(self) -> None:
        """Find existing resources. Raises UserError if another owner has a needed name."""

    def diff(self) -> Changes:
        """Yield the changes, in the order in which they are made.

        No existing resource is replaced. Raises UserError for a difference that can't be changed.
        """
        yield from ()

    def price(self) -> Iterable[Price]:
        """Return the prices of all desired resources of the kind, including existing ones."""
        return ()

    @classmethod
    def describe(cls, found: Any, servers: Mapping[Any, str]) -> tuple[str, str, str]:
        """Return type, status and addresses for `server list`; `servers` are all names by id."""
        raise NotImplementedError

    @classmethod
    def removals(cls, deployment: "CloudDeployment") -> Changes:
        """Yield the deletion of all resources in the collection that the deployment owns.

        The second kind of one collection overrides this, or each would be deleted twice.
        """
        for each in deployment.list_owned(cls.collection):
            yield cls.removal(each)

    @classmethod
    def removal(cls, found: Any, detail: str = "") -> PlannedChange:
        """Return the change that deletes one resource."""
        what = f"{api.title_of(cls.collection)} {found.name}"
        return change("-", what, detail, partial(delete, found))


def delete(found: Any) -> None:
    """Delete a resource, and wait for the action if Hetzner Cloud starts one."""
    answer = found.delete()
    action = getattr(answer, "action", answer)
    if isinstance(action, BoundAction):
        api.wait_for(action)


class SharedResource(Resource):
    """A kind of resource that all servers of a deployment share."""

    def __init__(self, deployment: "CloudDeployment") -> None:
        self.deployment = deployment
        self.desired = deployment.desired
        self.client = deployment.client


class ServerResource(Resource):
    """A kind of resource that each server has for itself."""

    def __init__(self, node: "CloudNode") -> None:
        self.node = node
        self.deployment = node.deployment
        self.desired = node.desired
        self.client = node.deployment.client


_R = TypeVar("_R", bound=Resource)


class CloudNode:
    """One server with its own resources, such as its volume `node[CloudVolume]`."""

    # None until the server is created.
    server: BoundServer | None = None

    def __init__(self, deployment: "CloudDeployment", desired: DesiredServer) -> None:
        self.deployment = deployment
        self.desired = desired
        self._resources = {
            kind: kind(self) for kind in deployment.kinds if issubclass(kind, ServerResource)
        }
        # The server first: its owner matters more than the owner of its volume.
        for each in reversed(self._resources.values()):
            each.find()

    def __getitem__(self, kind: type[_R]) -> _R:
        return _pick(self._resources, kind)


@dataclass
class CloudDeployment:
    """A deployment with its desired and actual state; `deployment[LoadBalancer]` is its balancer.

    Attributes:
        kinds: all kinds, in the order in which they are made.
        adoptable: the adoptions of resources of earlier versions, by collection and id.
        ssh_key: the private key's file to log in with; None to ask the agent and ~/.ssh.
        timeout: the most seconds to wait for a new server.
        nodes: the servers that are desired, in their order.
        surplus: further existing servers of the deployment.
    """

    client: Client
    desired: DesiredDeployment
    kinds: Sequence[type[Resource]]
    prices: Prices
    adoptable: Mapping[tuple[str, Any], PlannedChange]
    ssh_key: str | None
    timeout: float

    def __post_init__(self) -> None:
        self._resources = {
            kind: kind(self) for kind in self.kinds if issubclass(kind, SharedResource)
        }
        with api.translate_errors("read the resources"):
            for each in self._resources.values():
                each.find()
            self.nodes = [CloudNode(self, server) for server in self.desired.servers]
        self.surplus: list[CloudNode] = []

    def __getitem__(self, kind: type[_R]) -> _R:
        return _pick(self._resources, kind)

    @property
    def all_nodes(self) -> list[CloudNode]:
        """All existing and desired servers."""
        return [*self.nodes, *self.surplus]

    @property
    def resources(self) -> Iterator[Resource]:
        """All resources, shared ones and those of the desired servers."""
        for kind in self.kinds:
            owners = self.nodes if issubclass(kind, ServerResource) else [self]
            yield from (owner[kind] for owner in owners)

    def owns(self, collection: str, found: Labelled) -> bool:
        """Return whether a resource is the deployment's, or may be adopted by it."""
        key = (collection, found.id)
        return api.is_own(found.labels, self.desired.name) or key in self.adoptable

    def find_by_name(self, collection: str, name: str) -> Any:
        """Return the resource of a name, or None. Raises UserError if another owner has it."""
        found = getattr(self.client, collection).get_by_name(name)
        if found is not None:
            self.check_owned(collection, found, name)
        return found

    def check_owned(self, collection: str, found: Labelled, name: str) -> None:
        """Raise UserError for a resource that is not the deployment's."""
        if self.owns(collection, found):
            return
        what, deployment = f"{api.title_of(collection)} {name}", self.desired.name
        if api.assess(found.labels, deployment) is api.Standing.UNADOPTED:
            # The resource has a desired name, but its parts belong to another deployment.
            raise api.refuse_other(what, name if collection == "servers" else "")
        api.require_own(what, found.labels, deployment)

    def list_owned(self, collection: str) -> list[Any]:
        """Return all resources of a collection with the deployment's labels."""
        with api.translate_errors("list the deployment's resources"):
            resources = getattr(self.client, collection)
            return list(resources.get_all(label_selector=api.selector(self.desired.name)))


def _pick(resources: Mapping[Any, Resource], kind: type[_R]) -> _R:
    found = resources[kind]
    assert isinstance(found, kind)
    return found
