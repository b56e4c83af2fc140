"""Check Infisical after a change of version, keys or topology: logins, secrets, public address."""

import re
import shlex
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from infisical_iac.agent import contents
from infisical_iac.agent.login import is_initialized
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, NotBootstrapped, UserError
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import edge, session
from infisical_iac.workspace import canary, isolation, reading
from infisical_iac.workspace.reading import Differences, Reach, ReadSecret, Secrets, secret
from infisical_iac.workspace.reconcile import isolation_here, projects_here
from infisical_iac.workspace.settings import WorkspaceSettings

_PUBLIC_SECONDS = 10
# Reads of the data before they count as unusable, and the seconds between two.
_ATTEMPTS, _PAUSE = 3, 10


@dataclass(frozen=True)
class Before:
    """The results of the checks before the change.

    Attributes:
        secrets: the secrets that the deployer read.
        public: whether the public address answered.
        canary: whether there was a canary.
        same_ingress: whether the ingress and its port stay the same.
        reach: the secrets that a service's identity was shown; None if none could log in.
    """

    secrets: Secrets
    public: bool
    canary: bool = False
    same_ingress: bool = True
    reach: Reach | None = None


def refuse_undecryptable(port: int) -> None:
    """Raise CheckFailed if the running Infisical can't decrypt its secrets before the change.

    Otherwise secrets could not be compared after the change. An Infisical that does not work at all
    is accepted.
    """
    if session.works(port):
        canary.is_alive(session.deployer(port))


def record_before(
    settings: Settings, project: str, port: int, *, same_ingress: bool = True
) -> Before | None:
    """Run the checks before a change; None if the deployer can't log in or can't read secrets.

    Args:
        project: the slug of the project whose secrets are read.
        port: where the API is published.
        same_ingress: as in `Before`.
    """
    try:
        if not session.works(port):
            return None
        client = session.deployer(port)
        secrets = _read(client, project).secrets
        reach = reading.before(client, project, port)
        return Before(secrets, is_public(settings), canary.is_alive(client), same_ingress, reach)
    except UserError:
        return None


def check_as_before(
    settings: Settings,
    project: str,
    then: Before | None,
    *,
    port: int,
    same_data: bool,
    open_edge: Callable[[], None] | None = None,
    other_version: bool = False,
) -> list[str]:
    """Run the checks after a change, and return sentences on the results. Raises CheckFailed.

    Changes of version, rotations of keys and migrations between topologies all run them.

    The public address is checked last. A closed edge must first answer that it is closed; then it
    is opened and must lead to Infisical. So nothing can have been written before the other checks.

    Args:
        port: where the API is published now.
        then: the results of before; a login that did not work then is not checked.
        same_data: whether every secret that was read before must still exist.
        open_edge: opens the edge; None where it was not closed.
        other_version: whether the version changed. If so, the new version must prove that it keeps
            an identity to its grants.
    """
    session.forget()
    client = _client(port, needed=then is not None, deployer=same_data)
    if client is None:
        sentences = ["The deployer could not log in before the change: no secret was read."]
        if other_version:
            sentences.append(prove_isolation(settings, port))
    else:
        sentences = _check_secrets(settings, client, project, then, same_data=same_data)
        if other_version:
            # This comes before the check of a service, because its error names the choices.
            sentences.append(_prove_isolation(client, settings.workspace))
        if same_data and then and then.reach:
            sentences.append(reading.compare(client, project, port, then.reach, then.secrets))
        elif same_data and other_version:
            sentences.append(reading.NONE)
    public = check_public_address(settings, then, open_edge)  # last, as it opens the edge
    return [*public, *sentences]


def prove_isolation(settings: Settings, port: int) -> str:
    """Prove that the Infisical on a port of the loopback isolates services; return a sentence.

    The administrator logs in if the deployer can't. Raises CheckFailed, also if neither can log in,
    unless the instance is not set up yet.
    """
    try:
        client = _log_in(port)
    except NotBootstrapped as error:
        if not is_initialized(session.api(port)):
            return "Infisical is not set up yet: its isolation of services was not checked."
        raise isolation.unknown(error) from None
    return _prove_isolation(client, settings.workspace)


def _prove_isolation(client: Client, settings: WorkspaceSettings) -> str:
    try:
        return isolation.prove(client, isolation_here(settings.isolation))
    except CheckFailed:
        raise
    except UserError as error:
        raise isolation.unknown(error) from None


def _check_secrets(
    settings: Settings, client: Client, project: str, then: Before | None, *, same_data: bool
) -> list[str]:
    try:
        found = _read(client, project)
    except ApiError as error:
        raise CheckFailed(
            f"the secrets can't be read: {error.message}", code="checks.data"
        ) from None
    sentences = []
    if then and same_data:
        sentences += _refuse_difference(_compare(settings, then.secrets, found))
    alive = _canary(client, then if same_data else None)
    sentences += [] if alive else [canary.NONE]
    count = len(found.secrets)
    number = f"{count} secret{'' if count == 1 else 's'}{' and the canary' * alive}"
    return [*sentences, f"Read as before: {number}."] if same_data else sentences


def check_usable(
    settings: Settings, project: str, then: Before | None, *, port: int
) -> tuple[list[str], bool]:
    """Read all data with the former version, which runs again.

    Raises CheckFailed if the data can't be read in several tries although the database answers, and
    another UserError if the state of the data is unknown. Deleted secrets, a refused login and an
    altered canary are not a reason to replace the data: people may have caused them since.

    Returns:
        Sentences on the data, and whether secrets are gone that were there before.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _read_again(settings, project, then, port)
        except UserError:
            time.sleep(_PAUSE)
    return _read_again(settings, project, then, port)


def _read_again(
    settings: Settings, project: str, then: Before | None, port: int
) -> tuple[list[str], bool]:
    session.forget()
    sentences = []
    try:
        client = _log_in(port)
        found = _read(client, project)
        alive = canary.is_alive(client)
        if then and then.canary and not alive:
            sentences.append("the canary is gone")
    except NotBootstrapped as error:
        return [f"no secret was read: {error}"], False
    except ApiError as error:
        return [_explain_refusal(settings, error)], False
    except CheckFailed as error:
        if isinstance(error.__cause__, ApiError):  # the canary can't be read
            return [_explain_refusal(settings, error.__cause__)], False
        sentences.append(str(error))
    differences = _compare(settings, then.secrets if then else {}, found)
    if differences.unreadable:
        what = reading.list_names(differences.unreadable)
        raise CheckFailed(f"secrets can't be read as before: {what}", code="checks.data")
    if differences.deleted:
        sentences.append(f"deleted since: {reading.list_names(differences.deleted)}")
    return sentences, bool(differences.deleted)


def _explain_refusal(settings: Settings, error: ApiError) -> str:
    """Return a sentence on a refusal that people may have caused; raise for other answers."""
    if error.status in canary.OF_DATA:
        # Raises if the database does not answer, such as after the loss of its primary.
        _ask(settings, "migrations", doing="check that the database answers")
        raise CheckFailed(f"the secrets can't be read: {error.message}", code="checks.data")
    if error.status == 429 or error.status >= 500:
        raise error
    return f"no secret was read: {error}"


def _canary(client: Client, then: Before | None) -> bool:
    alive = canary.is_alive(client)
    if then and then.canary and not alive:
        raise CheckFailed("the canary, which was there before, is gone", code=canary.CODE)
    return alive


def _client(port: int, *, needed: bool, deployer: bool) -> Client | None:
    """Return the deployer's client, or the administrator's if the deployer need not log in.

    Returns None if neither can and none is needed.
    """
    try:
        return session.deployer(port) if deployer or not needed else _log_in(port)
    except NotBootstrapped as error:
        if not needed:
            return None
        if not deployer:
            raise
        raise CheckFailed(f"the deployer can't log in: {error}", code="checks.login") from None


def _log_in(port: int) -> Client:
    """Log in the deployer, or else the administrator, and return the client.

    Older data may not know the deployer's present secret.
    """
    try:
        return session.deployer(port)
    except NotBootstrapped:
        return session.administrator(port)


@dataclass(frozen=True)
class _Read:
    """Secrets by their ids, and the environments that were deleted and can be restored."""

    secrets: Secrets
    closed: frozenset[str] = frozenset()


def _read(client: Client, slug: str) -> _Read:
    """Read every secret of the project of a slug, or of the projects in its place."""
    patient, projects = client.with_patience(), projects_here(client, slug)
    secrets: dict[str, ReadSecret] = {}
    closed: set[str] = set()
    for project in projects:
        listed = contents.secrets_of(patient, project)
        # Several projects may have the same environment.
        place = f"{project['slug']}/" if len(projects) > 1 else ""
        secrets |= {
            each["id"]: secret(f"{place}{environment}", each)
            for environment, found in listed.items()
            for each in found
        }
        gone = {each["slug"] for each in project.get("deletedEnvironments", ())} - listed.keys()
        closed |= {f"{place}{each}" for each in gone}
    return _Read(secrets, frozenset(closed))


def _compare(settings: Settings, before: Secrets, found: _Read) -> Differences:
    present = _present(settings, before.keys() - found.secrets.keys())
    return reading.compare_secrets(before, found.secrets, present=present, closed=found.closed)


def _present(settings: Settings, ids: Collection[str]) -> set[str]:
    """Return the ids of secrets that have a row in the database. Raises CommandFailed.

    Every version of Infisical removes the row of a deleted secret.
    """
    if not ids:
        return set()
    # An id that SQL would have to quote is not queried, and never counts as deleted.
    odd = {each for each in ids if not re.fullmatch("[0-9A-Za-z-]{1,64}", each)}
    doing = "read which secrets the database has"
    stdin = "".join(f"{each}\n" for each in ids)
    return odd | set(_ask(settings, "present", doing=doing, stdin=stdin).split())


def _ask(settings: Settings, what: str, *, doing: str, stdin: str | None = None) -> str:
    """Return what releases.sh reads from the database. Raises CommandFailed."""
    # While data move, the host has a database of each topology.
    command = f"TOPOLOGY={settings.cluster.topology} {script('releases', what)}"
    return run(command, doing=doing, stdin=stdin)


def _refuse_difference(found: Differences) -> list[str]:
    if found.unreadable:
        raise CheckFailed(
            f"secrets can't be read as before: {reading.list_names(found.unreadable)}",
            code="checks.data",
        )
    if found.is_damage:
        raise CheckFailed(
            f"{len(found.deleted)} of {found.of.total()} secrets are deleted: "
            f"{reading.list_names(found.deleted)}; if a person did that, run again",
            code="checks.deleted",
        )
    return [f"Deleted meanwhile: {reading.list_names(found.deleted)}."] if found.deleted else []


def check_public_address(
    settings: Settings, then: Before | None, open_edge: Callable[[], None] | None
) -> list[str]:
    """Check the public address as `check_as_before` describes it. Raises CheckFailed."""
    url = settings.stack.site_url
    sentences = _explain_unchecked(url, then)
    asked = url.startswith("https:") and not sentences
    # A load balancer takes a while to notice that a node is healthy again.
    attempts = 30 if settings.balancer_address else 7
    if open_edge:
        if asked and edge.is_ours(settings.stack) and not edge.answers_closed(settings, attempts):
            raise CheckFailed(
                f"{url} no longer leads to the closed Caddy of this deployment", code="checks.edge"
            )
        open_edge()
    if asked and not is_public(settings, retries=attempts - 1):
        raise CheckFailed(f"{url} no longer answers, as it did before", code="checks.public")
    return sentences


def _explain_unchecked(url: str, then: Before | None) -> list[str]:
    """Return why the public address is not checked; none if it is checked, or is not HTTPS."""
    if not url.startswith("https:"):
        return []
    if then is None or not then.public:
        return [f"{url} was not checked, because it did not answer before the change either."]
    if not then.same_ingress:
        return [f"{url} was not checked, because its ingress has changed."]
    return []


def is_public(settings: Settings, retries: int = 0) -> bool:
    """Return whether the host reaches Infisical by its public address."""
    url = settings.stack.site_url
    if not url.startswith("https:"):
        return False
    patience = f"--max-time {_PUBLIC_SECONDS} --retry {retries} --retry-delay 3 --retry-all-errors"
    asked = f"{patience} {shlex.quote(url)}/api/status"
    return edge.can_reach(settings, f"curl --noproxy '*' --fail --output /dev/null {asked}")
