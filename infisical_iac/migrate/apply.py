"""Writing what is planned: decided as a whole first, then request by request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from threading import Lock
from typing import Literal

from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.api.parallel import gather
from infisical_iac.migrate.batches import Batch, pack
from infisical_iac.migrate.compare import Comparison
from infisical_iac.migrate.plan_file import MigrationError
from infisical_iac.migrate.secret import Name, Secret, Stored

Policy = Literal["fail", "skip", "overwrite"]
State = Literal["written", "overwritten", "there", "kept", "pending"]

_MOST_TOLD = 10


@dataclass(frozen=True)
class Work:
    """Hold what is to be done.

    Attributes:
        folders: that are missing, as environment and path, parents first.
        batches: the requests that write.
        states: what becomes of each secret if all of them succeed.
    """

    folders: tuple[tuple[str, str], ...]
    batches: tuple[Batch, ...]
    states: Mapping[Name, State]


def prepare(
    compared: Comparison,
    stored: Mapping[Name, Stored],
    folders: Mapping[str, Iterable[str]],
    *,
    policy: Policy,
    today: date,
) -> Work:
    """Decide what to write.

    Args:
        folders: those there are, by environment.
        policy: what becomes of keys that Infisical has with another value.

    Raises MigrationError with `fail`, if there are such keys.
    """
    if compared.changed and policy == "fail":
        raise MigrationError(_conflicts(compared.changed))
    changed = compared.changed if policy == "overwrite" else ()
    batches = pack(compared.new, changed, stored, today)
    states: dict[Name, State] = {each.name: "written" for each in compared.new}
    states |= {each.name: "there" for each in compared.same}
    rest: State = "overwritten" if policy == "overwrite" else "kept"
    states |= {each.name: rest for each in compared.changed}
    return Work(tuple(_missing(batches, folders)), tuple(batches), states)


def carry_out(
    client: Client,
    project: str,
    work: Work,
    *,
    wait: Callable[[Sequence[Name]], None],
    tell: Callable[[str, int], None],
) -> None:
    """Make the folders one after the other, then send the requests side by side.

    Args:
        project: the id.
        wait: called with what is not in effect, for somebody has to approve it first.
        tell: called after each step with what was done and how many secrets that were.

    Raises ApiError or Unreachable; what was written until then is, and a next run finds it there.
    """
    for environment, path in work.folders:
        _make_folder(client, project, environment, path)
        tell(f"+ folder {path} in {environment}", 0)
    one_at_a_time = Lock()

    def send(batch: Batch) -> None:
        method, route = batch.request
        request = client.patch if method == "PATCH" else client.post
        waits = "approval" in request(route, json=batch.body(project))
        with one_at_a_time:
            if waits:
                wait(batch.names)
            tell(f"{'?' if waits else '+'} {batch}", len(batch.items))

    gather([partial(send, each) for each in work.batches])


def _conflicts(changed: Iterable[Secret]) -> str:
    told = [f"{each.name} ({each.file}:{each.line})" for each in changed]
    count = f"{len(told)} {'keys have' if len(told) > 1 else 'key has'}"
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return (
        f"{count} another value in Infisical: {', '.join(told[:_MOST_TOLD])}{more}; nothing was "
        "written: give --on-conflict skip to keep those values, or --on-conflict overwrite"
    )


def _missing(
    batches: Iterable[Batch], folders: Mapping[str, Iterable[str]]
) -> Iterable[tuple[str, str]]:
    wanted: dict[tuple[str, str], None] = {}
    for batch in batches:
        parts = batch.folder.strip("/").split("/")
        paths = ["/" + "/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        known = set(folders[batch.environment])
        wanted |= {(batch.environment, path): None for path in paths if path not in known}
    return wanted


def _make_folder(client: Client, project: str, environment: str, path: str) -> None:
    parent, _, name = path.rpartition("/")
    place = {"projectId": project, "environment": environment, "path": parent or "/"}
    try:
        client.post("/api/v2/folders", json={**place, "name": name})
    except ApiError as error:
        if error.status != 400 or "already exists" not in error.message:
            raise
