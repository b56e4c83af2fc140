"""Decide which values of an answer count, and merge them with the environment."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from .bootstrap import Bootstrap


_NONE: Final[Mapping[str, str]] = {}
# The type of a person's own value, which only version 3 of the API lists unrequested.
_PERSONAL = "personal"


class Answer(NamedTuple):
    """A list of secrets, as the server wrote it."""

    own: Sequence[Mapping[str, Any]]
    imports: Sequence[Sequence[Mapping[str, Any]]]


def merge(answers: Sequence[Answer], place: Bootstrap) -> dict[str, str]:
    """Return the values for a place: a folder's own win over imports, later imports over earlier.

    This applies to the imports within an answer, and to the folders of other projects.

    Args:
        answers: the answer for the own folder, then one for each of `place.imports`.

    Raises ConfigError: `hidden` if any value is hidden, `empty` without a secret, `not_infisical`
    for a value that is not text.
    """
    places = place.places()
    own, *others = (_sort(*each) for each in zip(answers, places, strict=True))
    every = [*chain.from_iterable(others), *own]
    if not every:
        folders = ", ".join(each.folder for each in places)
        raise replace(place, folder=folders).error("empty")
    merged = {each["secretKey"]: each["secretValue"] for each in every}
    if not all(isinstance(text, str) for pair in merged.items() for text in pair):
        raise place.error("not_infisical")
    return merged


def _sort(answer: Answer, place: Bootstrap) -> list[Mapping[str, Any]]:
    """Return the secrets of an answer so that a later one wins; raises ConfigError `hidden`."""
    own = [each for each in answer.own if each.get("type") != _PERSONAL]
    imported = list(chain.from_iterable(answer.imports))
    hidden = [each["secretKey"] for each in (*own, *imported) if each.get("secretValueHidden")]
    if hidden:
        raise place.error("hidden", names=", ".join(dict.fromkeys(hidden)))
    return [*imported, *own]


def resolve(
    secrets: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    override: bool = False,
    requested: Iterable[str] = (),
    refused: Collection[str] = (),
    overrides: Mapping[str, str] = _NONE,
) -> dict[str, str]:
    """Return the configuration of secrets and an environment.

    Args:
        refused: names of secrets that don't get through.
        override: whether Infisical wins over the environment, instead of the reverse.
        requested: names that are read from the environment if Infisical lacks them.
        overrides: values that replace those of secrets.
    """
    kept = {name: value for name, value in secrets.items() if name not in refused}
    kept |= overrides
    own = {name: environ[name] for name in (*kept, *requested) if name in environ}
    return {**own, **kept} if override else {**kept, **own}


def missing(values: Mapping[str, str], required: Iterable[str]) -> list[str]:
    """Return the required names that have no value, or an empty one."""
    return [name for name in required if not values.get(name)]
