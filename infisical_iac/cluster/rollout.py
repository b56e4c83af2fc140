"""Compare the stack on the Swarm with what is wanted, item by item; pure."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import yaml

from infisical_iac.cluster import patroni_config
from infisical_iac.cluster.stack_state import ClusterStackState, NodeState, Recorded
from infisical_iac.core.item import Item


@dataclass(frozen=True)
class Wanted:
    """Hold what is to be rolled out.

    Attributes:
        text: of stack.yaml.
        configs: per hashed name, a config's text.
        secrets: the hashed names of the secrets.
    """

    text: str
    configs: Mapping[str, str]
    secrets: frozenset[str]

    def rendered(self) -> dict[str, str]:
        """Per service, the hash of its part of stack.yaml."""
        whole: dict[str, Any] = yaml.safe_load(self.text)
        return {
            name: sha256(yaml.safe_dump([service, _named(whole, service)]).encode()).hexdigest()
            for name, service in whole["services"].items()
        }

    def patroni(self) -> patroni_config.Configuration:
        """The dynamic configuration of Patroni."""
        found = (text for name, text in self.configs.items() if name.startswith("patroni_yml_"))
        return patroni_config.wanted(next(found, ""))


def _named(whole: dict[str, Any], service: dict[str, Any]) -> list[object]:
    """Return what the rest of the file says of the secrets and configs that a service uses."""
    return [
        whole[kind][each["source"]]
        for kind in ("secrets", "configs")
        for each in service.get(kind, ())
    ]


def items(found: ClusterStackState, wanted: Wanted) -> Iterator[Item]:
    """Each difference of the stack, of its secrets, its configs and Patroni; stack.yaml aside."""
    rendered = wanted.rendered()
    for name in sorted(rendered.keys() | found.services.keys()):
        if name not in found.services:
            yield Item("+", f"service {name}")
        elif name not in rendered:
            yield Item("-", f"service {name}", "is not in stack.yaml")
        elif reason := _reason(found, name, rendered[name]):
            yield Item("~", f"service {name}", reason)
    for kind, names in (("secret", wanted.secrets), ("config", frozenset(wanted.configs))):
        made = found.made.get(kind, frozenset())
        yield from (Item("+", f"{kind} {name}") for name in sorted(names - made))
        yield from (
            Item("-", f"{kind} {name}", "no service needs it any more")
            for name in sorted(made - names)
        )
    yield from patroni_config.items(found.patroni, wanted.patroni())


def _reason(found: ClusterStackState, name: str, rendered: str) -> str:
    service, was = found.services[name], found.record.get(name)
    if was is None:
        return "was never rolled out to its end"
    if was.rendered != rendered:
        return "its part of stack.yaml changes"
    # Of a service that runs on every node, as many are wanted as there are.
    active = sum(node.active for node in found.nodes)
    follows = service.desired == active < len(found.nodes)
    if service.desired != was.desired and service.hash != was.hash and not follows:
        return f"{service.desired} tasks instead of {was.desired}"
    if service.hash != was.hash:
        return "runs with another configuration"
    waiting = service.waiting if away(found.nodes) else 0
    # The update of what runs on that node alone ends when it is back.
    waits = service.update == "updating" and service.running == 0 < service.desired == waiting
    unfinished = ("updating", "paused", "rollback_started", "rollback_paused")
    if not waits and service.update in unfinished:
        return f"its update is {service.update.replace('_', ' ')}"
    missing = service.desired - service.running
    if missing > waiting:
        return f"{service.running} of {service.desired} tasks run and are healthy"
    return ""


def unwell(found: ClusterStackState, names: AbstractSet[str]) -> list[str]:
    """Those of the named services that are missing, or don't run as often as they should."""
    there = found.services
    return sorted(
        name for name in names if name not in there or there[name].running != there[name].desired
    )


def away(nodes: tuple[NodeState, ...]) -> bool:
    """Return whether a node of the Swarm is down or takes no tasks."""
    return not all(node.active for node in nodes)


def recorded(
    found: ClusterStackState, wanted: Wanted, asked: Mapping[str, str]
) -> dict[str, Recorded]:
    """Return what is kept of a roll-out that ended well.

    Args:
        asked: per service, the hash of its specification as it was rolled out.
    """
    return {
        name: Recorded(asked[name], rendered, found.services[name].desired)
        for name, rendered in wanted.rendered().items()
    }


def renewed(
    found: ClusterStackState, asked: Mapping[str, str], names: AbstractSet[str]
) -> dict[str, Recorded]:
    """The record, once the services `names` that were as it says were made anew as they are."""
    return {
        name: replace(was, hash=asked[name])
        if name in names and name in found.services and found.services[name].hash == was.hash
        else was
        for name, was in found.record.items()
    }


def rolled_back(found: ClusterStackState, asked: Mapping[str, str]) -> list[str]:
    """The services that Swarm brought back to what they were before."""
    return sorted(
        name
        for name, service in found.services.items()
        if service.update.startswith("rollback") and service.hash != asked.get(name)
    )
