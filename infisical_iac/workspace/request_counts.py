"""Count the requests of plans and changes, and say how long rate limits make them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import READS, RateClass, classify
from infisical_iac.workspace.api_change import ApiChange
from infisical_iac.workspace.goal import Goal

# The identity, its login and its client secrets; and the list of its privileges with the one of it.
_OF_ACCOUNT, _OF_PRIVILEGES = 3, 2
# The fields of an environment, and its folders.
_OF_ENVIRONMENT = 2


def announce_reading(
    client: Client, goal: Goal, listed: Sequence[Mapping[str, Any]], environments: int
) -> None:
    """Print how long reading the project takes, if that is long.

    Args:
        listed: the identities of the organization, as the server lists them.
        environments: the number of environments of the project.
    """
    names = {name for pair in goal.desired.identities().items() for name in pair}
    accounts = sum(each["identity"]["name"] in names for each in listed)
    client.limiter.announce(_count_reads(goal, accounts, environments), "reading the project")


def expect_changes(client: Client, goal: Goal, changes: Iterable[ApiChange]) -> str:
    """Remember the requests of changes, and return how long they take; empty if that is short.

    After changes, everything is read again.
    """
    due, desired = _count_calls(changes), goal.desired
    if due:
        due += _count_reads(goal, len(desired.accounts()), len(desired.environments))
    client.limiter.expect(due)
    return client.limiter.describe(due, "making these changes")


def _count_calls(changes: Iterable[ApiChange]) -> Counter[RateClass]:
    calls = [call for change in changes for call in change.calls]
    kinds = (classify(each.method, "/".join(each.path)) for each in calls)
    return Counter(each for each in kinds if each)


def _count_reads(goal: Goal, accounts: int, environments: int) -> Counter[RateClass]:
    folders = {each for service in goal.desired.services.values() for each in service.readable}
    each = _OF_ACCOUNT + (0 if goal.isolation == "viewer" else _OF_PRIVILEGES)
    return Counter({READS: accounts * each + environments * (_OF_ENVIRONMENT + len(folders))})
