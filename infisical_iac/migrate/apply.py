"""Compare secrets with those in Infisical, and write the missing ones in batches."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import SECRETS, RateClass
from infisical_iac.core import atomic
from infisical_iac.core.errors import ApiError, FileError, Refused
from infisical_iac.migrate import verify
from infisical_iac.migrate.model import Name, Secret, Stored
from infisical_iac.migrate.plan_file import digest
from infisical_iac.migrate.verify import Proof, prove
from infisical_iac.workspace.goal import Layout


@dataclass(frozen=True)
class Comparison:
    """Secrets, grouped by their difference from Infisical.

    Attributes:
        new: not in Infisical.
        same: in Infisical with the same value.
        changed: in Infisical with another value, or with a hidden one.
        only_there: only in Infisical, in a folder that is written to.
    """

    new: tuple[Secret, ...]
    same: tuple[Secret, ...]
    changed: tuple[Secret, ...]
    only_there: tuple[Name, ...]


def compare(secrets: Iterable[Secret], stored: Mapping[Name, Stored]) -> Comparison:
    """Return the secrets in groups, each in the given order."""
    new, same, changed = [], [], []
    places, names = set(), set()
    for secret in secrets:
        places.add(secret.name[:2])
        names.add(secret.name)
        there = stored.get(secret.name)
        if there is None:
            new.append(secret)
        elif there.value == secret.value and not there.is_hidden:
            same.append(secret)
        else:
            changed.append(secret)
    only = sorted(each for each in stored if each[:2] in places and each not in names)
    return Comparison(tuple(new), tuple(same), tuple(changed), tuple(only))


# The server takes 1 MiB and answers a longer body with an error that does not say why.
MOST_BYTES = 900_000
# The limit of one secret in bytes; the rest is for its comment and the body's other fields.
LONGEST_ITEM = MOST_BYTES - 10_000

_PATH = "/api/v4/secrets/batch"
_ENVELOPE = 1_000  # bytes; enough for project, environment, folder and mode
_MARK = "migrated from "


@dataclass(frozen=True)
class Batch:
    """One request with secrets of one folder; Infisical writes all of them or none.

    Attributes:
        overwrites: whether it may change existing secrets; otherwise the server refuses the whole
            request if one of the keys exists by then.
        items: the fields of each secret in the body.
    """

    environment: str
    folder: str
    overwrites: bool
    items: tuple[Mapping[str, str], ...] = field(repr=False)

    @property
    def names(self) -> list[Name]:
        return [Name(self.environment, self.folder, each["secretKey"]) for each in self.items]

    @property
    def request(self) -> tuple[str, str]:
        """Return the method and the path."""
        return ("PATCH" if self.overwrites else "POST"), _PATH

    def body(self, project: str) -> dict[str, Any]:
        """Return the body, for the project of this id."""
        mode = {"mode": "upsert"} if self.overwrites else {}
        place = {"projectId": project, "environment": self.environment, "secretPath": self.folder}
        return {**place, **mode, "secrets": list(self.items)}

    def __str__(self) -> str:
        count = len(self.items)
        word = "secret" if count == 1 else "secrets"
        return f"{count} {word} in {self.environment}{self.folder}"


def pack(
    new: Iterable[Secret], changed: Iterable[Secret], stored: Mapping[Name, Stored], today: date
) -> list[Batch]:
    """Return the requests that write these secrets, by environment and folder.

    A folder's secrets go into one request unless they are too long for one.

    Args:
        new: secrets that Infisical does not have yet.
        changed: secrets to overwrite.
        stored: the secrets in Infisical; comments that a person wrote are kept.
    """
    changed = list(changed)
    overwritten = {each.name for each in changed}
    secrets = sorted([*new, *changed], key=lambda each: each.name[:2])
    batches: list[Batch] = []
    for (environment, folder), inside in groupby(secrets, key=lambda each: each.name[:2]):
        items, overwrites = [], False
        for each in inside:
            there = stored.get(each.name)
            item = {"secretKey": each.name.key, "secretValue": each.value}
            if there is None or not there.comment or there.comment.startswith(_MARK):
                item["secretComment"] = f"{_MARK}{each.file}:{each.line}, {today.isoformat()}"
            items.append(item)
            overwrites |= each.name in overwritten
        batches += [Batch(environment, folder, overwrites, part) for part in _parts(items)]
    return batches


def size(item: Mapping[str, str]) -> int:
    """Return the number of bytes of an item in a body, as the client writes it."""
    return len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _parts(items: Iterable[Mapping[str, str]]) -> Iterator[tuple[Mapping[str, str], ...]]:
    part: list[Mapping[str, str]] = []
    free = capacity = MOST_BYTES - _ENVELOPE
    for item in items:
        taken = size(item)
        if part and taken > free:
            yield tuple(part)
            part, free = [], capacity
        part.append(item)
        free -= taken
    if part:
        yield tuple(part)


Policy = Literal["fail", "skip", "overwrite"]
State = Literal["written", "overwritten", "there", "kept", "pending"]

_MOST_SHOWN = 10
# Each environment is read with references replaced, and without.
_READ_BACK = 2


@dataclass(frozen=True)
class Work:
    """The folders to create, parents first, the requests, and each secret's state after them.

    A folder is the id of its project, the environment, and the path.
    """

    folders: tuple[tuple[str, str, str], ...]
    batches: tuple[Batch, ...]
    states: Mapping[Name, State]

    def count_requests(self, environments: int) -> Mapping[RateClass, int]:
        """Return the number of requests that write, and that read these environments back."""
        return {SECRETS: len(self.folders) + len(self.batches) + _READ_BACK * environments}


def prepare(
    compared: Comparison,
    stored: Mapping[Name, Stored],
    layout: Layout,
    folders: Mapping[tuple[str, str], Iterable[str]],
    *,
    policy: Policy,
    today: date,
) -> Work:
    """Return the folders to create, the requests to send, and each secret's state after them.

    Args:
        layout: the projects that hold the secrets.
        folders: the paths of the existing folders, by project and environment.

    Raises Refused with the policy `fail` if Infisical has keys with another value.
    """
    if compared.changed and policy == "fail":
        keys = [f"{each.name} ({each.file}:{each.line})" for each in compared.changed]
        count = f"{len(keys)} {'keys have' if len(keys) > 1 else 'key has'}"
        more = f" and {len(keys) - _MOST_SHOWN} more" if len(keys) > _MOST_SHOWN else ""
        raise Refused(
            f"{count} another value in Infisical: {', '.join(keys[:_MOST_SHOWN])}{more}; nothing "
            "was written: give --on-conflict skip to keep Infisical's values, or --on-conflict "
            "overwrite to replace them",
            code="refused.conflict",
        )
    overwrites = policy == "overwrite"
    batches = pack(compared.new, compared.changed if overwrites else (), stored, today)
    states: dict[Name, State] = {each.name: "written" for each in compared.new}
    states |= {each.name: "there" for each in compared.same}
    states |= {each.name: "overwritten" if overwrites else "kept" for each in compared.changed}
    missing: dict[tuple[str, str, str], None] = {}
    for batch in batches:
        parts = batch.folder.strip("/").split("/")
        paths = ["/" + "/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        place = (layout.find(batch.environment, batch.folder), batch.environment)
        known = set(folders[place])
        missing |= {(*place, path): None for path in paths if path not in known}
    return Work(tuple(missing), tuple(batches), states)


def carry_out(
    client: Client,
    layout: Layout,
    work: Work,
    *,
    wait: Callable[[Batch], None],
    report: Callable[[str, int], None],
) -> None:
    """Create the folders one after the other, then send the requests in parallel.

    Args:
        wait: called with each request that waits for an approval.
        report: called after each step with a description and the number of secrets.

    Raises ApiError or Unreachable. Secrets written by then stay, and the next run finds them.
    """
    for project, environment, path in work.folders:
        parent, _, name = path.rpartition("/")
        place = {"projectId": project, "environment": environment, "path": parent or "/"}
        try:
            client.post("/api/v2/folders", json={**place, "name": name})
        except ApiError as error:
            if error.status != 400 or "already exists" not in error.message:
                raise
        report(f"+ folder {path} in {environment}", 0)
    one_at_a_time = Lock()

    def send(batch: Batch) -> None:
        method, route = batch.request
        request = client.patch if method == "PATCH" else client.post
        project = layout.find(batch.environment, batch.folder)
        waits = "approval" in request(route, json=batch.body(project))
        with one_at_a_time:
            if waits:
                wait(batch)
            report(f"{'?' if waits else '+'} {batch}", len(batch.items))

    gather([partial(send, each) for each in work.batches])


PENDING_FILE = "migration-pending.json"


class Pending:
    """The approvals that were requested, in `migration-pending.json` in a directory.

    Raises FileError if the file can't be read; the methods that write it raise it too.
    """

    def __init__(self, directory: Path, key: bytes) -> None:
        self.file = directory / PENDING_FILE
        self._key = key
        self._since: dict[str, str] = {}
        try:
            found: Any = json.loads(self.file.read_bytes())
            self._since = {str(each): str(at) for each, at in found["pending"].items()}
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FileError(
                f"{self.file} can't be read ({error.strerror}): check who owns it"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise FileError(
                f"{self.file} is not as migrate apply writes it: check in Infisical whether "
                "approvals are open, then remove the file",
                code="file.pending",
            ) from None

    def since(self, layout: Layout, secret: Secret) -> str:
        """Return when the approval of this value was requested; "" if it was not.

        Args:
            layout: the projects that hold the secrets.
        """
        return self._since.get(self._name_of(layout, secret), "")

    def note(self, layout: Layout, secrets: Iterable[Secret]) -> None:
        """Record now that approvals of these secrets were requested."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._write({**self._since, **{self._name_of(layout, each): at for each in secrets}})

    def forget(self, layout: Layout, secrets: Iterable[Secret]) -> None:
        """Remove the records of secrets that Infisical has after their approval."""
        gone = {self._name_of(layout, each) for each in secrets}
        if not gone.isdisjoint(self._since):
            self._write({each: at for each, at in self._since.items() if each not in gone})

    def follow_renames(
        self, layout: Layout, secrets: Iterable[Secret], former: Mapping[str, Collection[str]]
    ) -> None:
        """Record the secrets of renamed services under their present folders.

        An approval stays valid for a folder that was renamed; its project stays the same.

        Args:
            former: the former folders, by the present one.
        """
        moved = {
            self._name_of(layout, each, folder): each
            for each in secrets
            for folder in former.get(each.name.folder, ())
        }
        if not moved.keys().isdisjoint(self._since):
            self._write(
                {
                    self._name_of(layout, moved[name]) if name in moved else name: at
                    for name, at in self._since.items()
                }
            )

    def _name_of(self, layout: Layout, secret: Secret, former: str = "") -> str:
        name = secret.name._replace(folder=former) if former else secret.name
        project = layout.find(*secret.name[:2])
        return f"{project} {name} {digest(self._key, secret.value)}"

    def _write(self, since: dict[str, str]) -> None:
        self._since = since
        data = {"schema_version": 1, "pending": since}
        with atomic.explain_failure(self.file):
            if since:
                atomic.write(self.file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
            else:
                self.file.unlink()


@dataclass(frozen=True)
class Transfer:
    """The state of each secret after a migration, and the proof for it.

    Attributes:
        note: a sentence on a check that was impossible; "" if there is none.
    """

    states: Mapping[Name, State]
    proofs: Sequence[Proof]
    note: str = ""


def move(
    client: Client,
    layout: Layout,
    secrets: Sequence[Secret],
    *,
    policy: Policy,
    today: date,
    pending: Pending,
    begin: Callable[[Work], None],
    report: Callable[[str, int], None],
) -> Transfer:
    """Write the secrets that Infisical does not have yet, then read all of them back.

    The next run continues an interrupted one: it writes no secret that Infisical has with the same
    value, or that has waited for an approval since an earlier run.

    Args:
        client: with the token of an admin of the project, or of all of them.
        layout: the projects that hold the secrets.
        policy: decides on keys that Infisical has with another value.
        pending: the secrets that wait for an approval; those of this run are added.
        begin: called with all the work before the first write.
        report: called after each write with a description and the number of secrets.

    Raises UserError before anything is written, ApiError or Unreachable.
    """
    places = {each.name[:2] for each in secrets}
    verify.require_held(layout, places)
    there = verify.read(client, layout, places)
    folders = gather_by(
        verify.list_sources(layout, places), lambda source: contents.folders(client, *source)
    )
    pending.forget(layout, compare(secrets, there).same)
    due = [each for each in secrets if not pending.since(layout, each)]
    work = prepare(compare(due, there), there, layout, folders, policy=policy, today=today)
    client.limiter.announce(work.count_requests(len(folders)))
    begin(work)
    by_name = {each.name: each for each in due}

    carry_out(
        client,
        layout,
        work,
        wait=lambda batch: pending.note(layout, [by_name[each] for each in batch.names]),
        report=report,
    )
    notes, expanded = [], None
    try:
        expanded = verify.read(client, layout, places, expand=True)
    except ApiError as error:
        # The server refuses the whole list for one reference that the deployer may not follow.
        notes.append(f"values with their references replaced could not be checked: {error}")
    if len(due) < len(secrets):
        notes.append(
            "the deployer can't see whether an approval was refused: if one was, remove "
            f"{pending.file} and apply again"
        )
    proofs = prove(secrets, verify.read(client, layout, places), expanded)
    states = dict(work.states)
    for number, proof in enumerate(proofs):
        if since := pending.since(layout, proof.secret):
            states[proof.secret.name] = "pending"
            if not proof.holds:
                waits = f"has waited for approval since {since}"
                proofs[number] = replace(proof, difference=waits)
    return Transfer(states, proofs, "; ".join(notes))
