"""Describe each service's credentials for people."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from infisical_iac.api.universal_auth import ClientSecret
from infisical_iac.workspace.credentials import Step, ours

File = Literal["works", "missing", "does not work", "unknown"]


@dataclass(frozen=True)
class Overview:
    """The credentials of one service in one environment.

    Attributes:
        secret: the client secret in the file, else the latest that was made; None without one.
        file: how the file is; unknown where it can't be looked at.
        others: how many other client secrets of the identity are listed.
        kept_until: when those end that a rotation replaced; None if there are none, or before it
            has come to its end.
        target: where they are delivered to; empty for the file alone.
    """

    name: str
    service: str
    environment: str
    secret: ClientSecret | None
    file: File
    others: int
    is_undelivered: bool
    kept_until: datetime | None
    target: str

    @property
    def data(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        secret = self.secret
        return {
            "service": self.service,
            "environment": self.environment,
            "made": _iso(secret.created if secret else None),
            "last_used": _iso(secret.used if secret else None),
            "uses": secret.uses if secret else 0,
            "ends": _iso(secret.ends if secret else None),
            "file": self.file,
            "others": self.others,
            "undelivered": self.is_undelivered,
            "others_kept_until": _iso(self.kept_until),
            "target": self.target,
        }


def overview(step: Step, *, has_file: bool | None, now: datetime) -> Overview:
    """Return what there is to say of what `plan` found.

    Args:
        has_file: whether the file is there; None if that is not known.
    """
    account, held = step.account, step.held
    listed = list(step.holder.secrets) if step.holder else []
    own = ours(account, step.holder) if step.holder else []
    in_file = [each for each in own if held and each.id == held.secret_id]
    secret = max(in_file or own, key=lambda each: each.created, default=None)
    replaced = held.replaced if held else None
    return Overview(
        account.credentials,
        account.service,
        account.environment,
        secret,
        _file(step, has_file),
        len(listed) - (secret is not None),
        held is not None and held.is_undelivered,
        replaced.until if replaced and replaced.is_kept(now) else None,
        str(account.target or ""),
    )


def _file(step: Step, has_file: bool | None) -> File:
    if has_file is None:
        return "unknown"
    if not has_file:
        return "missing"
    return "works" if step.held else "does not work"


def _iso(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None


def ago(span: timedelta) -> str:
    """Return how long ago something was, for people, such as `3 days ago`."""
    for unit in ("days", "hours", "minutes"):
        number = int(span / timedelta(**{unit: 1}))
        if number > 0:
            return f"{number} {unit if number > 1 else unit[:-1]} ago"
    return "just now"
