"""Check whether anything has drifted, and word the answer for a webhook and for Prometheus."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infisical_iac.core.errors import UserError

_ATTEMPTS = 3
_SECONDS = 10
_PREFIX = "infisical_iac_drift"
_METRICS = {
    "changes": "Changes that would bring host and Infisical to what is declared.",
    "blocked": "Parts of the deploy that could not be looked at or can't be set right.",
    "foreign_access": "Accesses to the project that nothing in its file gives.",
    "check_success": "Whether the last check could tell.",
    "check_timestamp_seconds": "When the last check was made, since the epoch.",
}


@dataclass(frozen=True)
class Answer:
    """Hold what one check found.

    Attributes:
        of: what was checked: the inventory's name.
        at: when, in UTC.
        changes: what would have to be changed, `*` access that nothing in the file gives, `!` what
            is blocked, and `?` what could not be seen, a line each.
        error: why the check could not tell, if it could not.
        notes: what of the access could not be seen, and what the file accepts in vain: it is no
            drift.
    """

    of: str
    at: datetime
    changes: Sequence[str] = field(default_factory=list)
    error: str = ""
    notes: Sequence[str] = ()

    @property
    def settled(self) -> bool:
        return not self.changes and not self.error

    @property
    def certain(self) -> list[str]:
        """Return the changes that a run would make."""
        return [each for each in self.changes if not each.startswith(("? ", "! ", "* "))]

    @property
    def foreign(self) -> list[str]:
        """Return the access that nothing in the file gives."""
        return [each for each in self.changes if each.startswith("* ")]

    @property
    def blocked(self) -> list[str]:
        return [each for each in self.changes if each.startswith("! ")]

    @property
    def sentence(self) -> str:
        """The answer in a line."""
        if self.error:
            return f"{self.of} could not be checked: {self.error}"
        if self.settled:
            return f"{self.of} is as declared"
        return f"{self.of} has drifted: {'; '.join(self.changes)}"


def message(answer: Answer) -> Mapping[str, Any]:
    """The body for a webhook; chats such as Slack and Mattermost show its `text`."""
    return {
        "text": answer.sentence,
        "of": answer.of,
        "at": answer.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "changes": list(answer.changes),
        "error": answer.error,
        "notes": list(answer.notes),
    }


def metrics(answer: Answer) -> str:
    """The answer in Prometheus' text format, for node_exporter's textfile collector.

    A check that could not tell leaves out the number of changes: it is not known.
    """
    values = {
        "changes": None if answer.error else len(answer.certain),
        "blocked": None if answer.error else len(answer.blocked),
        "foreign_access": None if answer.error else len(answer.foreign),
        "check_success": 0 if answer.error else 1,
        "check_timestamp_seconds": int(answer.at.timestamp()),
    }
    lines = []
    for name, value in values.items():
        if value is not None:
            lines += [
                f"# HELP {_PREFIX}_{name} {_METRICS[name]}",
                f"# TYPE {_PREFIX}_{name} gauge",
                f'{_PREFIX}_{name}{{of="{_label(answer.of)}"}} {value}',
            ]
    return "\n".join(lines) + "\n"


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def check(inventory: str) -> Answer:
    """Compare what an inventory names with what is declared, and change nothing."""
    of, at = Path(inventory).stem, datetime.now(UTC)
    try:
        from infisical_iac.core.deployment import open_deployment

        with open_deployment(inventory, writes=None) as deployment:
            foreign = map(str, deployment.journal.foreign)
            notes = deployment.journal.access_notes
            return Answer(of, at, [*deployment.lines(), *foreign], notes=notes)
    except UserError as error:
        return Answer(of, at, error=str(error))


def post(webhook: str, answer: Answer) -> None:
    """Post an answer to a webhook. Raises UserError where it does not take it."""
    # The address may hold a token: no part of it is told.
    reason = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt)
        try:
            response = httpx.post(webhook, json=message(answer), timeout=_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = type(error).__name__
            continue
        if response.is_success:
            return
        reason = f"HTTP {response.status_code}"
    raise UserError(f"the webhook did not take the answer ({reason}): check its address")
