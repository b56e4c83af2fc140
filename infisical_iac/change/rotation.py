"""Rotate keys, those of Redis and of backup repositories included, or restore the old key."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from infisical_iac.agent import restic
from infisical_iac.agent import rotation as on_host
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.keys import derive
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.transaction import INTERRUPTED
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.change import keys
from infisical_iac.change.keys import (
    Key,
    UnfinishedRotation,
    parse_unfinished,
    refuse_former_targets,
)
from infisical_iac.core import audit, connection, journal, transaction
from infisical_iac.core.agent import Question, ask, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import CommandFailed, Refused, RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import remove, run, write
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.core.transaction import OperatorStep
from infisical_iac.core.wording import join_names
from infisical_iac.host.site import Site, at, site_of
from infisical_iac.instance import given, proof
from infisical_iac.instance.login import client_secret_of
from infisical_iac.instance.settings import MAIL_PASSWORD, GivenSecret
from infisical_iac.stack import compose, session
from infisical_iac.stack.settings import StackSettings
from infisical_iac.stack.state import COMPOSE_FILE, upgrade_question
from infisical_iac.workspace import checks, licensing

_DIRECTORY = "/etc/infisical/keys"
# The backup targets that only one node has, by node; the leader's are left out.
Own = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class KeyHolders:
    """Other nodes and services that hold a key of the host; there are none on a single host."""

    site: Site

    # Whether the host alone can make a rotation, without this program.
    on_host: ClassVar[bool] = True

    def refuse(self, key: Key) -> None:
        """Raise RunFailed if a holder would keep the old key; called before a rotation."""

    def own_repositories(self) -> Own:
        """Return the nodes that have repositories of their own, which the key of backups opens.

        Raises RunFailed if one of the nodes can't be reached.
        """
        return {}

    def admit(self, key: Key, *, all_of_them: bool = True) -> None:
        """Make all services accept the old and the next key; called before a key is switched."""

    def give_both(self, key: Key) -> None:
        """Give both keys to the nodes that may lead next; called before the database changes."""

    def share(self) -> None:
        """Give other nodes the host's state; called once backups have their new password."""

    def use(self) -> None:
        """Restart all services that use a key, with the key in place. Raises a UserError."""
        compose.up(self.site.settings.stack.start_timeout)

    def forget(self, key: Key) -> None:
        """Make all holders forget the keys that are not in place; called before a rotation ends."""


def rotate_repositories(key: Key, holders: KeyHolders) -> list[str]:
    """Replace the password of all repositories, and return sentences about it.

    Raises RunFailed. Nothing is changed then if a repository does not open; otherwise the error
    says which password opens the repositories. The password in the host's file always does.
    """
    own, names = holders.own_repositories(), _targets()
    _refuse_unreachable(names, own)
    _prepare(key, "")
    hand_out(own, f"{key.file}.next")
    failed = _each_repository(_admit(f"{key.file}.next"), names, own)
    if failed:
        raise RunFailed(f"{failed}; {_undo(key, names, own)}", code="run.key_given_up")
    _switch()
    _finish(key, names, own, holders)
    return [
        f"Repositories that only the new password opens: {', '.join(names)}, with all their "
        f"snapshots{f', on {len(own) + 1} nodes' if any(own.values()) else ''}."
    ]


def recover_repositories(unfinished: UnfinishedRotation, holders: KeyHolders) -> str:
    """End an interrupted rotation, and return a sentence on how it ended.

    Raises RunFailed if a repository does not answer. The password in the host's file still opens
    that repository, and a later run ends the rotation.
    """
    own, key, names = holders.own_repositories(), unfinished.key, _targets()
    if unfinished.way == "undo":
        return f"The rotation of the {key.name} key: {_undo(key, names, own)}."
    if unfinished.way == "complete":
        _switch()
        _finish(key, names, own, holders)
    else:
        _end_phase()
    return f"The new {key.name} key is in use."


def _targets() -> list[str]:
    return refuse_former_targets(ask(question(on_host.backup_places)))


def _refuse_unreachable(names: Iterable[str], own: Own) -> None:
    if failed := _each_repository(_reach, names, own):
        raise RunFailed(
            f"{failed}; nothing was changed: repair the target (`infisical-iac backup now` makes a "
            "missing repository), or remove it from backup_targets and apply",
            code="run.no_repository",
        )


def _undo(key: Key, names: Iterable[str], own: Own) -> str:
    """Remove the next password from the repositories; return a clause on the key in use.

    Raises RunFailed.
    """
    if failed := _each_repository(_dismiss(f"{key.file}.next"), names, own):
        raise RunFailed(
            f"the old {key.name} key opens every repository, but the new one could not be removed: "
            f"{failed}; the next `infisical-iac apply` tries again"
        )
    forget(own, key)
    _end_phase()
    return "the old one is in use, and the new one was given up"


def _finish(key: Key, names: Iterable[str], own: Own, holders: KeyHolders) -> None:
    hand_out(own, f"{key.file}.old")
    if own:
        # The state has a serial: a node that was unreachable can't lead with the old password.
        holders.share()
    if failed := _each_repository(_dismiss(f"{key.file}.old"), names, own):
        raise RunFailed(
            f"the new {key.name} key opens every repository, but the old one still does too: "
            f"{failed}; the next `infisical-iac apply` removes it",
            code="run.old_key_opens",
        )
    forget(own, key)
    _end_phase()


def hand_out(to: Collection[str], *files: str) -> None:
    """Copy files of the leader's keys, if they exist, to other nodes."""
    for file in files if to else ():
        path = f"{_DIRECTORY}/{file}"
        text = run(f"cat {path} 2>/dev/null || true", doing=f"read {path}")
        for node in to if text else ():
            with connection.on(node):
                write(path, f"{text}\n")


def forget(of: Collection[str], key: Key) -> None:
    """Remove from other nodes the passwords that are not in use."""
    old = [f"{_DIRECTORY}/{key.file}.{which}" for which in ("next", "old")]
    for node in of:
        with connection.on(node):
            remove(*old, doing="forget the old password")


# Returns the agent's action on the repository of a target.
_Use = Callable[[str], Question[None]]


def _reach(target: str) -> Question[None]:
    return question(restic.reach, target=target)


def _admit(file: str) -> _Use:
    return lambda target: question(restic.admit, target=target, file=f"{_DIRECTORY}/{file}")


def _dismiss(file: str) -> _Use:
    return lambda target: question(restic.dismiss, target=target, file=f"{_DIRECTORY}/{file}")


def _each_repository(use: _Use, names: Iterable[str], own: Own) -> str:
    """Use each repository; return the failures as text, empty if there are none."""
    failed = [_failure(use, name) for name in names]
    for node, theirs in own.items():
        with connection.on(node):
            failed += [_failure(use, name, of=node) for name in theirs]
    return "; ".join(filter(None, failed))


def _failure(use: _Use, name: str, of: str = "") -> str:
    doing = f"use the repository of {name}"
    try:
        perform(use(name), doing=doing)
    except CommandFailed as error:
        reason = str(error).removeprefix(f"could not {doing}: ")
        return f"{name}{f' on {of}' if of else ''}: {reason}"
    return ""


@planned_operation
def unfinished_rotation(
    state: str, *, compose: str, settings: Settings, project: str, site: Site
) -> Commands:
    """End an interrupted rotation: complete it if the checks pass, else undo it.

    If a backup target does not answer, the rest of the run goes on, and a later run ends the
    rotation.

    Args:
        state: the rotation as the host records it, empty if there is none.
        compose: the text of the Compose file, for a host that lost its own; empty if the topology
            has no such file.

    Example:
        rotation.unfinished_rotation(
            state=known.machine.rotating,
            compose=compose,
            settings=known.settings,
            project="chainalign",
            site=known.site,
            name="End a rotation that was interrupted",
        )
    """
    found = parse_unfinished(state)
    if found is None:
        yield UpToDate("no rotation is under way")
        return
    yield Change("~", "unfinished rotation", f"{found.key.name}, {found.outcome}")
    yield step(_recover, found, compose, settings, project, site)


def _recover(
    found: UnfinishedRotation, compose: str, settings: Settings, project: str, site: Site
) -> None:
    seen = not compose or run(
        f"test ! -e {COMPOSE_FILE} || echo there", doing="see what is deployed"
    )
    if not seen:
        write(COMPOSE_FILE, compose)
    try:
        journal.current().operator_notes.append(recover(found, settings, project, site))
    except RunFailed as error:
        if found.key.name != "restic":
            raise
        journal.current().operator_notes.append(str(error))


def rotate(key: Key, settings: Settings, project: str, site: Site) -> list[str]:
    """Replace a key, and return sentences about it.

    Raises RunFailed: the old key is in use again, or the message says how to restore it.
    """
    holders = at(site, KeyHolders)
    if key.name == "restic":
        _refuse_append_only(settings.backup)
        return rotate_repositories(key, holders)
    holders.refuse(key)
    value = _ask(key, settings) if key.is_given else ""
    proof = _Proof(key, settings, project)
    if holders.on_host:
        if value:
            handed = question(on_host.hand_in, key=key.file, value=value)
            perform(handed, doing="store the next key")
        try:
            journal = transaction.begin(
                "rotation",
                transaction.stamp(),
                _plan(key, settings, project),
                proof.steps,
                named=[key.file],
            )
        except (CommandFailed, Refused):
            if value:
                perform(question(on_host.take_back, key=key.file), doing="remove the next key")
            raise
        _refuse_undone(key, journal)
        return [*journal.told, *proof.sentences]
    proof.record()
    _prepare(key, value)
    with _or_back(key, holders):
        holders.admit(key)
        _complete(key, proof, holders)
    _end(key, holders)
    return proof.sentences


class _Proof:
    """The checks of a rotation, before and after the new key is in use.

    Attributes:
        sentences: sentences on the checks after it.
    """

    def __init__(self, key: Key, settings: Settings, project: str) -> None:
        self._key, self._settings, self._project = key, settings, project
        # Without a record, it is unknown which secrets could be read before, but the deployer must
        # be able to log in.
        self._before: Before | None = Before({}, public=False)
        self._was_licensed = False
        self.sentences: list[str] = []

    @property
    def steps(self) -> dict[str, OperatorStep]:
        """The steps of the transaction that this side does: the host can't check a license."""
        if self._key.name != "license":
            return {}
        return {
            f"forward {on_host.READ}": lambda _: self.record(),
            f"forward {on_host.CHECK}": lambda _: self.check(),
        }

    def record(self) -> dict[str, Any]:
        """Run the checks before the rotation."""
        port = compose.published_port()
        self._before = checks.record_before(self._settings, self._project, port)
        if self._key.name == "license":
            found = licensing.read(self._settings.stack.http_port)
            self._was_licensed = licensing.is_active(found)
        return {}

    def check(self) -> dict[str, Any]:
        """Run the checks with the new key. Raises CheckFailed."""
        session.forget()
        self.sentences = checks.check_as_before(
            self._settings,
            self._project,
            self._before,
            port=compose.published_port(),
            same_data=True,
        )
        if self._key.name == "license":
            self.sentences += licensing.check_new_key(self._settings, was_active=self._was_licensed)
        return {}


def _plan(key: Key, settings: Settings, project: str) -> dict[str, Any]:
    return {
        "key": key.file,
        "given": key.is_given,
        "timeout": settings.stack.start_timeout,
        "port": compose.published_port(),
        "proof": asdict(checks.plan_of(settings, project)),
    }


def _refuse_undone(key: Key, journal: TransactionJournal) -> None:
    """Raise RunFailed for a rotation that was undone, with the reason."""
    session.forget()
    if journal.outcome == "undone":
        raise RunFailed(
            f"the new {key.name} key was given up, and the old one is in use again: "
            f"{transaction.explain(journal.failure)}",
            code="run.key_given_up",
        )


def _prepare(key: Key, value: str) -> None:
    begun = question(on_host.prepare, key=key.file, value=value)
    perform(begun, doing="make the next key")


def _ask(key: Key, settings: Settings) -> str:
    """Ask for the next value of a secret that the user gives; prove it where that is possible.

    Raises a UserError, with nothing changed.
    """
    secret = next(each for each in settings.secrets if each.key == key.file)
    value = given.take(secret)
    if secret.variable == MAIL_PASSWORD:
        proof.prove_mail(settings, password=value)
    for each in settings.instance.login.clients:
        if secret.variable == client_secret_of(each) and (
            note := proof.prove_login(settings, each, value)
        ):
            echo(note, err=True)
    if secret.is_in_address:
        proof.prove_proxy(settings, password=value)
    return value


def recover(found: UnfinishedRotation, settings: Settings, project: str, site: Site) -> str:
    """End an interrupted rotation, and return a sentence on how it ended. Raises RunFailed."""
    key, holders = found.key, at(site, KeyHolders)
    if key.name == "restic":
        return recover_repositories(found, holders)
    proof = _Proof(key, settings, project)
    if holders.on_host:
        make_plan = partial(_plan, key, settings, project)
        journal = transaction.take_up("rotation", make_plan, proof.steps)
        session.forget()
        if journal.outcome == "done":
            return " ".join([f"The new {key.name} key is in use.", *journal.told])
        if found.way == "complete" and journal.failure != INTERRUPTED:
            _refuse_undone(key, journal)
        return f"The old {key.name} key is in use."
    if found.way == "complete":
        with _or_back(key, holders):
            _complete(key, proof, holders)
    elif found.way == "go back":
        _go_back(key, holders, "it was interrupted")
    _end(key, holders)
    if found.ends_new:
        return f"The new {key.name} key is in use."
    return f"The old {key.name} key is in use."


def end_unfinished(found: UnfinishedRotation, settings: Settings, project: str) -> None:
    """End an interrupted rotation, record it in the audit log, and print how it ended."""
    with audit.record("keys", [f"~ key {found.key.name}: rotation ended"]):
        how = recover(found, settings, project, site_of(settings))
    echo(f"A rotation had not ended. {how}", err=True)


def refuse_encryption_key(settings: StackSettings) -> Refused:
    """Return the refusal to rotate the encryption key of the current host's Infisical."""
    was = ask(upgrade_question(settings.infisical_reference)).was
    replaces = ask(question(on_host.can_replace_encryption_key))
    version = was.version if was else settings.infisical_version
    return keys.refuse_encryption_key(version=version, replaces=replaces)


def list_keys(secrets: Sequence[GivenSecret]) -> list[tuple[Key, datetime]]:
    """Return the keys of the current host, each with the time when it was made or given."""
    seconds = ask(question(on_host.key_times))
    return [
        (key, datetime.fromtimestamp(seconds[key.file], UTC))
        for key in keys.list_keys(secrets)
        if key.file in seconds
    ]


def refuse_missing(key: Key, secrets: Sequence[GivenSecret]) -> None:
    """Raise Refused if the current host does not have a secret that the user gives."""
    if key.file not in [each.file for each, _ in list_keys(secrets)]:
        raise Refused(
            f"the host does not have {key.purpose} yet: `infisical-iac apply` asks for it",
            code="refused.no_secret",
        )


def _refuse_append_only(settings: BackupSettings) -> None:
    names = [each.name for each in settings.backup_targets if each.append_only]
    if names:
        raise RunFailed(
            f"the backup target {join_names(names)} is append-only, so the host could not remove "
            "the old password there, and nothing was changed: allow removals during the rotation, "
            "at the server and in the settings"
        )


def _complete(key: Key, proof: _Proof, holders: KeyHolders) -> None:
    """Put the new key in place, and re-create the containers that use the old one."""
    _switch()
    _use(key, holders)
    proof.check()


def _use(key: Key, holders: KeyHolders) -> None:
    """Give the key that is in place to everything that uses it."""
    perform(question(derive), doing="write /etc/infisical/.env")
    if key.name == "database":
        holders.give_both(key)
        perform(question(on_host.alter), doing="give PostgreSQL its password")
    session.forget()
    holders.use()


def _end(key: Key, holders: KeyHolders) -> None:
    holders.forget(key)
    _end_phase()


@contextmanager
def _or_back(key: Key, holders: KeyHolders) -> Iterator[None]:
    """Restore the old key if the context fails, and raise RunFailed that names the key in use."""
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        reason = str(error) or "it was interrupted"
        _go_back(key, holders, reason)
        _end(key, holders)
        raise RunFailed(
            f"the new {key.name} key was given up, and the old one is in use again: {reason}",
            code="run.key_given_up",
        ) from None


def _go_back(key: Key, holders: KeyHolders, reason: str) -> None:
    try:
        holders.admit(key, all_of_them=False)
        perform(question(on_host.back), doing="bring the old key back")
        _use(key, holders)
    except UserError as error:
        raise RunFailed(
            f"the old {key.name} key could not be put back ({error}); it is not lost, and "
            f"`infisical-iac apply` tries again. The first failure: {reason}"
        ) from None


def _switch() -> None:
    perform(question(on_host.switch), doing="put the new key in place")


def _end_phase() -> None:
    perform(question(on_host.end), doing="end the rotation")
