"""Compare Patroni's dynamic configuration, which is in etcd, with patroni.yml. Pure.

Patroni reads `bootstrap.dcs` of that file once, when it creates the database. Afterwards only the
configuration in etcd counts, which `patronictl edit-config` changes. Keys that are not in the file
are ignored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from infisical_iac.core.change import Change


@dataclass(frozen=True)
class PatroniState:
    """The answers of Patroni's REST API to `/config` and `/cluster`.

    Attributes:
        configuration: the dynamic configuration, which all members share; None if no Patroni runs
            here or etcd has no quorum.
        waiting: the names of the members that need a restart of PostgreSQL for a changed
            parameter, the primary last.
    """

    configuration: Mapping[str, Any] | None = None
    waiting: tuple[str, ...] = ()


def parse(lines: Sequence[str]) -> PatroniState:
    """Parse the lines `patroni <JSON>`; other lines are ignored."""
    answers = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("patroni {")]
    members = [each for answer in answers for each in answer.get("members", ())]
    waiting = [each for each in members if each.get("pending_restart")]
    waiting.sort(key=lambda each: each["role"] == "leader")
    return PatroniState(
        configuration=next((answer for answer in answers if "members" not in answer), None),
        waiting=tuple(each["name"] for each in waiting),
    )


Configuration = Mapping[str, Any]


def parse_configuration(patroni_yml: str) -> Configuration:
    """Return the dynamic configuration in the text of a patroni.yml; empty for an empty text."""
    whole = yaml.safe_load(patroni_yml) or {}
    found: Configuration = whole.get("bootstrap", {}).get("dcs", {})
    return found


def list_changes(found: PatroniState, desired: Configuration) -> Iterator[Change]:
    """Yield each difference, and each PostgreSQL that still waits for a restart.

    Yields nothing if no Patroni answers; the plan reports that elsewhere.
    """
    if found.configuration is None:
        return
    for key, actual, value in _differing(found.configuration, desired):
        before = "(none)" if actual is None else json.dumps(actual)
        yield Change("~", f"patroni {key}", f"{before} → {json.dumps(value)}")
    for name in found.waiting:
        yield Change("~", name, "a changed parameter waits for its restart")


def patch(found: PatroniState, desired: Configuration) -> dict[str, Any]:
    """Return the change to send to Patroni, which merges it; empty if nothing differs."""
    made: dict[str, Any] = {}
    for key, _, value in _differing(found.configuration or {}, desired):
        *folders, last = key.split(".")
        place = made
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return made if found.configuration is not None else {}


def _differing(
    actual: Any, desired: Configuration, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key that differs, with its actual and its desired value."""
    for name, value in desired.items():
        seen = actual.get(name) if isinstance(actual, Mapping) else None
        if isinstance(value, Mapping):
            yield from _differing(seen, value, f"{prefix}{name}.")
        # As JSON, in which true is not 1.
        elif json.dumps(seen) != json.dumps(value):
            yield f"{prefix}{name}", seen, value
