"""Plan the credentials of services; list, make, prove and revoke their client secrets."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from infisical_iac.agent import identities
from infisical_iac.agent.api import gather_by
from infisical_iac.agent.identities import (
    ClientSecret,
    UniversalAuth,
    client_secrets,
    create_client_secret,
    revoke_client_secret,
    universal_auth,
)
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.change import Change
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.workspace.credential_file import (
    Credential,
    Replaced,
    Store,
    Term,
    parse,
    render,
    until,
)
from infisical_iac.workspace.model import Account, JobAccount, Workspace
from infisical_iac.workspace.state import Actual

DIRECTORY = "/etc/infisical/credentials"
_CLIENT_ID = re.compile(r"^INFISICAL_CLIENT_ID=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Holder:
    """An identity that logs in with credentials, and its client secrets as listed."""

    identity_id: str
    client_id: str
    secrets: Sequence[ClientSecret]


@dataclass(frozen=True)
class Step:
    """The changes due for the credentials of one service in one environment.

    Attributes:
        account: the account of the credentials.
        holder: the identity; None while it is still to be made.
        creates: whether a new client secret is to be made and its file written.
        orphans: ids of client secrets in no file, to be revoked after the file is written.
        spared: ids of client secrets that are no longer in the file but are still used elsewhere.
        held: the working credential in the file, or in the file of the former name; None without.
        moves: whether there is a file of the former name: a working credential in it is moved to
            the file of the new name, and then it is removed.
    """

    account: Account
    holder: Holder | None
    creates: bool
    orphans: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    held: Credential | None = None
    moves: bool = False

    @property
    def is_up_to_date(self) -> bool:
        """Return whether there is nothing to do."""
        return not (self.creates or self.orphans or self.moves or self.completes)

    @property
    def completes(self) -> bool:
        """Return whether a valid file has a former format, and must be rewritten."""
        return self.held is not None and self.held.is_former

    @property
    def changes(self) -> list[Change]:
        """Return the changes due, for people."""
        name, former = self.account.credentials, self.account.former_credentials
        changes = [Change("+", f"credentials {name}")] if self.creates else []
        if self.moves and self.creates:
            changes.append(Change("-", f"credentials {former}"))
        elif self.moves:
            changes.append(Change("~", f"credentials {former}", f"name {former} → {name}"))
        elif self.completes:
            is_job = isinstance(self.account, JobAccount)
            named = f"set to {self.account.starts_in}" if self.account.starts_in else "left out"
            what = f"INFISICAL_ENVIRONMENT {named if is_job else 'added'}"
            changes.append(Change("~", f"credentials {name}", what))
        return [*changes, self.revocation] if self.orphans else changes

    @property
    def revocation(self) -> Change:
        """Return the revocation of the step's orphans, for people."""
        what = f"client secrets of {self.account.credentials} that no file holds"
        return Change("-", what, str(len(self.orphans)))

    def __str__(self) -> str:
        return ", ".join(map(str, self.changes)) or f"= credentials {self.account.credentials}"


def path(account: Account) -> str:
    """Return the path of an account's file on the host."""
    return f"{DIRECTORY}/{account.credentials}.env"


def description(account: Account) -> str:
    """Return the description in Infisical of a client secret made for an account."""
    return f"infisical-iac: {account.credentials}"


def is_made_for(account: Account, secret: ClientSecret) -> bool:
    """Return whether this project made a client secret of an account's identity.

    Descriptions never change, so a client secret that was made before a rename of the service has
    the former name in its description.
    """
    ours = rf"infisical-iac: [a-z0-9-]+\.{account.environment}"
    return bool(re.fullmatch(ours, secret.description))


def plan(
    desired: Workspace,
    holders: Mapping[str, Holder],
    files: Mapping[str, str],
    now: datetime | None = None,
) -> list[Step]:
    """Return a step for every account with a client secret, even if nothing is to be done.

    Args:
        holders: the identities by name; a missing one has not been made yet.
        files: the content of the files by the name of the credentials.
        now: the time that ages are counted to; None for the present.
    """
    now = now or datetime.now(UTC)
    return [
        _step(account, holders.get(account.identity), files, now)
        for account in desired.secret_holders()
    ]


def _step(account: Account, holder: Holder | None, files: Mapping[str, str], now: datetime) -> Step:
    if holder is None:
        return Step(account, None, creates=True)
    before = files.get(account.former_credentials, "")
    moves = holder.client_id in _CLIENT_ID.findall(before)
    texts = [files.get(account.credentials, ""), *([before] if moves else [])]
    works = [_working_credential(account, holder, parse(text), now) for text in texts]
    held = next(filter(None, works), None)
    own = own_secrets(account, holder)
    others = [each for each in own if not held or each.id != held.secret_id]
    spared: tuple[str, ...] = ()
    if held is None and account.target:  # the target may have it, though it is lost here
        spared = tuple(each.id for each in others if each.works(now))
    elif held and held.replaced and held.replaced.is_kept(now):
        spared = tuple(each.id for each in others if each.id in held.replaced.ids)
    orphans = tuple(each.id for each in others if each.id not in spared)
    return Step(account, holder, held is None, orphans, spared, held, moves)


def own_secrets(account: Account, holder: Holder) -> list[ClientSecret]:
    """Return the client secrets that this project made for an account."""
    return [each for each in holder.secrets if is_made_for(account, each)]


def _working_credential(
    account: Account, holder: Holder, found: Credential | None, now: datetime
) -> Credential | None:
    """Return the credential of the file if it is the account's own and still works.

    The file of a job may name another environment: the job may have changed since, or a former
    release wrote `ci`.
    """
    if found is None or found.client_id != holder.client_id:
        return None
    if not any(each.id == found.secret_id and each.works(now) for each in holder.secrets):
        return None
    if found.environment == account.starts_in:
        return found
    if isinstance(account, JobAccount):
        return replace(found, environment=account.starts_in, is_former=True)
    return None


def notes(steps: Sequence[Step], now: datetime) -> list[str]:
    """Return sentences on working credentials that need a person's attention."""
    sentences = []
    for step in steps:
        name, service = step.account.credentials, step.account.service
        where = f"{service} --env {step.account.environment}"
        if step.held is None:
            continue
        if step.held.is_undelivered:
            sentences.append(
                f"credentials {name} were replaced, but their delivery is unfinished: run "
                f"`infisical-iac credentials {'push' if step.account.target else 'rotate'} {where}`"
            )
        elif (term := step.held.term) and term.is_near_its_end(now):
            sentences.append(
                f"credentials {name}: the client secret {until(term, now)}: run "
                f"`infisical-iac credentials rotate {where}`"
            )
    return sentences


File = Literal["works", "missing", "does not work", "unknown"]


@dataclass(frozen=True)
class Overview:
    """The credentials of one service in one environment.

    Attributes:
        secret: the client secret in the file, else the latest that was made; None without one.
        file: the state of the file; unknown where it can't be inspected.
        others: how many other client secrets of the identity are listed.
        kept_until: the time until which client secrets that a rotation replaced still work; None
            if there are none, or while the rotation is unfinished.
    """

    step: Step
    secret: ClientSecret | None
    file: File
    others: int
    kept_until: datetime | None

    @property
    def data(self) -> dict[str, Any]:
        """Return the overview as data for JSON."""
        account, held, secret = self.step.account, self.step.held, self.secret
        return {
            "service": account.service,
            "environment": account.environment,
            "made": _iso(secret.created if secret else None),
            "last_used": _iso(secret.last_login if secret else None),
            "uses": secret.uses if secret else 0,
            "ends": _iso(secret.ends if secret else None),
            "file": self.file,
            "others": self.others,
            "undelivered": held is not None and held.is_undelivered,
            "others_kept_until": _iso(self.kept_until),
            "target": str(account.target or ""),
        }


def overview(step: Step, *, has_file: bool | None, now: datetime) -> Overview:
    """Return the overview of a step; `has_file` is None if that is unknown."""
    held = step.held
    listed = list(step.holder.secrets) if step.holder else []
    own = own_secrets(step.account, step.holder) if step.holder else []
    in_file = [each for each in own if held and each.id == held.secret_id]
    secret = max(in_file or own, key=lambda each: each.created, default=None)
    replaced = held.replaced if held else None
    file: File = "works" if held else "does not work"
    if not has_file:
        file = "unknown" if has_file is None else "missing"
    return Overview(
        step,
        secret,
        file,
        len(listed) - (secret is not None),
        replaced.until if replaced and replaced.is_kept(now) else None,
    )


def _iso(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None


def ago(span: timedelta) -> str:
    """Return a time span in the past for people, such as `3 days ago`."""
    for unit in ("days", "hours", "minutes"):
        number = int(span / timedelta(**{unit: 1}))
        if number > 0:
            return f"{number} {unit if number > 1 else unit[:-1]} ago"
    return "just now"


def holders(
    client: Client, actual: Actual, listed: Mapping[str, Sequence[ClientSecret]] | None = None
) -> dict[str, Holder]:
    """Return our identities that can log in, by name, with their client secrets.

    `listed` holds client secrets that were read already, by the id of the identity.
    """
    known = listed or {}
    able = {name: each for name, each in actual.accounts.items() if each.auth}

    def read(name: str) -> Holder | None:
        account = able[name]
        return _read_holder(
            client, account.identity.id, account.auth, known.get(account.identity.id)
        )

    return {name: holder for name, holder in gather_by(able, read).items() if holder}


def find_holders(
    client: Client, desired: Workspace, known: Mapping[str, str] | None = None
) -> dict[str, Holder]:
    """Read our identities, and return them as `holders` does.

    `known` has the ids of the last run, by name.
    """
    names = {each.identity: each.former_identity for each in desired.secret_holders()}
    organization = identities.organization_id(client)
    found = identities.find_all(client, organization, names, known)

    def read(name: str) -> Holder | None:
        id = found[name].id
        return _read_holder(client, id, universal_auth(client, id))

    return {name: holder for name, holder in gather_by(found, read).items() if holder}


def find_token_logins(
    client: Client, desired: Workspace, known: Mapping[str, str] | None = None
) -> list[tuple[Account, str]]:
    """Return the accounts that log in with tokens, and the ids of their identities or ""."""
    accounts = [each for each in desired.every_account() if each.auth is not None]
    names = {each.identity: each.former_identity for each in accounts}
    if not names:
        return []
    found = identities.find_all(client, identities.organization_id(client), names, known)
    ids = {name: each.id for name, each in found.items()}
    return [(each, ids.get(each.identity, "")) for each in accounts]


def _read_holder(
    client: Client,
    id: str,
    auth: UniversalAuth | None,
    listed: Sequence[ClientSecret] | None = None,
) -> Holder | None:
    if auth is None:
        return None
    return Holder(id, auth.client_id, client_secrets(client, id) if listed is None else listed)


def create(client: Client, step: Step) -> Credential:
    """Make the client secret of a step; its file must be written before `revoke_orphans`.

    Raises UserError while the identity does not exist yet.
    """
    account = step.account
    if step.holder is None:
        raise UserError(
            f"the identity {account.identity!r} is not in Infisical yet: run `infisical-iac apply` "
            "first",
            code="error.no_identity",
        )
    made = create_client_secret(
        client, step.holder.identity_id, description(account), ttl=account.client_secret_ttl
    )
    ends = made.listed.ends
    return Credential(
        account.starts_in,
        step.holder.client_id,
        made.id,
        made.value,
        Term(_whole(made.listed.created), _whole(ends)) if ends else None,
        Replaced(step.spared) if step.spared else None,
    )


def _whole(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def can_carry_over(step: Step) -> bool:
    """Return whether a valid file only needs its new name or format, not a new client secret."""
    return (step.moves or step.completes) and not step.creates


def carry_over(store: Store, step: Step) -> None:
    """Rewrite a file of a former name or format, with the same client secret.

    Does nothing if there is no such file. The file of the former name is removed after the new one
    is written. If the run is killed in between, the next run removes it.
    """
    if step.held and (step.moves or step.completes):
        store.write(step.account.credentials, render(step.held))
    if step.moves:
        store.remove(step.account.former_credentials)


def prove(client: Client, credential: Credential) -> None:
    """Log in with a credential, once. Raises UserError if that is refused."""
    try:
        login.universal(client.with_token(""), credential.client_id, credential.client_secret)
    except ApiError as error:
        if error.status != 401:
            raise
        raise UserError(
            f"the new client secret can't log in, so the old one stays: {error.message}"
        ) from None


def revoke_orphans(client: Client, step: Step) -> None:
    """Revoke the client secrets that are in no file."""
    if step.holder is not None:
        revoke(client, step.holder, step.orphans)


def revoke(client: Client, holder: Holder, ids: Iterable[str]) -> None:
    """Revoke the client secrets among `ids` that are still listed."""
    listed = {each.id for each in holder.secrets}
    for secret_id in ids:
        if secret_id in listed:
            revoke_client_secret(client, holder.identity_id, secret_id)


@dataclass(frozen=True)
class Rotation:
    """The arguments of a rotation.

    Attributes:
        store: where the file is.
        deliver: delivers a credential to the service's target besides the file, and checks that
            it arrived.
        overlap: how long the old client secret works after the delivery.
        report: called with each change once it is made.
    """

    client: Client
    store: Store
    deliver: Callable[[Credential], None]
    overlap: timedelta
    report: Callable[[str], None]

    def run(self, step: Step) -> None:
        """Rotate, or complete an interrupted rotation. Raises UserError."""
        held = step.held
        if held is None or not held.is_undelivered:
            held = self._renew(step)
        if step.orphans:
            revoke_orphans(self.client, step)
            self.report(str(step.revocation))
        self.deliver(held)
        self.end(step, held)

    def _renew(self, step: Step) -> Credential:
        """Return a new client secret that logs in and is in the file."""
        # Client secrets that an earlier rotation spared keep working until this overlap ends.
        old = (step.held.secret_id,) if step.held else ()
        made = create(self.client, replace(step, spared=(*old, *step.spared)))
        prove(self.client, made)
        self.store.write(step.account.credentials, render(made))
        self.report(f"+ credentials {step.account.credentials}")
        return made

    def end(self, step: Step, held: Credential) -> None:
        """Revoke the old client secrets after the delivery, or note the end of their overlap."""
        if held.replaced is None:
            return
        name = step.account.credentials
        if self.overlap:
            until = (datetime.now(UTC) + self.overlap).replace(microsecond=0)
            kept = Replaced(held.replaced.ids, until)
            self.store.write(name, render(replace(held, replaced=kept)))
            self.report(
                f"~ client secrets of {name} that were replaced: work until "
                f"{until:%Y-%m-%d %H:%M} UTC: restart the service before then"
            )
            return
        if step.holder is not None:
            revoke(self.client, step.holder, held.replaced.ids)
        self.store.write(name, render(held.without_rotation))
        self.report(f"- client secrets of {name} that were replaced: {len(held.replaced.ids)}")
