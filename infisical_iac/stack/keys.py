"""Create the keys and passwords on the host, and keep them complete and private."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.operation import Commands, planned_operation, shared_fact, step
from infisical_iac.core.remote import Fact, run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.instance import given
from infisical_iac.instance.settings import GIVEN, GivenSecret
from infisical_iac.stack.ingress_kinds import KINDS


@dataclass(frozen=True)
class KeysState:
    """The names of keys and files that need repair, by reason.

    Attributes:
        database: whether there is a database that was encrypted with these keys.
        replicas: whether that database is a cluster's.
        repositories: whether there are backups made with their password.
        surplus: secrets of the user, and passwords for metrics, that no setting uses; they need no
            repair.
        admin_email: the address of the administrator whose password is stored; empty if no
            password is stored.
    """

    database: bool = False
    replicas: bool = False
    repositories: bool = False
    missing: frozenset[str] = frozenset()
    sample: frozenset[str] = frozenset()
    malformed: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    surplus: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    admin_email: str = ""

    @property
    def is_complete(self) -> bool:
        """Return whether no key has to be created or repaired."""
        return not (self.missing or self.sample or self.malformed or self.open or self.stale)


class Keys(Fact[KeysState]):
    """Read the KeysState of `/etc/infisical`; `more` are keys that not every host has."""

    def command(self, more: str = "") -> str:
        return script("keys", "check", *([more] if more else []))

    def process(self, output: list[str]) -> KeysState:
        pairs = [line.split(" ", 1) for line in output if " " in line]

        def names_of(what: str) -> frozenset[str]:
            return frozenset(name for kind, name in pairs if kind == what)

        return KeysState(
            database="database" in output or "replicas" in output,
            replicas="replicas" in output,
            repositories="repositories" in output,
            missing=names_of("missing"),
            sample=names_of("sample"),
            malformed=names_of("malformed"),
            open=names_of("open"),
            surplus=names_of("surplus"),
            stale=names_of("stale"),
            admin_email="".join(names_of("admin")),
        )


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
    metrics = OF_METRICS if settings.monitoring.monitoring_listen else ()
    return " ".join(filter(None, (more, *metrics, *(each.key for each in settings.secrets))))


@planned_operation
def given_secrets(secrets: Sequence[GivenSecret], more: str) -> Commands:
    """Ask for secrets that are not on the host, before anything else changes; `files` stores them.

    Raises SettingsError for one that is missing or can't be passed to the container.

    Args:
        secrets: the secrets that come from the user, not from a recovery kit.
        more: the names of further keys, as for `files`.
    """
    yield from decide_given(secrets, shared_fact(Keys, more=more).missing)


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
    yield from decide_unused(shared_fact(Keys, more=more).surplus)


def decide_unused(surplus: frozenset[str]) -> Commands:
    """Decide which secrets to remove: those that are `surplus`."""
    if not surplus:
        yield UpToDate("each secret that the user gave is used")
        return
    names = sorted(surplus)
    for name in names:
        yield Change("-", _path(name), "no setting uses it")
    yield step(run, script("keys", "forget", *names), doing="remove secrets without a use")


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
    there = shared_fact(Keys, more=more)
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
    yield step(_make, admin_email, admin_password or "", more)


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
    if state.admin_email not in ("", admin_email):
        raise error(
            f"setting 'admin_email' is {admin_email} but /etc/infisical/admin.env on the host is "
            f"for {state.admin_email}: set it back, as the first administrator can't be changed",
            code="refused.other_administrator",
        )
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


def _describe_malformed(name: str) -> str:
    return f"/etc/infisical/keys/{name} must hold {_form(name)}: restore it from the recovery kit"


def _form(name: str) -> str:
    """Return the form of a key's file in words; forms.sh checks it."""
    if name.startswith(GIVEN):
        return "text without control characters or empty lines"
    if name == "kit_signing_key":
        return "64 hexadecimal digits on one line"
    length = "exactly 32" if name == "encryption_key" else "at least 16"
    signs = "._-" if name.endswith("_password") or name in OF_INGRESS else "+/=._-"
    return f"{length} characters on one line, of letters, digits and {signs}"


def _make(admin_email: str, admin_password: str, more: str) -> None:
    run(
        script("keys", "make", admin_email, *([more] if more else [])),
        doing="make the keys in /etc/infisical",
        stdin=f"{admin_password}\n{given.lines()}",
    )
