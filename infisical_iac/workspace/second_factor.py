"""Require a second factor of people, and decide when access ends for people without one.

Infisical's API does not return second factors, and the free edition can't require them. So they are
read from the database, on the host. An account without a second factor loses only its access to the
project. It stays a member of the organization, so that its owner can log in and turn one on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from infisical_iac.agent.database import AccountFactor
from infisical_iac.core.wording import join_names
from infisical_iac.workspace.model import PERSON_PRIVILEGE, Requirement, SecondFactorRule, Workspace
from infisical_iac.workspace.privileges import find_privilege
from infisical_iac.workspace.state import People, PersonState

# All notes begin with it.
PREFIX = "second factor: "


@dataclass(frozen=True)
class Account:
    """An account of the instance.

    Attributes:
        names: its e-mail address and username, in lower case.
        is_accepted: whether its invitation was accepted; before that, nobody can log in to it.
        factor: its second factor, such as `totp` for an authenticator app; empty without one.
    """

    names: tuple[str, ...]
    is_accepted: bool = True
    factor: str = ""

    @property
    def lacks_one(self) -> bool:
        """Return whether somebody can log in with the password only."""
        return self.is_accepted and not self.factor


@dataclass(frozen=True)
class SecondFactors:
    """The second factors of an instance's accounts, as read on `day` in UTC.

    Attributes:
        unseen: why they are unknown; empty if they were read.
    """

    day: date = date.min
    accounts: Sequence[Account] = ()
    unseen: str = "only the database on the host shows it"

    def find_account(self, name: str) -> Account | None:
        """Return the account of an e-mail address or username; None if it is unknown."""
        return next((each for each in self.accounts if name.lower() in each.names), None)


def known_factors(found: Iterable[AccountFactor], day: date) -> SecondFactors:
    """Return the second factors that the host's database has on a day."""
    accounts = [Account(each.names, each.is_accepted, each.factor) for each in found]
    return SecondFactors(day, accounts, unseen="")


def find_deadline(rule: Requirement | None, there: PersonState) -> date | None:
    """Return the first day on which a member has no access without a second factor.

    None if members keep their access. A member has the days of grace from joining the project.
    """
    if not isinstance(rule, SecondFactorRule):
        return None
    if not there.created:
        return rule.since
    joined = datetime.fromisoformat(there.created).date()
    return max(rule.since, joined + timedelta(days=rule.grace_days))


def is_suspended(
    desired: Workspace,
    email: str,
    there: PersonState,
    known: SecondFactors,
    *,
    by_role: bool = False,
) -> bool:
    """Return whether a member of the project has no access because a second factor is missing.

    While second factors are unknown, access is neither taken nor given back.

    Args:
        by_role: whether the role alone gives access in this project, and no privilege.
    """
    deadline = find_deadline(desired.require_second_factor, there)
    if deadline is None:
        return False
    account = known.find_account(email)
    if account is None:
        return _is_taken(there, by_role=by_role)
    return account.lacks_one and known.day >= deadline


def _is_taken(there: PersonState, *, by_role: bool) -> bool:
    if by_role:
        return there.roles == ("no-access",)
    own = find_privilege(there.privileges or (), PERSON_PRIVILEGE, ())
    return there.roles == ("no-access",) and own is not None and not own.permissions


def describe(
    desired: Workspace, people: People | None, known: SecondFactors, *, by_role: bool = False
) -> Iterator[str]:
    """Yield notes on the people of the file who have access, and no second factor.

    Args:
        people: the members of the project; None if they could not be read.
        by_role: as `is_suspended` takes it.
    """
    rule = desired.require_second_factor
    members = people.members if people else {}
    given = [each for each, access in desired.people.items() if access != "none"]
    if rule is None or not any(each in members for each in given):
        return
    if known.unseen:
        kept = "" if rule == "warn" else "; until it is known, access stays as it is"
        yield f"{PREFIX}it is unknown who has one: {known.unseen}{kept}"
        return
    lacking: dict[str, list[str]] = {}
    for email in given:
        account, there = known.find_account(email), members.get(email)
        if account and account.lacks_one and there:
            why = _consequence(rule, there, known.day, by_role=by_role)
            lacking.setdefault(why, []).append(email)
    for consequence, emails in lacking.items():
        yield f"{PREFIX}{join_names(emails)} {_have(emails)} none{consequence}"


def _consequence(rule: Requirement, there: PersonState, day: date, *, by_role: bool) -> str:
    deadline = find_deadline(rule, there)
    if deadline is None:
        return ""
    if day < deadline:
        return f", which ends access on {deadline}"
    if not _is_taken(there, by_role=by_role):
        return ", so the next `infisical-iac apply` ends access"
    return ", so no access until one is turned on and `infisical-iac apply` runs"


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def summarize(known: SecondFactors, admin_email: str, rule: Requirement | None) -> tuple[str, bool]:
    """Return the text of `status` on all accounts' second factors, and whether they are healthy.

    Without a rule they are healthy, unless the first administrator has a second factor: the deploy,
    which logs in with the password, can't give it.
    """
    if known.unseen:
        return f"unknown: {known.unseen}", rule is None
    first = admin_email.lower()
    admin = known.find_account(first)
    others = [each for each in known.accounts if each.is_accepted and first not in each.names]
    lacking = [each.names[0] for each in others if each.lacks_one]
    parts = [f"{join_names(lacking)} {_have(lacking)} none"] if lacking else []
    if not lacking:
        parts = ["everybody has one" if others else "only the first administrator has an account"]
    if admin and admin.factor:
        parts.append(
            f"{first} has a second factor, with which the deploy can't log in: turn it off for "
            "this account"
        )
    elif rule is not None:
        parts.append(f"{first} is exempt, because the deploy logs in with its password")
    is_well = (rule is None or not lacking) and not (admin and admin.factor)
    return "; ".join(parts), is_well
