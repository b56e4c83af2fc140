"""The problems of secrets by service and environment, as the page of `status` lists them."""

from typing import NamedTuple

# Each problem of `infisical-iac check` that needs no repository: its title, and what to do.
PROBLEMS = {
    "old-value": ("older than `max_age` allows", "`infisical-iac secrets set`"),
    "weak-value": ("easy to guess", "`infisical-iac secrets set`"),
    "equal-value": ("same value as in production", "give production a value of its own"),
    "uneven-key": ("missing, though another environment has it", "add or delete it"),
    "not-read": ("folder that nobody has read for `unread_days`", "delete what is not needed"),
}


class ValueRow(NamedTuple):
    """The secrets of a service, or of a shared folder, with one problem in one environment.

    Attributes:
        kind: one of PROBLEMS.
        names: the keys; for `not-read` the folders.
    """

    service: str
    environment: str
    kind: str
    names: tuple[str, ...]


class ValueSurvey(NamedTuple):
    """The problems of all secrets of a project, and sentences on what could not be assessed."""

    rows: list[ValueRow]
    notes: list[str]
