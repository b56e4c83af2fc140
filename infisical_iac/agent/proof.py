"""Prove Infisical after a change of version, keys or topology: logins, secrets, public address.

A transaction that runs on the host calls these functions. They raise RuntimeError with a Failure,
whose code begins with "checks." if Infisical has not passed.
"""

import secrets
import time
from collections.abc import Callable

from infisical_iac.agent import canary, isolation, login
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.contents import MEMORY, parse_known
from infisical_iac.agent.journal import StepContext
from infisical_iac.agent.login import NoLogin
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.public_address import PublicAddress, answers_closed, is_public
from infisical_iac.agent.reach import NONE, compare_reach, read_reach
from infisical_iac.agent.reading import (
    Differences,
    ReadingPlace,
    ask_database,
    compare_all,
    list_names,
    read_all,
)
from infisical_iac.agent.runner import Failure, Runner, explain, make_failure

# Reads of the data before they count as unusable, and the seconds between two.
_ATTEMPTS, _PAUSE = 3, 10
_KEY_BYTES = 32

# After a change that an earlier version began, it is unknown what could be read before, but the
# deployer must be able to log in.
_UNKNOWN = Before({}, public=False)


def refuse_undecryptable(runner: Runner, port: int) -> None:
    """Raise a Failure if the running Infisical can't decrypt its secrets before the change.

    Otherwise secrets could not be compared after the change. An Infisical that does not work at all
    is accepted.
    """
    if client := _find_deployer(runner, port):
        canary.is_alive(client)


def _find_deployer(runner: Runner, port: int) -> LoopbackClient | None:
    """Return the deployer's client; None if Infisical does not work or the login is refused."""
    if not LoopbackClient(port).answers():
        return None
    try:
        return login.deployer(runner, port)
    except NoLogin:
        return None


def record_before(
    runner: Runner, plan: ProofPlan, port: int, *, same_ingress: bool = True
) -> Before | None:
    """Run the checks before a change; None if the deployer can't log in or can't read secrets.

    Args:
        port: where the API is published.
        same_ingress: as in `Before`.
    """
    try:
        client = _find_deployer(runner, port)
        if client is None:
            return None
        key, place = secrets.token_bytes(_KEY_BYTES), _place(runner, plan, port, client)
        found = read_all(place, key).secrets
        reach, public = read_reach(place), is_public(runner, plan.address)
        return Before(found, public, canary.is_alive(client), same_ingress, reach, key.hex())
    except RuntimeError:
        return None


def plan_of(work: StepContext) -> ProofPlan:
    """Return what a proof needs of the settings, from a transaction's plan."""
    return ProofPlan.from_json(work.plan["proof"])


def record(work: StepContext) -> None:
    """Run the checks before a change, and keep the results in the transaction's journal."""
    same_ingress = bool(work.plan.get("same_ingress", True))
    before = record_before(work.runner, plan_of(work), work.plan["port"], same_ingress=same_ingress)
    work.keep(before=before.to_json() if before else None)


def recall(work: StepContext) -> Before | None:
    """Return the results of the checks before the change; None if the deployer could not log in."""
    if "before" not in work.journal.kept:
        return _UNKNOWN
    found = work.journal.kept["before"]
    return Before.from_json(found) if found else None


def check_as_before(
    runner: Runner,
    plan: ProofPlan,
    then: Before | None,
    *,
    port: int,
    same_data: bool,
    open_edge: Callable[[], None] | None = None,
    other_version: bool = False,
) -> list[str]:
    """Run the checks after a change, and return sentences on the results.

    The public address is checked last. A closed edge must first answer that it is closed; then it
    is opened and must lead to Infisical. So nothing can have been written before the other checks.

    Args:
        then: the results of before; a login that did not work then is not checked.
        port: where the API is published now.
        same_data: whether every secret that was read before must still exist.
        open_edge: opens the edge; None where it was not closed.
        other_version: whether the version changed. If so, the new version must prove that it keeps
            an identity to its grants.
    """
    sentences = check_before_opening(
        runner,
        plan,
        then,
        port=port,
        same_data=same_data,
        is_closed=open_edge is not None,
        other_version=other_version,
    )
    if open_edge:
        open_edge()
    check_opened(runner, plan.address, then)
    return sentences


def check_before_opening(
    runner: Runner,
    plan: ProofPlan,
    then: Before | None,
    *,
    port: int,
    same_data: bool,
    is_closed: bool,
    other_version: bool = False,
) -> list[str]:
    """Run the checks of `check_as_before` that come before the edge opens.

    Args:
        is_closed: whether the edge is closed, and will open.
    """
    client = _client(runner, port, needed=then is not None, deployer=same_data)
    if client is None:
        sentences = ["The deployer could not log in before the change: no secret was read."]
        if other_version:
            sentences.append(prove_isolation(runner, plan, port))
    else:
        place = _place(runner, plan, port, client)
        sentences = _check_secrets(place, then, same_data=same_data)
        if other_version:
            # This comes before the check of a service, because its error names the choices.
            sentences.append(_prove_isolation(runner, client, plan))
        if same_data and then and then.reach:
            sentences.append(compare_reach(place, then.reach, then.secrets))
        elif same_data and other_version:
            sentences.append(NONE)
    public = check_closed(runner, plan.address, then, is_closed=is_closed)
    return [*public, *sentences]


def check_closed(
    runner: Runner, address: PublicAddress, then: Before | None, *, is_closed: bool
) -> list[str]:
    """Check that the public address leads to the edge, if that is closed; before it opens.

    Returns sentences on why the public address is not checked.
    """
    sentences = _explain_unchecked(address, then)
    asked = is_closed and address.is_ours and address.is_secure and not sentences
    if asked and not answers_closed(runner, address):
        raise make_failure(
            "checks.edge",
            f"{address.url} no longer leads to the closed Caddy of this deployment",
        )
    return sentences


def check_opened(runner: Runner, address: PublicAddress, then: Before | None) -> None:
    """Check that an open edge leads to Infisical at the public address, as it did before."""
    if not address.is_secure or _explain_unchecked(address, then):
        return
    if not is_public(runner, address, attempts=address.attempts):
        sentence = f"{address.url} no longer answers, as it did before"
        raise make_failure("checks.public", sentence)


def _explain_unchecked(address: PublicAddress, then: Before | None) -> list[str]:
    """Return why the public address is not checked; none if it is checked, or is not HTTPS."""
    if not address.is_secure:
        return []
    if then is None or not then.public:
        return [
            f"{address.url} was not checked, because it did not answer before the change either."
        ]
    if not then.same_ingress:
        return [f"{address.url} was not checked, because its ingress has changed."]
    return []


def prove_isolation(runner: Runner, plan: ProofPlan, port: int) -> str:
    """Prove that the Infisical on a port of the loopback isolates services; return a sentence.

    The administrator logs in if the deployer can't. Raises a Failure, also if neither can log in,
    unless the instance is not set up yet.
    """
    try:
        client = _log_in(runner, port)
    except NoLogin as error:
        if not login.is_initialized(LoopbackClient(port)):
            return "Infisical is not set up yet: its isolation of services was not checked."
        raise isolation.unknown(error) from None
    return _prove_isolation(runner, client, plan)


def _prove_isolation(runner: Runner, client: LoopbackClient, plan: ProofPlan) -> str:
    fell_back = plan.isolation == "privilege" and parse_known(runner.text(MEMORY) or "").fell_back
    try:
        return isolation.prove(client, "projects" if fell_back else plan.isolation)
    except RuntimeError as error:
        if _code(error).partition(".")[0] == "checks":
            raise
        raise isolation.unknown(error) from None


def _code(error: RuntimeError) -> str:
    found = error.args[0] if error.args else None
    return found.code if isinstance(found, Failure) else ""


def _check_secrets(place: ReadingPlace, then: Before | None, *, same_data: bool) -> list[str]:
    try:
        found = read_all(place, _key(then))
    except AnswerError as error:
        raise make_failure("checks.data", f"the secrets can't be read: {error.message}") from None
    sentences = []
    if then and same_data:
        sentences += _refuse_difference(compare_all(place, then.secrets, found))
    alive = canary.is_alive(place.deployer)
    if then and same_data and then.canary and not alive:
        raise make_failure(canary.CODE, "the canary, which was there before, is gone")
    sentences += [] if alive else [canary.NONE]
    count = len(found.secrets)
    number = f"{count} secret{'' if count == 1 else 's'}{' and the canary' * alive}"
    return [*sentences, f"Read as before: {number}."] if same_data else sentences


def _key(then: Before | None) -> bytes:
    return bytes.fromhex(then.key) if then else b""


def check_usable(
    runner: Runner, plan: ProofPlan, then: Before | None, port: int
) -> tuple[list[str], bool]:
    """Read all data with the former version, which runs again.

    Raises a Failure of the checks if the data can't be read in several tries although the database
    answers, and another one if the state of the data is unknown. Deleted secrets, a refused login
    and an altered canary are not a reason to replace the data: people may have caused them since.

    Returns:
        Sentences on the data, and whether secrets are gone that were there before.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _read_again(runner, plan, then, port)
        except RuntimeError:
            time.sleep(_PAUSE)
    return _read_again(runner, plan, then, port)


def _read_again(
    runner: Runner, plan: ProofPlan, then: Before | None, port: int
) -> tuple[list[str], bool]:
    sentences = []
    try:
        place = _place(runner, plan, port, _log_in(runner, port))
        found = read_all(place, _key(then))
        alive = canary.is_alive(place.deployer)
        if then and then.canary and not alive:
            sentences.append("the canary is gone")
    except NoLogin as error:
        return [f"no secret was read: {explain(error)}"], False
    except AnswerError as error:
        return [_explain_refusal(runner, plan, error)], False
    except RuntimeError as error:
        if isinstance(error.__cause__, AnswerError):  # the canary can't be read
            return [_explain_refusal(runner, plan, error.__cause__)], False
        if _code(error) != canary.CODE:
            raise
        sentences.append(explain(error))
    differences = compare_all(place, then.secrets if then else {}, found)
    if differences.unreadable:
        what = list_names(differences.unreadable)
        raise make_failure("checks.data", f"secrets can't be read as before: {what}")
    if differences.deleted:
        sentences.append(f"deleted since: {list_names(differences.deleted)}")
    return sentences, bool(differences.deleted)


def _explain_refusal(runner: Runner, plan: ProofPlan, error: AnswerError) -> str:
    """Return a sentence on a refusal that people may have caused; raise for other answers."""
    if error.status in canary.OF_DATA:
        # Raises if the database does not answer, such as after the loss of its primary.
        sql = "SELECT count(*) FROM infisical_migrations"
        ask_database(runner, plan.topology, sql, doing="check that the database answers")
        raise make_failure("checks.data", f"the secrets can't be read: {error.message}")
    if error.status == 429 or error.status >= 500:
        raise error
    return f"no secret was read: {explain(error)}"


def _client(runner: Runner, port: int, *, needed: bool, deployer: bool) -> LoopbackClient | None:
    """Return the deployer's client, or the administrator's if the deployer need not log in.

    Returns None if neither can and none is needed.
    """
    try:
        if deployer or not needed:
            return login.deployer(runner, port)
        return _log_in(runner, port)
    except NoLogin as error:
        if not needed:
            return None
        if not deployer:
            raise
        sentence = f"the deployer can't log in: {explain(error)}"
        raise make_failure("checks.login", sentence) from None


def _log_in(runner: Runner, port: int) -> LoopbackClient:
    """Log in the deployer, or else the administrator, and return the client.

    Older data may not know the deployer's present secret.
    """
    try:
        return login.deployer(runner, port)
    except NoLogin:
        return login.administrator(runner, port)


def open_place(runner: Runner, plan: ProofPlan, port: int) -> ReadingPlace:
    """Log in as the deployer, and return the place of all secrets.

    Raises RuntimeError with a Failure if the login fails.
    """
    return _place(runner, plan, port, login.deployer(runner, port))


def _place(runner: Runner, plan: ProofPlan, port: int, client: LoopbackClient) -> ReadingPlace:
    known = parse_known(runner.text(MEMORY) or "")
    return ReadingPlace(runner, client, LoopbackClient(port), plan.project, known, plan.topology)


def _refuse_difference(found: Differences) -> list[str]:
    if found.unreadable:
        raise make_failure(
            "checks.data", f"secrets can't be read as before: {list_names(found.unreadable)}"
        )
    if found.is_damage:
        raise make_failure(
            "checks.deleted",
            f"{len(found.deleted)} of {found.of.total()} secrets are deleted: "
            f"{list_names(found.deleted)}; if a person did that, run again",
        )
    return [f"Deleted meanwhile: {list_names(found.deleted)}."] if found.deleted else []
