"""Assess the last drill, in which a host restored a snapshot beside what it runs."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# Once a month, with room for the random delay.
_LONGEST = timedelta(days=35)


@dataclass(frozen=True)
class Drill:
    """Hold how a drill went; what it did not get to is empty.

    Attributes:
        failure: why the snapshot is not proven, in one line; empty if it is.
        success: when a drill last proved a snapshot; None if none ever did.
        target: where the snapshot was.
        snapshot: its id; `at` when it was made, `version` of which Infisical.
        login: who was let in: `deployer`, or `administrator` where the deployer was not.
        canary: `alive`, or `none` where the login sees no canary.
        folders, secrets: how many were read.
    """

    began: datetime
    ended: datetime
    failure: str
    success: datetime | None
    target: str
    snapshot: str
    at: str
    version: str
    login: str
    canary: str
    folders: int
    secrets: int

    @property
    def proof(self) -> str:
        """Return what was proven, for people."""
        canary = "the canary lives" if self.canary == "alive" else "who sees no canary"
        secrets = f"{self.secrets} secret{'' if self.secrets == 1 else 's'}"
        return (
            f"snapshot {self.snapshot} of {self.target}, made at {self.at}: {secrets} in "
            f"{self.folders} folders read as {self.login}, {canary}"
        )


def parse(text: str) -> Drill:
    """The drill in the text of last.json. Raises ValueError for any other text."""
    try:
        found: dict[str, Any] = json.loads(text)
        moments = {name: _moment(found[name]) for name in ("began", "ended")}
        success = _moment(found["success"]) if found["success"] else None
        return Drill(**{**found, **moments, "success": success})
    except (KeyError, TypeError) as error:
        raise ValueError(f"no record of a drill: {error}") from None


def judged(drill: Drill | None, *, since: datetime | None, now: datetime) -> tuple[str, bool]:
    """Return what to say of the drills, and whether they are well.

    Args:
        drill: the last one; None before the first.
        since: since when there should be drills; None where they are not set up.
    """
    if since is None:
        return "not set up: `infisical-iac apply` does it", False
    if drill is None:
        waiting = now - since
        if waiting > _LONGEST:
            return f"none yet, {waiting.days} days after they were set up", False
        return "none yet: `infisical-iac restore --drill` makes one", True
    if drill.failure:
        return f"failed at {_text(drill.ended)}: {drill.failure}{_last(drill)}", False
    if now - (drill.success or drill.ended) > _LONGEST:
        return f"no success within {_LONGEST.days} days{_last(drill)}", False
    return f"{_text(drill.ended)}, {drill.proof}", True


def _last(drill: Drill) -> str:
    return f"; last success {_text(drill.success)}" if drill.success else "; there is none yet"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
