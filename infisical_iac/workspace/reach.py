"""Connect to an Infisical: through a host's SSH, or at a URL."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from infisical_iac.agent import contents
from infisical_iac.agent.identities import PREFIX, organization_id
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import RateLimiter
from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.core.terminal import echo, print_note
from infisical_iac.core.validation import is_confidential, suggest
from infisical_iac.core.wording import join_names
from infisical_iac.stack.access_log import FolderReads, describe_reads, merge_reads
from infisical_iac.workspace import credentials
from infisical_iac.workspace.credential_file import Credential, Store, directory
from infisical_iac.workspace.credentials import DIRECTORY, Step, plan
from infisical_iac.workspace.goal import Memory, Reached, slugs_of
from infisical_iac.workspace.load import declared_file, declared_isolation, declared_rate, load
from infisical_iac.workspace.model import Isolation, Workspace

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings

_VARIABLES = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET")
_EMAIL = "INFISICAL_ADMIN_EMAIL"
_PASSWORD = "INFISICAL_ADMIN_PASSWORD"
_ALLOW_HTTP = "INFISICAL_ALLOW_HTTP"
_CLIENT_ID = "INFISICAL_CLIENT_ID="


@contextmanager
def reach(
    inventory: str,
    file: Path | None,
    isolation: Isolation | None,
    *,
    lock: "Callable[[Host], None] | None" = None,
    needs_admin: bool = True,
) -> Iterator[Reached]:
    """Connect to the Infisical at INFISICAL_API_URL if set, else to the inventory's host.

    Args:
        file: the project file; None takes the host's setting, or the shipped one.
        isolation: None takes the host's setting. With INFISICAL_API_URL it takes the setting in the
            inventory's files, or else what fits the projects that are there.
        lock: takes the host's lock; None for commands that change nothing.
        needs_admin: whether INFISICAL_ADMIN_EMAIL is needed at a URL.

    Raises UserError if it can't be reached.
    """
    if url := os.environ.get("INFISICAL_API_URL", ""):
        # Where the first deploy fell back to projects, the settings may still have privileges.
        declared = declared_isolation(inventory)
        isolation = isolation or (None if declared == "privilege" else declared)
        limiter = RateLimiter(dict(declared_rate(inventory) or ()), note=print_note)
        way = _at(url, file or declared_file(inventory), isolation, needs_admin, limiter)
    else:
        way = _on_host(inventory, file, isolation, lock)
    with way as reached:
        yield reached


@contextmanager
def _at(
    url: str, file: Path, isolation: Isolation | None, needs_admin: bool, limiter: RateLimiter
) -> Iterator[Reached]:
    by_token = bool(os.environ.get(login.IDENTITY))
    if by_token and (both := [name for name in _VARIABLES if os.environ.get(name)]):
        raise SettingsError(
            f"{login.IDENTITY} and {both[0]} are both set: remove one, since each is a login",
            code="settings.two_logins",
        )
    variables = () if by_token else _VARIABLES
    needed = (*variables, _EMAIL) if needs_admin else variables
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        raise SettingsError(
            f"INFISICAL_API_URL is set, but not {join_names(missing)}: set "
            f"{'it' if len(missing) == 1 else 'them'} too"
        )
    require_confidential(url)
    id, secret = (os.environ.get(name, "") for name in _VARIABLES)
    email = os.environ.get(_EMAIL, "")
    desired = load(file, admin_email=email)
    address = url.rstrip("/").removesuffix("/api")
    with Client(address, limiter=limiter) as client:
        if by_token:
            deployer = login.by_platform(client, os.environ)
        else:
            deployer = login.universal(client, id, secret)
        yield Reached(
            client=deployer,
            address=address,
            deployer=id,
            admin=cache(partial(_administrator, deployer, email)),
            has_admin=bool(os.environ.get(_PASSWORD)),
            desired=desired,
            isolation=isolation or _find_isolation(deployer, desired),
            admin_email=email,
            deployer_secret=secret[:PREFIX],
        )


def _find_isolation(client: Client, desired: Workspace) -> Isolation:
    """Return `projects` if only projects of single services are there, else `privilege`."""
    there = {each["slug"] for each in contents.projects(client)}
    is_whole = desired.project.slug in there or there.isdisjoint(slugs_of(desired).values())
    return "privilege" if is_whole else "projects"


def require_confidential(url: str, name: str = "INFISICAL_API_URL") -> None:
    """Raise SettingsError for an invalid URL, or if credentials would go there unencrypted.

    Args:
        name: the variable or option that gives the URL.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{name} is {url!r}: write https:// and the server's name")
    if not is_confidential(url) and os.environ.get(_ALLOW_HTTP, "").lower() not in ("1", "true"):
        raise SettingsError(
            f"{name} is {url!r}, where credentials would go unencrypted: write "
            f"https://, or set {_ALLOW_HTTP}=1 if you trust the whole network between",
            code="settings.unencrypted",
        )


def _administrator(client: Client, email: str) -> Client:
    """Log the administrator in, into the deployer's organization; `client` is the deployer's."""
    password = os.environ.get(_PASSWORD)
    if not password:
        raise SettingsError(f"this needs the login of {email}: set {_PASSWORD} too")
    # The administrator may be in several organizations, the deployer is in one.
    return login.password(client, email, password, organization_id(client))


@contextmanager
def _on_host(
    inventory: str,
    file: Path | None,
    isolation: Isolation | None,
    lock: "Callable[[Host], None] | None",
) -> Iterator[Reached]:
    # Importing these starts gevent in the process, which a URL does not need.
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connect
    from infisical_iac.core.settings import load as load_settings
    from infisical_iac.stack import session
    from infisical_iac.workspace import reconcile

    declared: dict[str, tuple[Settings, Workspace]] = {}

    def read_files(hosts: "Sequence[Host]") -> None:
        """Read the settings and the project file before the connection."""
        for each in hosts:
            settings = load_settings(each.data.dict())  # type: ignore[no-untyped-call]
            path = file or Path(settings.workspace.workspace_file)
            desired = load(path, admin_email=settings.workspace.admin_email)
            declared[each.name] = settings, desired

    with connect(inventory, check=read_files) as host:
        settings, desired = declared[host.name]
        session.expect_administrator(settings.workspace.admin_email)
        if lock:
            lock(host)
        memory = reconcile.read_memory()
        reached = Reached(
            client=session.deployer(settings.stack.http_port),
            address=settings.stack.site_url,
            deployer=session.deployer_id(settings.stack.http_port),
            admin=cache(partial(session.administrator, settings.stack.http_port)),
            has_admin=True,
            desired=desired,
            isolation=isolation or settings.workspace.isolation,
            admin_email=settings.workspace.admin_email,
            factors=reconcile.required_factors(desired),
            remember=reconcile.save_memory,
            credentials=_credentials,
            deployer_secret=session.deployer_secret(settings.stack.http_port),
            discard=_discard,
            recorded=audit.record,
            read_accesses=partial(_read_accesses, desired, memory)
            if settings.stack.runs_caddy
            else None,
        )
        yield reached.recalling(memory)


def _read_accesses(desired: Workspace, memory: Memory, since: datetime) -> FolderReads:
    """Return the reads of all hosts' logs, without those of jobs that see only names.

    A pipeline's `check` lists the names in all folders, which is no use of a secret.
    """
    from pyinfra.context import host

    from infisical_iac.core.connection import each_of, with_others
    from infisical_iac.host.watch import read_folder_reads

    names = [each.identity for each in desired.jobs() if not each.sees_values]
    ids = [memory.identities[each] for each in names if each in memory.identities]
    logs = each_of(with_others(host), lambda _: read_folder_reads(since, ids))
    return merge_reads(map(describe_reads, logs))


def _credentials() -> Mapping[str, str]:
    from infisical_iac.core.remote import run

    command = f"grep -H '^{_CLIENT_ID}' {DIRECTORY}/*.env 2>/dev/null || true"
    lines = run(command, doing=f"read {DIRECTORY}").splitlines()
    found = (line.partition(f":{_CLIENT_ID}") for line in lines)
    return {path: client_id for path, _, client_id in found}


def _discard(paths: Sequence[str]) -> None:
    from infisical_iac.core.remote import remove

    if paths:
        remove(*paths, doing="remove credentials")


@dataclass(frozen=True)
class StoredCredentials:
    """The credentials as read at one moment.

    Attributes:
        place: the place of the files; None at a URL if no directory was given.
        files: their content by name; None likewise.
        steps: the changes due, for each service and environment.
        changes: the changes that were made since.
    """

    reached: Reached
    place: Store | None
    files: dict[str, str] | None
    steps: Sequence[Step]
    now: datetime
    changes: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """Return access to the files; only after `open_credentials` with `needs_files`."""
        assert self.place is not None
        return self.place

    def some(self, service: str | None, environment: str | None) -> list[Step]:
        """Return the steps of a service, of an environment, or all; raise UserError for none."""
        for name, known, what in (
            (service, [each.account.service for each in self.steps], "service"),
            (environment, [each.account.environment for each in self.steps], "environment"),
        ):
            if name is not None and name not in known:
                names = list(dict.fromkeys(known))
                raise UserError(
                    f"there is no {what} {name!r} in the project file: {suggest(name, names)}"
                )
        return [
            each
            for each in self.steps
            if service in (None, each.account.service)
            and environment in (None, each.account.environment)
        ]

    def one(self, service: str, environment: str) -> Step:
        """Return the step of a service in an environment. Raises UserError if there is none."""
        return self.some(service, environment)[0]

    def has_file(self, step: Step) -> bool | None:
        """Return whether a step has a file, also under its former name; None if unknown."""
        return None if self.files is None else step.moves or step.account.credentials in self.files

    def credential_of(self, step: Step) -> Credential:
        """Return the working credential of a step. Raises UserError if there is none."""
        if step.held is None:
            name = step.account.credentials
            raise UserError(
                f"there are no credentials {name} that work in {self.store.place}: make them with "
                f"`infisical-iac credentials rotate {step.account.service} --env "
                f"{step.account.environment}`, or with the next apply"
            )
        return step.held

    def report(self, change: str) -> None:
        """Print a change that was made, and keep it for the audit log."""
        echo(change)
        self.changes.append(change)

    def record_disclosure(self, steps: Sequence[Step]) -> AbstractContextManager[None]:
        """Return a context that records the credentials shown in it in the host's audit log."""
        names = [f"shown: {each.account.credentials}" for each in steps]
        return self.reached.recorded("credentials", names)

    def record(self) -> AbstractContextManager[None]:
        """Return a context that records in the host's audit log the changes made in it."""
        return self.reached.recorded("rotation", self.changes)


@contextmanager
def open_credentials(
    inventory: str,
    file: Path | None,
    where: Path | None,
    *,
    lock: "Callable[[Host], None] | None" = None,
    needs_files: bool = True,
) -> Iterator[StoredCredentials]:
    """Yield the credentials of the Infisical that `reach` connects to.

    Args:
        where: the directory of the files at a URL.
        lock: as for `reach`; with it, the files of renamed services get their new names, and files
            of a former form the variables that they lack.
        needs_files: whether `where` must be given at a URL.

    Raises UserError.
    """
    with reach(inventory, file, None, lock=lock, needs_admin=False) as reached:
        store = _store(reached, where, needs_files)
        files = dict(store.read()) if store else None
        now = datetime.now(UTC)
        known = reached.memory.identities
        holders = credentials.find_holders(reached.client, reached.desired, known)
        steps = plan(reached.desired, holders, files or {}, now)
        if lock and store and any(map(credentials.can_carry_over, steps)):
            _carry_over(StoredCredentials(reached, store, files, steps, now))
            files = dict(store.read())
            steps = plan(reached.desired, holders, files, now)
        yield StoredCredentials(reached, store, files, steps, now)


def _carry_over(kept: StoredCredentials) -> None:
    with kept.record():
        for step in filter(credentials.can_carry_over, kept.steps):
            credentials.carry_over(kept.store, step)
            kept.report(str(step.changes[0]))


def _store(reached: Reached, where: Path | None, needs_files: bool) -> Store | None:
    if reached.remember is not None:
        if where is not None:
            raise UserError(
                "--credentials is for an Infisical at a URL: here the files are on the host"
            )
        from infisical_iac.workspace.deploy import credential_store

        return credential_store()
    if where is None and needs_files:
        raise UserError(
            "at a URL there is no host that keeps the credentials: give --credentials with a "
            "directory for their files, <service>.<environment>.env"
        )
    return directory(where) if where is not None else None
