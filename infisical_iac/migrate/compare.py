"""Compare what is planned with what Infisical has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infisical_iac.migrate.secret import Name, Secret, Stored


@dataclass(frozen=True)
class Comparison:
    """Secrets by what writing them would mean.

    Attributes:
        new: not in Infisical.
        same: there with this very value.
        changed: there with another value, or with one that can't be seen.
        only_there: in a folder that is written to, but in none of the files.
    """

    new: tuple[Secret, ...]
    same: tuple[Secret, ...]
    changed: tuple[Secret, ...]
    only_there: tuple[Name, ...]


def compare(secrets: Iterable[Secret], stored: Mapping[Name, Stored]) -> Comparison:
    """Sort the secrets out, each group in the given order."""
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
