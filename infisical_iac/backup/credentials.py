"""Read the logins of backup targets from the environment of a deploy."""

import re
from collections.abc import Iterable, Mapping

from infisical_iac.backup.target import DIRECTORY, Target
from infisical_iac.core.errors import UserError

# What each kind of target logs in with: the parts of the names of the operator's variables, and
# what comes before them in the file on the host.
_PARTS = {
    "s3": ("AWS_", ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")),
    "rest": ("RESTIC_", ("REST_USERNAME", "REST_PASSWORD")),
}
# Signs that need no quotes in the file, and none in an address.
_VALUES = {"s3": r"[A-Za-z0-9/+=._~-]{3,256}", "rest": r"[A-Za-z0-9._~-]{3,256}"}


class CredentialsError(UserError):
    """Refuse what was given for a target: it can't be what it logs in with, or is missing."""


def path(target: Target) -> str:
    """The file on the host that holds what a target logs in with."""
    return f"{DIRECTORY}/{target.name}.env"


def variables(target: Target) -> tuple[str, ...]:
    """The environment's variables that bring it: an id or name, then the secret."""
    name = target.name.replace("-", "_").upper()
    return tuple(f"INFISICAL_BACKUP_{name}_{part}" for part in _PARTS[target.kind][1])


def given(targets: Iterable[Target], environment: Mapping[str, str]) -> dict[str, str]:
    """The texts of the files, by path, for those targets whose credentials are given.

    Raises CredentialsError for one that is half given or has signs that no key has.
    """
    files = {}
    for target in filter(lambda each: each.logs_in, targets):
        names = variables(target)
        values = [environment.get(name, "") for name in names]
        if not any(values):
            continue
        for name, value in zip(names, values, strict=True):
            if not re.fullmatch(_VALUES[target.kind], value):
                signs = "/+=._~-" if target.kind == "s3" else "._~-"
                raise CredentialsError(
                    f"{name} is not set, or holds what can't be used: set it to a value of "
                    f"letters, digits and {signs}"
                )
        prefix, parts = _PARTS[target.kind]
        lines = [f"{prefix}{part}={value}\n" for part, value in zip(parts, values, strict=True)]
        files[path(target)] = "".join(lines)
    return files


def refuse_missing(targets: Iterable[Target], there: Iterable[str]) -> None:
    """Raise CredentialsError for a target whose file is needed and not among those `there`."""
    for target in targets:
        if target.logs_in and path(target) not in there:
            raise CredentialsError(
                f"the backup target {target.name!r} has no credentials on the host yet: set "
                f"{' and '.join(variables(target))} for one run"
            )
