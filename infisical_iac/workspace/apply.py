"""Making changes: the requests of each, in order, with the ids of what came before."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.change import Call, Change, Made

_WORDS = {"+": "make", "~": "set right", "-": "take away"}


class ApplyError(UserError):
    """A change could not be made; those before it are."""


def apply(
    client: Client, changes: Iterable[Change], *, admin: Callable[[], Client] | None = None
) -> Iterator[Change]:
    """Make the changes one after another and yield each as soon as it is made.

    What must be shown to the operator is in `shown` of what is yielded.

    The iterator must be run to its end. Whoever wants to know that nothing is left to do reads
    again afterwards; that also tells what a restored environment lacks.

    Args:
        client: with the token of the deployer.
        changes: as `difference` orders them.
        admin: logs in the administrator; called once, when the first change needs it.

    Raises ApplyError, which names the change and says why.
    """
    ids: dict[Made, str] = {}
    administrator = cache(admin or _nobody)
    for change in changes:
        try:
            shown = [
                _make(administrator() if call.by_admin else client, call, ids)
                for call in change.calls
            ]
        except UserError as error:
            raise ApplyError(f"could not {_WORDS[change.kind]} {change.what}: {error}") from error
        yield replace(change, shown="\n".join(filter(None, shown)))


def _nobody() -> Client:
    raise ApplyError("it takes the administrator's login, which there is no way to here")


def _make(client: Client, call: Call, ids: dict[Made, str]) -> str:
    send = {"POST": client.post, "PATCH": client.patch, "DELETE": client.delete}[call.method]
    path = "/".join(_known(part, ids) for part in call.path)
    answer = send(path, json=None if call.body is None else _body(call.body, ids))
    if call.makes is not None:
        ids[call.makes] = _id(answer, call.makes)
    return call.shows(answer) if call.shows else ""


def _id(answer: Mapping[str, Any], makes: Made) -> str:
    made = answer[makes.split()[0]]
    if isinstance(made, list):  # of the one that was asked for, unless it was there already
        if not made:
            raise ApplyError("somebody else made it at the same time; run again")
        made = made[0]
    return str(made["id"])


def _known(value: Any, ids: Mapping[Made, str]) -> Any:
    return ids[value] if isinstance(value, Made) else value


def _body(body: Mapping[str, Any], ids: Mapping[Made, str]) -> dict[str, Any]:
    return {key: _known(value, ids) for key, value in body.items()}
