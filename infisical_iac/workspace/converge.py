"""Read, compare and apply until nothing differs, with the requests of each change in order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import SECRETS, RateClass, classify
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace import access, structure
from infisical_iac.workspace.actual import count_reads, read
from infisical_iac.workspace.goal import Goal, narrow_people, pair, parts_of
from infisical_iac.workspace.memory import former_folder
from infisical_iac.workspace.model import ServiceAccount, Workspace
from infisical_iac.workspace.state import Actual, ApiChange, Call, Made, blocked_change


def difference(goal: Goal, actual: Actual) -> list[ApiChange]:
    """Return what to change, in an order in which each change finds what it builds on.

    Differences that only a person can correct are included, with the kind `!`; changes that depend
    on them are left out. The only things deleted are privileges and memberships that widen the
    rights of our own identities.
    """
    if goal.is_split:
        return list(_in_parts(goal, actual))
    desired = goal.desired
    changes = _project(goal, actual)
    if actual.project is None and any(each.kind == "!" for each in changes):
        return changes
    changes += access.people(desired, goal.admin_email, actual, goal.factors)
    stuck = {each.what for each in changes if each.kind == "!"}
    there = structure.match_environments(desired, actual, goal.memory.environments)
    blocked = list_blocked(goal, actual)
    for job in desired.jobs():
        if job.identity in blocked:
            changes += access.diff_identity(job, actual)
            changes.append(blocked_change(f"access of {job.identity}", _NO_NAMES))
        else:
            changes += access.diff_account(job, goal.isolation, actual)
    for account in desired.accounts():
        # Permissions show the account's former folder, so they stay until the folder is renamed.
        waits = account.environment not in there or not stuck.isdisjoint(_places(account))
        if not (waits and former_folder(desired, account, actual)):
            changes += access.diff_account(account, goal.isolation, actual)
    return changes


def _project(goal: Goal, actual: Actual) -> list[ApiChange]:
    """Return the differences in a project except its access; if it is blocked, only the block."""
    desired, memory = goal.desired, goal.memory
    of_project = list(structure.project(desired, actual, memory))
    if actual.project is None and any(each.kind == "!" for each in of_project):
        return of_project
    return [
        *of_project,
        *access.admin(goal.admin_email, actual),
        *structure.environments(desired, actual, memory.environments),
        *structure.contents(desired, actual, memory),
    ]


def _in_parts(goal: Goal, actual: Actual) -> Iterator[ApiChange]:
    """Yield the differences of the isolation `projects`: identities first, then each project."""
    blocked = list_blocked(goal, actual)
    for account in goal.desired.every_account():
        yield from access.diff_identity(account, actual)
        if account.identity in blocked:
            yield blocked_change(f"access of {account.identity}", _NO_NAMES)
    yield from access.invitations(goal.desired, goal.admin_email, actual)
    for part, there in pair(goal, actual):
        changes = _project(part, there)
        if there.project is None and any(each.kind == "!" for each in changes):
            yield from changes
            continue
        changes += [
            *access.seats(part.desired, goal.admin_email, there, goal.factors),
            *access.end_seats(there),
        ]
        for account in part.desired.every_account():
            if account.identity not in blocked:
                changes += access.diff_seat(account, goal.isolation, there)
        project = f"project {part.desired.project.slug}"
        for each in changes:
            named = each.what if each.what == project else f"{each.what} of {project}"
            yield replace(each, what=named)
    for key, there in actual.unnamed.items():
        left = narrow_people(goal, key)
        ends = [*access.seats(left, goal.admin_email, there, goal.factors, joins=False)]
        for each in (*ends, *access.end_seats(there)):
            yield replace(each, what=f"{each.what} of project {there.project_slug}")


def list_blocked(goal: Goal, actual: Actual) -> list[str]:
    """Return the identities that need a privilege where the server is known to enforce none."""
    is_lost = goal.memory.unenforced or not actual.has_privileges
    return goal.apart if is_lost else []


_NO_NAMES = (
    "this Infisical does not enforce privileges, so no login can see names only: let the job "
    "see folders, or run `infisical-iac check --offline` in it"
)


def _places(account: ServiceAccount) -> Iterator[str]:
    """Yield the names, as in changes, of an account's environment, folder and parent folders."""
    yield f"environment {account.environment}"
    parts = account.folder.split("/")
    for n in range(2, len(parts) + 1):
        yield f"folder {'/'.join(parts[:n])} in {account.environment}"


_MAIL_FAILED = 500
_NOT_MAILED = (
    "Infisical could not send the mail about it: `infisical-iac mail test ADDRESS` says why"
)
_WORDS = {"+": "make", "~": "correct", "-": "remove"}


def apply(
    client: Client, changes: Iterable[ApiChange], *, admin: Callable[[], Client] | None = None
) -> Iterator[ApiChange]:
    """Make the changes one after another and yield each as soon as it is made.

    `shown` of a yielded change is what the operator must see.

    A change whose mail can't be sent ends early: the next pass finds what is left of it.

    The caller must exhaust the iterator, and read again to find what is left to do, such as in a
    restored environment.

    Args:
        changes: as `difference` orders them.
        admin: logs in the administrator; called once, when the first change needs it.

    Raises UserError, which names the change and says why.
    """
    ids: dict[Made, str] = {}
    administrator = cache(admin or _refuse_administrator)
    for change in changes:
        shown: list[str] = []
        for call in change.calls:
            try:
                shown.append(_make(administrator() if call.by_admin else client, call, ids))
            except UserError as error:
                if call.mails and isinstance(error, ApiError) and error.status == _MAIL_FAILED:
                    shown.append(f"{change.what}: {_NOT_MAILED}")
                    break
                what = f"could not {_WORDS[change.kind]} {change.what}"
                raise UserError(f"{what}: {error}") from error
        yield replace(change, shown="\n".join(filter(None, shown)))


def _refuse_administrator() -> Client:
    raise UserError(
        "it needs the administrator's login, which is not available here",
        code="error.no_administrator",
    )


def _make(client: Client, call: Call, ids: dict[Made, str]) -> str:
    def resolve(value: Any) -> Any:
        return ids[value] if isinstance(value, Made) else value

    send = {"POST": client.post, "PATCH": client.patch, "DELETE": client.delete}[call.method]
    body = call.body and {key: resolve(value) for key, value in call.body.items()}
    answer = send("/".join(map(resolve, call.path)), json=body)
    if call.makes is not None:
        ids[call.makes] = _id(answer, call.makes)
    return call.shows(answer) if call.shows else ""


def _id(answer: Mapping[str, Any], makes: Made) -> str:
    made = answer[makes.split()[0]]
    if isinstance(made, list):  # empty if the object existed already
        if not made:
            raise UserError("someone else made it at the same time; run again")
        made = made[0]
    return str(made["id"])


_MOST_PASSES = 3


def converge(
    client: Client,
    goal: Goal,
    report: Callable[[ApiChange], None],
    admin: Callable[[], Client] | None = None,
) -> Actual:
    """Apply the changes until nothing differs, and return the state read last.

    Differences that only a person can correct are left. A second pass finds what the first one
    uncovered, such as folders missing in an environment that was restored.

    Args:
        report: called with each change once it is made; its `shown` is available only then.
        admin: logs in the administrator; called only for people.

    Raises what `read`, `difference` and `apply` do, and UserError if it does not converge.
    """
    administrator = cache(admin) if admin else None
    for _ in range(_MOST_PASSES + 1):
        actual = read(client, goal, administrator)
        changes = [each for each in difference(goal, actual) if each.kind != "!"]
        if not changes:
            return actual
        for change in apply(client, changes, admin=administrator):
            report(change)
    raise UserError(
        f"Infisical still differs after {_MOST_PASSES} repairs ({changes[0]}): "
        "check whether someone else is changing it, then run again"
    )


def find_renames(desired: Workspace, actual: Actual) -> list[str]:
    """Return the services that still have an identity of their former name."""
    found = (
        account.service
        for account in desired.accounts()
        if account.former and (there := actual.accounts.get(account.identity))
        if there.identity.name == account.former_identity
    )
    return list(dict.fromkeys(found))


def list_rename_notes(desired: Workspace, actual: Actual, *, moves_files: bool) -> list[str]:
    """Return a sentence on each service to be renamed: the steps that follow the apply.

    Args:
        moves_files: whether the same apply renames the files of credentials.
    """
    end = (
        "remove `renamed_from` once that is done and a plan has nothing to change"
        if moves_files
        else "keep `renamed_from` until `infisical-iac apply`, `credentials push` or `credentials "
        "rotate` has renamed its credentials too"
    )
    return [
        f"{name}, renamed from {desired.services[name].renamed_from}: after the apply, run "
        f"`infisical-iac check REPO --fix`, which writes {desired.services[name].folder} into the "
        f"service's .infisical.json, then commit and deploy that file if it changed; {end}"
        for name in find_renames(desired, actual)
    ]


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
        due += count_reads(goal, len(desired.every_account()), len(places))
    due += Counter({SECRETS: of_secrets})
    client.limiter.expect(due)
    return client.limiter.describe(due, "making these changes")


def _count_calls(changes: Iterable[ApiChange]) -> Counter[RateClass]:
    calls = [call for change in changes for call in change.calls]
    kinds = (classify(each.method, "/".join(each.path)) for each in calls)
    return Counter(each for each in kinds if each)
