"""Parse what is asked of the access log: since when, and which statuses."""

import re
from datetime import UTC, datetime, timedelta

from infisical_iac.core.errors import UserError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class AskingError(UserError):
    """A question that the access log can't be asked."""


def moment(text: str, now: datetime) -> datetime:
    """The moment that `text` means: so long before `now`, such as `7d`, or a date in UTC.

    Raises AskingError.
    """
    if match := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise AskingError(
            f"--since {text!r} is no time: write 30m, 12h, 7d, 2w or a date such as 2026-11-25"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def statuses(text: str) -> str:
    """A regular expression for statuses such as `200`, `4xx` or `401,403`; empty for all.

    Raises AskingError.
    """
    if text and not re.fullmatch(r"[1-5](\d\d|xx)(,[1-5](\d\d|xx))*", text):
        raise AskingError(f"--status {text!r} is no status: write 200, 4xx, or 401,403")
    return text.replace("x", ".").replace(",", "|")
