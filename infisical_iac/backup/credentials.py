"""What targets log in with, as the operator brings it: in the environment of a deploy."""

import re
from collections.abc import Iterable, Mapping

from infisical_iac.backup.target import DIRECTORY, Target
from infisical_iac.errors import UserError

_PARTS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")


class CredentialsError(UserError):
    """What was given for a target can't be what it logs in with, or is missing."""


def path(target: Target) -> str:
    """The file on the host that holds what an S3 target logs in with."""
    return f"{DIRECTORY}/{target.name}.env"


def variables(target: Target) -> tuple[str, ...]:
    """The environment's variables that bring it: the id of the access key, then its secret."""
    name = target.name.replace("-", "_").upper()
    return tuple(f"INFISICAL_BACKUP_{name}_{part}" for part in _PARTS)


def given(targets: Iterable[Target], environment: Mapping[str, str]) -> dict[str, str]:
    """The texts of the files, by path, for those S3 targets whose credentials are given.

    Raises CredentialsError for one that is half given or has signs that no key has.
    """
    files = {}
    for target in targets:
        names = variables(target)
        values = [environment.get(name, "") for name in names]
        if target.kind != "s3" or not any(values):
            continue
        for name, value in zip(names, values, strict=True):
            if not re.fullmatch(r"[A-Za-z0-9/+=._~-]{3,256}", value):
                raise CredentialsError(
                    f"{name} is not set, or holds what no access key has: set it to a value of "
                    "letters, digits and /+=._~-"
                )
        lines = [f"AWS_{part}={value}\n" for part, value in zip(_PARTS, values, strict=True)]
        files[path(target)] = "".join(lines)
    return files


def refuse_missing(targets: Iterable[Target], there: Iterable[str]) -> None:
    """Raise CredentialsError for an S3 target whose file is not among those `there`."""
    for target in targets:
        if target.kind == "s3" and path(target) not in there:
            raise CredentialsError(
                f"the backup target {target.name!r} has no credentials on the host yet: set "
                f"{' and '.join(variables(target))} for one run"
            )
