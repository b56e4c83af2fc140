"""Decide which files of a kit go onto a host, and which of the host's own stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_iac.backup import signing
from infisical_iac.backup.kit import ESSENTIAL
from infisical_iac.core.errors import UserError
from infisical_iac.recovery import forms

# With another one, neither the data nor the backups on the host could be read any more.
_BOUND = ("keys/encryption_key", "keys/restic_password")


class PlacingError(UserError):
    """The keys that a restore needs are missing, or are others than the host's."""


@dataclass(frozen=True)
class Placing:
    """Hold what is to be done with files of /etc/infisical, by path.

    Attributes:
        put: the text of those to be written.
        aside: those of the host that are moved aside before.
    """

    put: Mapping[str, str] = field(default_factory=dict, repr=False)
    aside: tuple[str, ...] = ()


def of_cluster(kit: Mapping[str, str]) -> dict[str, str]:
    """The files of a kit that a cluster can use: of its keys, those that data or people need.

    What else is among the keys opens PostgreSQL, Redis and the Swarm, each of which knows its own.
    """
    used = (*_BOUND, "keys/auth_secret", signing.KEY)
    return {
        path: text for path, text in kit.items() if not path.startswith("keys/") or path in used
    }


def decide(kit: Mapping[str, str], host: Mapping[str, str], *, replace: bool) -> Placing:
    """Return what of a kit's files goes onto the host: all that it lacks.

    Of files that both have, the host's stays, for it may be newer; with `replace`, the kit's takes
    its place.

    Args:
        kit: the text of each file in the kit, by path; none where no kit is given.
        host: the same of the host.

    Raises PlacingError for a host that has other keys than the kit, and where a key is in neither;
    FormError for a file that no kit has.
    """
    forms.check(kit, where="the kit")
    differing = sorted(path for path, text in kit.items() if host.get(path, text) != text)
    bound = [path for path in _BOUND if path in differing]
    if bound and not replace:
        raise PlacingError(
            f"the host has another {' and another '.join(bound)} than the kit: without --kit the "
            "host's own keys count, as after `keys rotate`; --replace-keys moves them aside, "
            "together with the host's data"
        )
    missing = [path for path in ESSENTIAL if path not in kit and path not in host]
    if missing:
        raise PlacingError(
            f"the host has no /etc/infisical/{missing[0]}: give the recovery kit that has it, "
            "with --kit and --identity"
        )
    put = {path: text for path, text in kit.items() if path not in host}
    if replace:
        put |= {path: kit[path] for path in differing}
    return Placing(put, tuple(path for path in differing if path in put))
