"""Create the keys and passwords on the host, and keep them complete and private."""

from collections.abc import Sequence
from functools import partial

from infisical_iac.agent import keys
from infisical_iac.agent.keys import KeysState
from infisical_iac.core.agent import Question, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.instance import given
from infisical_iac.instance.settings import GIVEN, GivenSecret
from infisical_iac.stack.ingress_kinds import KINDS


def question_for(more: str = "") -> Question[KeysState]:
    """Return the question for the KeysState; `more` are keys that not every host has."""
    return question(keys.check, more=more.split())


# Without these, the data in the database can't be decrypted or reached.
_BOUND_TO_THE_DATABASE = frozenset({"encryption_key", "postgres_password"})
_BOUND_TO_REPLICAS = frozenset({"replication_password"})
# The keys that a cluster has in addition to those of a single host.
OF_A_CLUSTER = "replication_password patroni_password"
OF_INGRESS = tuple(name for kind in KINDS.values() for name in kind.more_keys.split())


# The passwords of the exporters at PostgreSQL and Redis.
OF_METRICS = ("metrics_postgres_password", "metrics_redis_password")
# Keys and files that no container uses.
_APART = frozenset({"restic_password", "kit_signing_key", "admin.env", OF_METRICS[0]})


def more_of(settings: Settings) -> str:
    """Return the names of keys that not every host has, separated by blanks."""
    swarm = settings.cluster.topology == "swarm"
    more = OF_A_CLUSTER if swarm else settings.stack.ingress_kind.more_keys
    metrics = OF_METRICS if "postgres" in settings.metrics_ports else ()
    return " ".join(filter(None, (more, *metrics, *(each.key for each in settings.secrets))))


@planned_operation
def given_secrets(secrets: Sequence[GivenSecret], more: str) -> Commands:
    """Ask for secrets that are not on the host, before anything else changes; `files` stores them.

    Raises SettingsError for one that is missing or can't be passed to the container.

    Args:
        secrets: the secrets that come from the user, not from a recovery kit.
        more: the names of further keys, as for `files`.
    """
    yield from decide_given(secrets, inspect(question_for(more)).missing)


def decide_given(secrets: Sequence[GivenSecret], missing: frozenset[str]) -> Commands:
    """Decide which secrets to ask for, by the names of the `missing` keys."""
    asked = [each for each in secrets if each.key in missing]
    if not asked:
        yield UpToDate("the host has all secrets that the user gives")
        return
    yield step(given.ask, asked)


@planned_operation
def unused_secrets(more: str) -> Commands:
    """Remove secrets that no setting uses and no container has: the user's, and for metrics."""
    yield from decide_unused(inspect(question_for(more)).surplus)


def decide_unused(surplus: frozenset[str]) -> Commands:
    """Decide which secrets to remove: those that are `surplus`."""
    if not surplus:
        yield UpToDate("each secret that the user gave is used")
        return
    names = sorted(surplus)
    for name in names:
        yield Change("-", _path(name), "no setting uses it")
    asked = question(keys.forget, names=names)
    yield step(perform, asked, doing="remove secrets without a use")


@planned_operation
def files(*, admin_email: str, admin_password: str | None, more: str = "") -> Commands:
    """Create missing keys, and repair modes and the files derived from keys.

    The user's secrets have been read before, by `given_secrets`. Raises Refused if a new key would
    lose data.

    Args:
        admin_email: the administrator whose password is stored if the host has none yet.
        admin_password: that password; None to generate one.
        more: the names of keys that not every host has, separated by blanks.
    """
    there = inspect(question_for(more))
    yield from decide(there, admin_email=admin_email, admin_password=admin_password, more=more)


def decide(
    state: KeysState, *, admin_email: str, admin_password: str | None, more: str = ""
) -> Commands:
    """Decide which keys to create or repair, by their state; raises as `files` does."""
    has_password = admin_password is not None
    refuse(state, admin_email=admin_email, password_given=has_password, shared=OF_A_CLUSTER in more)
    if state.is_complete:
        yield UpToDate("keys and passwords are in place")
        return
    for name in sorted(state.missing):
        yield Change("+", _path(name), _source(name))
    for name in sorted(state.stale):
        if not state.missing:
            yield Change("~", _path(name), "does not match the keys")
    for path in sorted(state.open):
        yield Change("~", path, "readable by others → private to root")
    yield step(make, admin_email, admin_password or "", more)


def _path(name: str) -> str:
    return f"/etc/infisical/{name if '.' in name else f'keys/{name}'}"


def refuse(
    state: KeysState, *, admin_email: str, password_given: bool, shared: bool = False
) -> None:
    """Raise Refused if the keys can't be repaired by creating the missing ones.

    If the error is only about keys that no container uses, it blocks no other step.

    Args:
        shared: whether the host is the leader of a cluster, which shares its keys with the nodes.
    """
    for name in sorted(state.sample):
        raise Refused(
            f"/etc/infisical/keys/{name} is the sample key of Infisical's documentation, which "
            "everybody knows: remove the file and, if there is one, the database made with it",
            code="refused.sample_key",
        )
    for name in sorted(state.malformed - _APART):
        raise Refused(_describe_malformed(name), code="refused.malformed_key")
    bound = _BOUND_TO_THE_DATABASE if state.database else frozenset()
    lost = sorted(state.missing & (bound | (_BOUND_TO_REPLICAS if state.replicas else frozenset())))
    if lost:
        raise Refused(
            f"/etc/infisical/keys/{lost[0]} is missing, but the database made with it exists: "
            "restore the file from the recovery kit, as a new key can't decrypt the data",
            code="refused.lost_key",
        )
    # Compose starts no container without the keys that containers use.
    is_apart = not shared and not state.missing - _APART and not state.stale
    error = partial(Refused, blocks_others=not is_apart)
    refuse_other_administrator(state.admin_email, admin_email, blocks_others=not is_apart)
    for name in sorted(state.malformed):
        raise error(_describe_malformed(name), code="refused.malformed_key")
    if state.repositories and "restic_password" in state.missing:
        raise error(
            "/etc/infisical/keys/restic_password is missing, but backups made with it exist: "
            "restore the file from the recovery kit; if no copy of it is left, move the "
            "repositories elsewhere and remove /var/lib/infisical-backup on the host",
            code="refused.lost_backup_key",
        )
    if state.database and "admin.env" in state.missing and not password_given:
        raise error(
            "/etc/infisical/admin.env is missing: run once with INFISICAL_ADMIN_PASSWORD set to "
            "the administrator's password, which writes the file again",
            code="refused.lost_login",
        )


def _source(name: str) -> str:
    """Return the source of a new key's value; empty for a key that the host generates."""
    if not name.startswith(GIVEN):
        return ""
    variable = name.removeprefix(GIVEN).upper()
    return f"`apply` takes it from {variable} or {variable}_FILE, or asks for it"


def refuse_other_administrator(stored: str, wanted: str, *, blocks_others: bool = True) -> None:
    """Raise Refused if the settings want another administrator than the host's.

    Args:
        stored: the address of the administrator in the host's file; empty without one.
        wanted: the setting `admin_email`.
        blocks_others: whether operations that need the one that raises it are blocked too.
    """
    if stored not in ("", wanted):
        raise Refused(
            f"setting 'admin_email' is {wanted} but /etc/infisical/admin.env on the host is for "
            f"{stored}: set it back, as the first administrator can't be changed",
            code="refused.other_administrator",
            blocks_others=blocks_others,
        )


def _describe_malformed(name: str) -> str:
    return f"/etc/infisical/keys/{name} must hold {_form(name)}: restore it from the recovery kit"


def _form(name: str) -> str:
    """Return the form of a key's file in words, as FORMS in agent/keys.py has it."""
    if name.startswith(GIVEN):
        return "text without control characters or empty lines"
    if name == "kit_signing_key":
        return "64 hexadecimal digits on one line"
    length = "exactly 32" if name == "encryption_key" else "at least 16"
    signs = "._-" if name.endswith("_password") or name in OF_INGRESS else "+/=._-"
    return f"{length} characters on one line, of letters, digits and {signs}"


def make(admin_email: str, admin_password: str, more: str) -> None:
    """Make the missing keys and the files that derive from the keys; arguments as for `files`."""
    asked = question(
        keys.make,
        admin_email=admin_email,
        admin_password=admin_password,
        more=more.split(),
        given=given.values(),
    )
    perform(asked, doing=f"make the keys in {keys.ROOT}")
