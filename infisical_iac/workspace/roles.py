"""The roles that a person may have, and how the file may give them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StrictStr

ROLES = ("none", "viewer", "developer", "admin")  # each may do what those before it may
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")

# Tags of the two ways to give a role; the brackets keep them apart from what the file says.
ROLE, TABLE = "[role]", "[table]"


def kind(value: Any) -> str:
    """Return which way it is: keys with values, or a role."""
    return TABLE if isinstance(value, dict) else ROLE


def _role(value: Any) -> Any:
    if value not in ROLES:
        what = "no role stands here" if value is None else f"{value!r} is no role"
        raise ValueError(f"{what}; write admin, developer, viewer or none")
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value) or not value.isprintable():
        raise ValueError(f"{value!r} is no e-mail address; write one such as ada@example.com")
    if value != value.lower():
        raise ValueError(f"{value!r} has capital letters; write {value.lower()}, as Infisical does")
    return value


Role = Annotated[Literal["none", "viewer", "developer", "admin"], BeforeValidator(_role)]
Email = Annotated[StrictStr, AfterValidator(_email)]
