"""Read what the Patroni of a node says, of what the script prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PatroniState:
    """Hold what Patroni's REST API tells, `/config` and `/cluster`.

    Attributes:
        configuration: the dynamic configuration, which all members share; None where it can't be
            told, for none runs here or there is no consensus.
        waiting: the names of the members whose PostgreSQL has to be restarted to take a parameter
            that was changed, the primary's last.
    """

    configuration: Mapping[str, Any] | None = None
    waiting: tuple[str, ...] = ()


def parse(lines: Sequence[str]) -> PatroniState:
    """Of the lines `patroni <JSON>`; others are passed over."""
    told = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("patroni {")]
    members = [each for answer in told for each in answer.get("members", ())]
    waiting = [each for each in members if each.get("pending_restart")]
    waiting.sort(key=lambda each: each["role"] == "leader")
    return PatroniState(
        configuration=next((answer for answer in told if "members" not in answer), None),
        waiting=tuple(each["name"] for each in waiting),
    )
