"""Check whether anything has drifted, and format the result for a webhook and for Prometheus."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from infisical_iac.core.change import Change
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.foreign import SERVER_ADMIN

if TYPE_CHECKING:
    from infisical_iac.core.deployment import Deployment

_ATTEMPTS = 3
_SECONDS = 10
_PREFIX = "infisical_iac_drift"
_METRICS = {
    "changes": "Changes that would bring host and Infisical to the declared state.",
    "blocked": "Parts of the deploy that can't be inspected or repaired.",
    "foreign_access": "Access to the project that its file does not grant.",
    "check_success": "1 if the last check was completed, 0 if it failed.",
    "check_timestamp_seconds": "Time of the last check, in seconds since the epoch.",
}


@dataclass(frozen=True)
class Answer:
    """The result of one check.

    Attributes:
        of: the name of the inventory that was checked.
        at: the time of the check, in UTC.
        changes: one line for each change that a run would make, for each access that the project
            file does not grant (`*`), each blocked part (`!`) and each unknown (`?`).
        error: the reason of a failed check; empty for a success.
        notes: sentences on access that could not be read, and on entries of the file that accept
            nothing. They do not count as drift.
    """

    of: str
    at: datetime
    changes: Sequence[str] = field(default_factory=list)
    error: str = ""
    notes: Sequence[str] = ()

    @property
    def is_as_declared(self) -> bool:
        return not self.changes and not self.error

    @property
    def certain(self) -> list[str]:
        """Return the changes that a run would make."""
        return [each for each in self.changes if not each.startswith(("? ", "! ", "* "))]

    @property
    def foreign(self) -> list[str]:
        """Return the access that the project file does not grant."""
        return [each for each in self.changes if each.startswith("* ")]

    @property
    def blocked_parts(self) -> list[str]:
        return [each for each in self.changes if each.startswith("! ")]

    @property
    def sentence(self) -> str:
        """Return the result in one line."""
        if self.error:
            return f"{self.of} could not be checked: {self.error}"
        if self.is_as_declared:
            return f"{self.of} is as declared"
        return f"{self.of} has drifted: {'; '.join(self.changes)}"


def message(answer: Answer) -> Mapping[str, Any]:
    """Return the body for a webhook; chats such as Slack and Mattermost show its `text`."""
    return {
        "text": answer.sentence,
        "of": answer.of,
        "at": answer.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "changes": list(answer.changes),
        "error": answer.error,
        "notes": list(answer.notes),
    }


def metrics(answer: Answer) -> str:
    """Return the result in Prometheus' text format, for node_exporter's textfile collector.

    After a check that failed, the numbers are left out, because they are unknown.
    """
    values = {
        "changes": None if answer.error else len(answer.certain),
        "blocked": None if answer.error else len(answer.blocked_parts),
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
    """Compare the hosts of an inventory with their declared state, and change nothing."""
    begun = Answer(Path(inventory).stem, datetime.now(UTC))

    def check_hosts() -> Answer:
        from infisical_iac.core.deployment import open_deployment

        # isort: split
        from infisical_iac.workspace.preflight import read_local_files

        with open_deployment(inventory, writes=None, check=read_local_files) as deployment:
            # The hosts get a failed check too.
            answer = _complete(begun, lambda: _compare(begun, deployment))
            _keep(answer, deployment)
            return answer

    return _complete(begun, check_hosts)


def _complete(begun: Answer, compare: Callable[[], Answer]) -> Answer:
    """Return what a comparison returns, or the error that it raises."""
    try:
        return compare()
    except UserError as error:
        return replace(begun, error=str(error))


def _compare(begun: Answer, deployment: "Deployment") -> Answer:
    from infisical_iac.core.connection import current

    with current(deployment.host):
        admins, unseen = _find_admins()
    foreign = [*deployment.journal.foreign, *admins]
    notes = [*deployment.journal.access_notes, *unseen]
    return replace(begun, changes=[*deployment.lines(), *map(str, foreign)], notes=notes)


def _find_admins() -> tuple[list[Change], list[str]]:
    """Return the unknown administrators of the current host's server, and why they are unseen."""
    from pyinfra.context import host

    from infisical_iac.api.instance import census
    from infisical_iac.core.settings import load
    from infisical_iac.stack import session
    from infisical_iac.workspace.reconcile import known_access

    known = known_access()
    if known is None:
        return [], []
    goal, *_ = known
    port = load(host.data.dict()).stack.http_port  # type: ignore[no-untyped-call]
    try:
        admins = census(session.administrator(port)).super_admins
    except UserError as error:
        return [], [f"administrators of the server were not seen: {error}"]
    accepted = {each.what for each in goal.desired.accepted}
    return list_unknown_admins(admins, goal.admin_email, accepted), []


def list_unknown_admins(
    admins: Sequence[str], admin_email: str, accepted: Collection[str]
) -> list[Change]:
    """Return the administrators of the server other than the first one, as foreign access.

    Args:
        admins: the usernames of all administrators.
        accepted: the names under `accepted` in the project file.
    """
    found = sorted({each.lower() for each in admins} - {admin_email.lower()})
    return [
        Change("*", f"{SERVER_ADMIN} {each}", f"the settings name {admin_email} only")
        for each in found
        if f"{SERVER_ADMIN} {each}" not in accepted
    ]


def _keep(answer: Answer, deployment: "Deployment") -> None:
    """Hand the result to the monitors of the hosts, which send it to the targets of alerts."""
    from infisical_iac.core.connection import current
    from infisical_iac.core.settings import load
    from infisical_iac.monitoring.deploy import keep_drift

    for host in deployment.hosts:
        data = host.data.dict()  # type: ignore[no-untyped-call]
        if load(data).monitoring.monitoring == "on":
            with current(host):
                keep_drift(message(answer))


def post(webhook: str, answer: Answer) -> None:
    """Post a result to a webhook. Raises UserError if the webhook does not accept it."""
    # The address may hold a token, so no part of it is in the error.
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
    raise UserError(f"the webhook did not accept the result ({reason}): check its address")
