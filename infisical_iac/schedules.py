"""When systemd's timers start something."""

import re


def one_line(value: str) -> str:
    """`value`, if it may stand after `OnCalendar=`; whether systemd understands it, it must say.

    Raises ValueError.
    """
    if not re.fullmatch(r"[A-Za-z0-9*][A-Za-z0-9*:,./~+ -]*", value):
        raise ValueError(f"{value!r} is no OnCalendar; write one such as *-*-* 02:30:00")
    return value
