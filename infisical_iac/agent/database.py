"""Ask and change Infisical's database through this host's PostgreSQL container.

On a single host that is the database in the container, on a cluster the primary on any node.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from infisical_iac.agent import files, leadership
from infisical_iac.agent.data import GivenUp, given_up_of
from infisical_iac.agent.docker import DockerContainer, find_container
from infisical_iac.agent.runner import Failure, Output, Runner, action, failure_of, observation

KEYS = "/etc/infisical/keys"
_PASSWORD = f"{KEYS}/postgres_password"
_SERVERS = ("postgres-1", "postgres-2", "postgres-3")
_USER = "infisical"
# It prints the server that Patroni reports as the primary.
_FIND_PRIMARY = """for server; do
    curl --noproxy "*" --silent --fail --output /dev/null --max-time 4 \
        "${REST:-http}://$server:8008/primary" && echo "$server" && break
done"""
# The password is the first line of standard input, so that no argument has it.
_WITH_PASSWORD = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec "$@"'
_SESSION = "infisical-iac"


@dataclass(frozen=True)
class Database:
    """The database, by the container that reaches it.

    Attributes:
        password_file: with the password that a cluster's database accepts.
        session: the name of its sessions in PostgreSQL.
    """

    runner: Runner
    container: DockerContainer
    servers: Sequence[str] = ()
    password_file: str = _PASSWORD
    session: str = _SESSION

    @property
    def is_clustered(self) -> bool:
        """True if the container is a Swarm's, so that another node may have the primary."""
        return bool(self.container.swarm_service)

    def run(self, words: Sequence[str], *, stdin: str = "", seconds: float = 60) -> Output:
        """Run a program such as psql in the container, and return its result.

        On a cluster it bypasses HAProxy, which would end a session that waits for a long time. A
        former primary accepts no write, since it has no synchronous standby.
        """
        call, password = self._call(words)
        return self.runner.run(call, stdin=f"{password}{stdin}", seconds=seconds)

    def dump(self, target: Path, *, seconds: float) -> Output:
        """Dump the database into a file, and return the result."""
        words = ["pg_dump", "--username", _USER, "--format", "custom", "infisical"]
        return self.run_into(target, words, seconds=seconds)

    def load(self, words: Sequence[str], source: Path, *, seconds: float) -> Output:
        """Run a program as `run` does, with a file of the host as its standard input."""
        call, password = self._call(words)
        return self.runner.load(call, source, begin=password, seconds=seconds)

    def run_into(
        self, target: Path, words: Sequence[str], *, stdin: str = "", seconds: float
    ) -> Output:
        """Run a program as `run` does, with its output in a file of the host."""
        call, password = self._call(words)
        return self.runner.dump(call, target, stdin=f"{password}{stdin}", seconds=seconds)

    def _call(self, words: Sequence[str]) -> tuple[list[str], str]:
        """Return the command that runs a program in the container, and the password's line."""
        call = ["docker", "exec", "--interactive", "--env", f"PGAPPNAME={self.session}"]
        if not self.is_clustered:
            return [*call, self.container.id, *words], ""
        password = (self.runner.text(self.password_file) or "").strip()
        variables = (
            f"PGHOST={','.join(self.servers)}",
            "PGTARGETSESSIONATTRS=primary",
            "PGCONNECT_TIMEOUT=5",
        )
        call += [word for each in variables for word in ("--env", each)]
        call += [self.container.id, "sh", "-c", _WITH_PASSWORD, "sh", *words]
        return call, f"{password}\n"

    def sql(self, text: str, *, database: str = "infisical", seconds: float = 60) -> list[str]:
        """Return the lines that SQL prints. Raises RuntimeError with a Failure."""
        done = self.run(psql_command(database), stdin=text, seconds=seconds)
        if done.status != 0:
            raise failure_of(done.errors)
        return done.text.splitlines()

    def set_password(self, role: str, password: str) -> None:
        """Set the password of a role. Raises RuntimeError with a Failure.

        psql reads it from standard input and sends only its verifier, so that it is neither in
        arguments nor in PostgreSQL's log and list of sessions.
        """
        words = ["psql", "--no-psqlrc", "--quiet", "--username", _USER, "--dbname", "postgres"]
        done = self.run(
            [*words, "--command", rf"\password {role}"], stdin=f"{password}\n{password}\n"
        )
        if done.status != 0:
            raise failure_of(done.errors)


def psql_command(database: str = "infisical") -> list[str]:
    """Return the command that runs the SQL on standard input, and prints rows only."""
    words = ["psql", "--no-psqlrc", "--username", _USER, "--dbname", database, "--quiet"]
    return [*words, "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]


def find_database(runner: Runner, topology: str = "") -> Database:
    """Return the database. Raises RuntimeError with a Failure if it does not run.

    Args:
        topology: as for `DockerContainer.belongs_to`.
    """
    container = find_container(runner, "postgres", topology)
    if container is None or not container.is_running:
        raise RuntimeError(
            Failure("command", "the database does not run", "`infisical-iac apply` brings it back")
        )
    if not container.swarm_service:
        return Database(runner, container)
    # A standby may lack a new database or password, and a session that it refuses does not try the
    # next server.
    asked = ["docker", "exec", container.id, "sh", "-c", _FIND_PRIMARY, "sh", *_SERVERS]
    try:
        primary = runner.run(asked, seconds=20).text.split()
    except RuntimeError:
        primary = []
    return Database(runner, container, (*primary, *_SERVERS))


_GIVEN_UP = r"""
SELECT json_build_array(datname, coalesce(shobj_description(oid, 'pg_database'), ''))
FROM pg_database WHERE datname LIKE 'infisical\_given\_up\_%' ORDER BY datname
"""


def list_databases_given_up(database: Database, stamp: str = "") -> list[GivenUp]:
    """Return the databases that changes of a cluster gave up, or that of the change `stamp`.

    The comment of such a database has the time, the number of writes, and the images.
    """
    prefix = f"infisical_given_up_{stamp.lower()}"
    rows = (json.loads(line) for line in database.sql(_GIVEN_UP, database="postgres"))
    return [
        given_up_of(name, *(comment.split() or ["", ""]))
        for name, comment in rows
        if name.startswith(prefix)
    ]


_ROTATION = "/var/lib/infisical-rotation/state"
# A change waits until a standby confirms it, maybe forever.
_CHANGE_SECONDS = 600


def find_accepting(database: Database) -> Database:
    """Return a cluster's database with the password that it accepts.

    A rotation may have been about to change the password, and keeps the other one next to it.
    Raises RuntimeError with a Failure if it accepts none of those that exist.
    """
    failure = failure_of(f"there is no {_PASSWORD}")
    for suffix in ("", ".old", ".next"):
        candidate = replace(database, password_file=f"{_PASSWORD}{suffix}")
        if not database.runner.text(candidate.password_file):
            continue
        try:
            candidate.sql("SELECT 1", database="postgres")
        except RuntimeError as error:
            failure = error
            continue
        return candidate
    raise failure


@action
def reopen(runner: Runner) -> bool:
    """Repair the access to the cluster's database after a leader died during a change.

    The new leader runs it before it rolls the stack out. The database may refuse connections, if a
    restore was about to replace it, or have another password than the key in use, if a rotation was
    about to change it. Nothing is done if no database answers: the roll-out starts it.

    Returns whether no key but the one in use is needed any more. Raises RuntimeError with a
    Failure.
    """
    leadership.claim(runner)
    try:
        database = find_accepting(find_database(runner, "swarm"))
    except RuntimeError:
        return False
    if database.password_file != _PASSWORD:
        database.set_password(_USER, (runner.text(_PASSWORD) or "").strip())
        database = replace(database, password_file=_PASSWORD)
    closed = f"SELECT 1 FROM pg_database WHERE datname = '{_USER}' AND NOT datallowconn"
    if database.sql(closed, database="postgres", seconds=_CHANGE_SECONDS):
        opening = f"ALTER DATABASE {_USER} ALLOW_CONNECTIONS true"
        database.sql(opening, database="postgres", seconds=_CHANGE_SECONDS)
    # A rotation that is under way here still needs its other key.
    return not runner.path(_ROTATION).exists()


@observation
def password_hash(runner: Runner) -> str:
    """Return the hash of the file with the database's password."""
    return sha256(runner.path(_PASSWORD).read_bytes()).hexdigest()


@action
def drop_other_passwords(runner: Runner, *, hash: str) -> None:
    """Remove the old and the next password of an ended rotation, if the one in use has this hash.

    A host that was killed while it led a rotation keeps them, as it needs them to end that.
    """
    if runner.path(_ROTATION).exists() or password_hash(runner) != hash:
        return
    for suffix in (".old", ".next"):
        files.remove(runner.path(f"{_PASSWORD}{suffix}"))


@dataclass(frozen=True)
class AccountFactor:
    """The second factor of an account.

    Attributes:
        names: its e-mail address and username, in lower case.
        is_accepted: whether its invitation was accepted.
        factor: such as `totp`; empty without one.
    """

    names: tuple[str, ...]
    is_accepted: bool
    factor: str


# The API shows a second factor only to its own account. If "isMfaEnabled" is set, a login requires
# the factor in "selectedMfaMethod". An app or a passkey that is not registered counts as none:
# anybody who knows the password could then register one.
_FACTORS = r"""
\set passkeys '(SELECT NULL::uuid AS "userId")'
SELECT to_regclass('public.webauthn_credentials') IS NOT NULL AS are_known \gset
\if :are_known
\set passkeys webauthn_credentials
\endif
SELECT json_build_array(
    lower(email), lower(username),
    coalesce("isAccepted", false),
    CASE
        WHEN "isMfaEnabled" IS NOT TRUE THEN ''
        WHEN "selectedMfaMethod" = 'totp' AND NOT EXISTS (
            SELECT FROM totp_configs WHERE "userId" = users.id AND "isVerified") THEN ''
        WHEN "selectedMfaMethod" = 'webauthn' AND NOT EXISTS (
            SELECT FROM :passkeys AS passkeys WHERE "userId" = users.id) THEN ''
        ELSE coalesce("selectedMfaMethod", 'email')
    END)
FROM users WHERE "isGhost" IS NOT TRUE ORDER BY username;
"""


@observation
def second_factors(runner: Runner) -> list[AccountFactor]:
    """Return the second factor of each account."""
    rows = (json.loads(line) for line in find_database(runner).sql(_FACTORS))
    return [
        AccountFactor(tuple(dict.fromkeys(filter(None, names))), accepted, factor)
        for *names, accepted, factor in rows
    ]


@dataclass(frozen=True)
class ExporterLogin:
    """The parts of the host and of PostgreSQL that the exporters need.

    Attributes:
        address: whether the host has the address that serves the metrics.
        database: whether PostgreSQL answers.
        role: whether it has the role, with its password and no other rights than pg_monitor.
    """

    address: bool = False
    database: bool = False
    role: bool = False


_PASSWORD_OF_METRICS = f"{KEYS}/metrics_postgres_password"
# One row if the role can do nothing but log in and read statistics.
_PLAIN_ROLE = """
SELECT count(*) FROM pg_roles AS r WHERE rolname = '{role}' AND rolcanlogin
    AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
    AND ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid)
        = '{{pg_monitor}}'
    AND NOT EXISTS (
        SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid)
"""
_DROP_ROLE = r"""
SELECT 'DROP OWNED BY {role}' FROM pg_roles WHERE rolname = '{role}' \gexec
DROP ROLE IF EXISTS {role};
"""
_MAKE_ROLE = "CREATE ROLE {role} LOGIN CONNECTION LIMIT 5 IN ROLE pg_monitor;"


@observation
def exporter_login(runner: Runner, *, address: str, role: str) -> ExporterLogin:
    """Return what the exporters need, for an address of the host and a role of PostgreSQL.

    Args:
        role: empty if no exporter logs in.
    """
    listed = runner.run(["ip", "-oneline", "address", "show", "to", address])
    has_address = bool(listed.lines)
    if not role:
        return ExporterLogin(address=has_address)
    try:
        database = find_database(runner)
        database.sql("SELECT 1", seconds=20)
    except RuntimeError:
        return ExporterLogin(address=has_address)
    try:
        is_plain = database.sql(_PLAIN_ROLE.format(role=role), seconds=20) == ["1"]
        has_role = is_plain and _logs_in(database, role)
    except RuntimeError:
        has_role = False
    return ExporterLogin(has_address, database=True, role=has_role)


def _logs_in(database: Database, role: str) -> bool:
    """Return whether the role can log in with its password, which its login is asked for."""
    password = database.runner.text(_PASSWORD_OF_METRICS) or ""
    # The container's own name leads to an address that needs the password.
    query = ["psql", "--no-psqlrc", "--quiet", "--host", "postgres", "--username", role]
    query += ["--dbname", "infisical", "--command", "SELECT 1"]
    done = database.run(
        ["sh", "-c", _WITH_PASSWORD, "sh", *query], stdin=f"{password.strip()}\n", seconds=20
    )
    return done.status == 0


@action
def make_exporter_role(runner: Runner, *, role: str) -> None:
    """Make the role of PostgreSQL's exporter, in place of one that differs."""
    database = find_database(runner)
    database.sql(_DROP_ROLE.format(role=role) + _MAKE_ROLE.format(role=role))
    password = Path(runner.path(_PASSWORD_OF_METRICS)).read_text().strip()
    database.set_password(role, password)


@action
def drop_exporter_role(runner: Runner, *, role: str) -> None:
    """Remove the role; without the database, it is gone with it, or stays and can't log in."""
    try:
        find_database(runner).sql(_DROP_ROLE.format(role=role))
    except RuntimeError:
        return
