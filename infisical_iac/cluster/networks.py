"""Compare the networks of the stack with stack.yaml; Docker can't change one in place. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from infisical_iac.cluster.stack_state import STACK, Network, Task
from infisical_iac.core.item import Item

_PAUSES = "Infisical stands still for a minute, while what uses it is stopped"


def items(found: Mapping[str, Network], text: str) -> Iterator[Item]:
    """Each network that is there and is not as stack.yaml with `text` says."""
    for name, wanted in _networks(text).items():
        why = ", ".join(_differences(found[name], wanted)) if name in found else ""
        if why:
            yield Item("~", f"network {name}", f"{why}; {_PAUSES}")


def users(text: str, names: frozenset[str]) -> frozenset[str]:
    """The services of stack.yaml with `text` that are in one of the networks `names`."""
    whole = yaml.safe_load(text)
    keys = {key for key, each in whole["networks"].items() if each.get("name") in names}
    return frozenset(
        name for name, service in whole["services"].items() if keys & {*service["networks"]}
    )


def stuck(
    tasks: Iterable[Task], text: str, attached: Mapping[str, frozenset[str]] | None = None
) -> dict[Task, str]:
    """Return the tasks of a node that have to be let go on or made anew, each with the reason.

    Args:
        text: of stack.yaml; what is of a service that it does not name is left to the roll-out.
        attached: by service, the networks that it has as Swarm knows it, where that is known: one
            that a service has not is for the roll-out to give it.
    """
    whole, known = yaml.safe_load(text), attached or {}
    return {task: reason for task in tasks if (reason := _reason(task, whole, known))}


def attached(output: str) -> dict[str, frozenset[str]]:
    """Return the networks of each service from what node-tasks.sh prints; a worker knows none."""
    rows = [line.split() for line in output.splitlines()]
    return {
        row[1].removeprefix(STACK): frozenset(
            each[2] for each in rows if each[:2] == ["attached", row[1]]
        )
        for row in rows
        if row[:1] == ["service"]
    }


def _reason(task: Task, whole: dict[str, Any], known: Mapping[str, frozenset[str]]) -> str:
    service = whole["services"].get(task.service)
    if service is None:
        return ""
    if task.status in ("paused", "dead", "removing"):
        return f"is {task.status}"
    if task.status == "unready":
        return "reaches PostgreSQL or Redis no more, which another one reaches"
    names = {key: whole["networks"].get(key, {}).get("name") for key in service["networks"]}
    missing = [
        key
        for key, name in names.items()
        if name and name not in task.networks and name in known.get(task.service, (name,))
    ]
    return f"not connected to network {', '.join(missing)}" if missing else ""


def with_networks(old: str, wanted: str) -> str:
    """Return what runs, as stack.yaml with the text `old` says, in the networks of `wanted`."""
    return yaml.safe_dump({**yaml.safe_load(old), "networks": yaml.safe_load(wanted)["networks"]})


def _networks(text: str) -> dict[str, dict[str, Any]]:
    """By name, those that the stack makes."""
    networks = yaml.safe_load(text)["networks"].values()
    return {each["name"]: each for each in networks if not each.get("external")}


def _differences(found: Network, wanted: Mapping[str, Any]) -> Iterator[str]:
    options = {name: str(value) for name, value in wanted.get("driver_opts", {}).items()}
    encrypted = "encrypted" in options
    # Of this one it counts whether it is there.
    if encrypted != ("encrypted" in found.options):
        yield "not encrypted → encrypted" if encrypted else "encrypted → not encrypted"
    internal = bool(wanted.get("internal"))
    if internal != found.internal:
        yield "open to the outside → internal" if internal else "internal → open to the outside"
    for name, value in options.items():
        there = found.options.get(name, "(none)")
        if name != "encrypted" and there != value:
            yield f"{name} {there} → {value}"
    subnets = [each["subnet"] for each in wanted.get("ipam", {}).get("config", ())]
    if subnets != [*found.subnets]:
        yield f"subnet {' '.join(found.subnets) or '(none)'} → {' '.join(subnets)}"
