"""When client secrets end, and how long before that somebody should know."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_LONGEST_NOTICE = timedelta(days=14)


@dataclass(frozen=True)
class Term:
    """The life of a client secret that expires."""

    begins: datetime
    ends: datetime

    def is_near_its_end(self, now: datetime) -> bool:
        """Return whether it is in its last two weeks, or in the last quarter of a shorter life."""
        return now >= self.ends - min(_LONGEST_NOTICE, (self.ends - self.begins) / 4)


def until(term: Term, now: datetime) -> str:
    """When it ends, for people, such as `ends 2027-02-23, 5 days from now`."""
    day = f"{term.ends:%Y-%m-%d}"
    days = (term.ends - now).days
    if days < 0:
        return f"has ended on {day}"
    return f"ends {day}, {days} {'day' if days == 1 else 'days'} from now"
