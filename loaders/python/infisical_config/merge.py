"""Decisions about values: which of an answer count, and what the environment has to say."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from .bootstrap import Bootstrap


class Answer(NamedTuple):
    """Hold what a list of secrets says, each as the server writes it."""

    own: Sequence[Mapping[str, Any]]
    imports: Sequence[Sequence[Mapping[str, Any]]]


def merge(answer: Answer, place: Bootstrap) -> dict[str, str]:
    """The values of a folder: of its imports a later one wins, over all of them its own.

    Raises ConfigError: `hidden` when any value is, `empty` without a secret, `not_infisical`
    for a value that is no text.
    """
    imported = list(chain.from_iterable(answer.imports))
    hidden = [
        each["secretKey"] for each in (*answer.own, *imported) if each.get("secretValueHidden")
    ]
    if hidden:
        raise place.error("hidden", names=", ".join(dict.fromkeys(hidden)))
    every = [*imported, *answer.own]
    if not every:
        raise place.error("empty")
    merged = {each["secretKey"]: each["secretValue"] for each in every}
    if not all(isinstance(text, str) for pair in merged.items() for text in pair):
        raise place.error("not_infisical")
    return merged


def resolve(
    secrets: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    override: bool = False,
    wanted: Iterable[str] = (),
    refused: Collection[str] = (),
) -> dict[str, str]:
    """The configuration that secrets make in an environment.

    Args:
        refused: names of secrets that don't get through.
        override: whether Infisical wins over the environment, not the other way round.
        wanted: names that are taken from the environment where Infisical lacks them.
    """
    kept = {name: value for name, value in secrets.items() if name not in refused}
    own = {name: environ[name] for name in (*kept, *wanted) if name in environ}
    return {**own, **kept} if override else {**kept, **own}


def missing(values: Mapping[str, str], required: Iterable[str]) -> list[str]:
    """The required names that have no value, or an empty one."""
    return [name for name in required if not values.get(name)]
