"""Making changes: the requests of each, in order, with the ids of what came before."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.errors import UserError
from infisical_iac.workspace.change import Call, Change, Made

_WORDS = {"+": "make", "~": "set right", "-": "take away"}


class ApplyError(UserError):
    """A change could not be made; those before it are."""


def apply(client: Client, changes: Iterable[Change]) -> Iterator[Change]:
    """Make the changes one after another and yield each as soon as it is made.

    The iterator must be run to its end. Whoever wants to know that nothing is left to do reads
    again afterwards; that also tells what a restored environment lacks.

    Args:
        client: with the token of the deployer.
        changes: as `difference` orders them.

    Raises ApplyError, which names the change and says why.
    """
    ids: dict[Made, str] = {}
    for change in changes:
        try:
            for call in change.calls:
                _make(client, call, ids)
        except UserError as error:
            raise ApplyError(f"could not {_WORDS[change.kind]} {change.what}: {error}") from error
        yield change


def _make(client: Client, call: Call, ids: dict[Made, str]) -> None:
    path = "/".join(_known(part, ids) for part in call.path)
    if call.method == "DELETE":
        client.delete(path)
        return
    send = client.post if call.method == "POST" else client.patch
    answer = send(path, json=_body(call.body or {}, ids))
    if call.makes is not None:
        ids[call.makes] = answer[call.makes.split()[0]]["id"]


def _known(value: Any, ids: Mapping[Made, str]) -> Any:
    return ids[value] if isinstance(value, Made) else value


def _body(body: Mapping[str, Any], ids: Mapping[Made, str]) -> dict[str, Any]:
    return {key: _known(value, ids) for key, value in body.items()}
