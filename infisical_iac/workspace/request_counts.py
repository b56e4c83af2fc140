"""Count the requests of plans and changes, and say how long rate limits make them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import READS, SECRETS, RateClass, classify
from infisical_iac.workspace.api_change import ApiChange
from infisical_iac.workspace.goal import Goal, parts_of

# The identity, its login and its client secrets.
_OF_ACCOUNT = 3
# The list of an account's privileges in a project.
_OF_SEAT = 1
# The fields of an environment, and its folders; there are imports of each folder too.
_OF_ENVIRONMENT = 2
# One of several projects: identities, people, folders and imports; syncs and service tokens.
_OF_PROJECT = 6


def announce_reading(
    client: Client, goal: Goal, listed: Sequence[Mapping[str, Any]], places: int
) -> None:
    """Print how long reading the project takes, if that is long.

    Args:
        listed: the identities of the organization, as the server lists them.
        places: the number of environments of the project, or of projects if there are several.
    """
    names = {name for pair in goal.desired.identities().items() for name in pair}
    accounts = sum(each["identity"]["name"] in names for each in listed)
    client.limiter.announce(_count_reads(goal, accounts, places), "reading the project")


def expect_changes(
    client: Client, goal: Goal, changes: Iterable[ApiChange], *, of_secrets: int = 0
) -> str:
    """Remember the requests of changes, and return how long they take; empty if that is short.

    After changes, everything is read again.

    Args:
        of_secrets: the number of requests that read or write secrets besides the changes.
    """
    due, desired = _count_calls(changes), goal.desired
    if due:
        places = parts_of(desired) if goal.is_split else desired.environments
        due += _count_reads(goal, len(desired.every_account()), len(places))
    due += Counter({SECRETS: of_secrets})
    client.limiter.expect(due)
    return client.limiter.describe(due, "making these changes")


def _count_calls(changes: Iterable[ApiChange]) -> Counter[RateClass]:
    calls = [call for change in changes for call in change.calls]
    kinds = (classify(each.method, "/".join(each.path)) for each in calls)
    return Counter(each for each in kinds if each)


def _count_reads(goal: Goal, accounts: int, places: int) -> Counter[RateClass]:
    declared = goal.desired.accounts()
    reads = accounts * _OF_ACCOUNT
    if goal.is_split:
        seats = sum(len(each.readable) for each in declared)
        reads += accounts * seats * _OF_SEAT // max(1, len(declared)) + places * _OF_PROJECT
        seen = sum(not each.sees_values for each in goal.desired.jobs())
        reads += seen * places * _OF_SEAT
    else:
        folders = {folder for each in declared for folder in each.readable}
        reads += accounts * _OF_SEAT
        reads += places * (_OF_ENVIRONMENT + len(folders))
    return Counter({READS: reads})
