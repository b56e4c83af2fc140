"""Records of backups and of drills, and their assessment at a fixed time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_iac.backup.record import assess_drill, assess_record, parse_drill, parse_record
from infisical_iac.backup.target import BackupTarget

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HERE = BackupTarget(name="local", repository="/var/backups/infisical")
THERE = BackupTarget(name="bucket", repository="s3:https://s3.example.com/bucket")


def _text(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def backup_record(failure: str = "", **hours: float | None) -> str:
    """Return the record of a run that ended an hour ago.

    `hours` are the hours since each target's last success; None without a success.
    """
    targets: list[dict[str, Any]] = [
        {
            "name": name,
            "success": "" if ago is None else _text(_NOW - timedelta(hours=ago)),
            "snapshot": "1a2b3c4d",
            "added": 10,
            "snapshots": 3,
            "error": "",
        }
        for name, ago in hours.items()
    ]
    moment = _text(_NOW - timedelta(hours=1))
    return json.dumps(
        {
            "began": moment,
            "ended": moment,
            "failure": failure,
            "bytes": 6_100_000,
            "targets": targets,
        }
    )


def assess_backups(
    text: str, *targets: BackupTarget, since: float | None = 100
) -> tuple[str, bool]:
    """Assess a record, or none if the text is empty, of backups set up `since` hours ago."""
    set_up = None if since is None else _NOW - timedelta(hours=since)
    return assess_record(parse_record(text) if text else None, targets, since=set_up, now=_NOW)


def drill_record(*, days: int = 1, success: int | None = 1, **differing: Any) -> str:
    """Return the record of a drill that ended `days` ago, with a success `success` days ago."""
    moment = _text(_NOW - timedelta(days=days))
    return json.dumps(
        {
            "began": moment,
            "ended": moment,
            "failure": "",
            "success": "" if success is None else _text(_NOW - timedelta(days=success)),
            "target": "box",
            "snapshot": "1a2b3c4d",
            "at": "2026-11-24T02:41:17Z",
            "version": "v0.165.16",
            "login": "deployer",
            "canary": "alive",
            "folders": 12,
            "secrets": 3020,
            **differing,
        }
    )


def assess_drills(text: str, *, since: int | None = 100) -> tuple[str, bool]:
    """Assess a record, or none if the text is empty, of drills set up `since` days ago."""
    set_up = None if since is None else _NOW - timedelta(days=since)
    return assess_drill(parse_drill(text) if text else None, since=set_up, now=_NOW)
