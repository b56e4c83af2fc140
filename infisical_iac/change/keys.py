"""The keys of a host, their purposes, and unfinished rotations of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from infisical_iac.agent.rotation import BackupPlaces
from infisical_iac.core.errors import Refused, RunFailed, SettingsError
from infisical_iac.core.validation import suggest
from infisical_iac.instance.settings import GivenSecret, given_by_key


@dataclass(frozen=True)
class Key:
    """A key of the host.

    Attributes:
        name: its name in commands.
        file: its file in /etc/infisical/keys.
        ends: sentences on what becomes invalid with the old key.
        is_given: whether the user gives the new one; else it is made on the host.
    """

    name: str
    file: str
    purpose: str
    ends: str = ""
    is_given: bool = False


# From the source of the backend: all that is signed or hashed with AUTH_SECRET.
_SIGNED = """\
A new auth-secret ends, at once:
  - every session of a person, who has to sign in again;
  - every access token of a machine identity: with a client secret it logs in again, as the loaders
    do by themselves, but a token that was made by hand (Token Auth) has to be made again;
  - tokens of SCIM, of OAuth clients, of gateways, relays and KMIP servers;
  - sign-ups and account recoveries that are half done, codes of a sign-up included.
Passwords, client secrets, invitations, service tokens and all secrets stay as they are."""

KEYS = (
    Key("database", "postgres_password", "Infisical's login at PostgreSQL"),
    Key("redis", "redis_password", "Infisical's login at Redis"),
    Key("restic", "restic_password", "opens the repositories of backups"),
    Key("auth-secret", "auth_secret", "signs sessions and access tokens", _SIGNED),
    Key("encryption-key", "encryption_key", "seals the root key of all secrets"),
)


def list_keys(given: Sequence[GivenSecret] = ()) -> tuple[Key, ...]:
    """Return the keys of a host, with the secrets that the user gave."""
    return (*KEYS, *(Key(each.name, each.key, each.purpose, is_given=True) for each in given))


def find_key(name: str, given: Sequence[GivenSecret] = ()) -> Key:
    """Return the key with a name of the command line. Raises SettingsError for an unknown one."""
    known = list_keys(given)
    found = [each for each in known if each.name == name]
    if not found:
        hint = suggest(name, [each.name for each in known])
        raise SettingsError(f"{name!r} is no key of this host: {hint}", code="settings.unknown_key")
    return found[0]


def find_key_of_file(file: str) -> Key:
    if given := given_by_key(file):
        return Key(given.name, file, given.purpose, is_given=True)
    return next(each for each in KEYS if each.file == file)


def refuse_encryption_key(*, version: str, replaces: bool) -> Refused:
    """Return the refusal to rotate the encryption key.

    Args:
        replaces: whether this Infisical can replace the key at its Server Console.
    """
    if replaces:
        return Refused(
            f"only a person can replace the encryption key of Infisical {version}, at its Server "
            "Console, and nothing was changed: read `infisical-iac docs keys` for each step",
            code="refused.key_by_console",
        )
    return Refused(
        f"Infisical {version} can't replace its encryption key: with another one it would fail to "
        "start ('Unsupported state or unable to authenticate data'), and nothing was changed; "
        "upgrade to a release that can, at its Server Console (`infisical-iac docs keys`)",
        code="refused.key_is_fixed",
    )


Way = Literal["undo", "complete", "go back", "forget"]

_WAYS: dict[str, Way] = {
    "prepared": "undo",
    "begun": "undo",
    "switching": "complete",
    "switched": "complete",
    "swapped": "complete",
    "backing": "go back",
    "back": "go back",
    "proven": "forget",
}
_OUTCOMES = {
    "undo": "undone, as nothing has changed yet",
    "complete": "completed if it passes the checks, else undone",
    "go back": "undone",
    "forget": "completed",
}


class UnfinishedRotation(NamedTuple):
    """A rotation that has not ended: its key, and the phase that it has reached."""

    key: Key
    phase: str

    @property
    def way(self) -> Way:
        """Return the way to end the rotation."""
        return _WAYS[self.phase]

    @property
    def ends_new(self) -> bool:
        """Return whether the new key is in use once the rotation has been ended."""
        return self.way in ("complete", "forget")

    @property
    def outcome(self) -> str:
        """Return the way to end the rotation, in words for people."""
        if self.key.name == "restic":
            return "completed" if self.ends_new else "undone"
        return _OUTCOMES[self.way]


def parse_unfinished(state: str) -> UnfinishedRotation | None:
    """Return the rotation in a host's state, None for an empty state.

    Raises RunFailed for a state that this version does not write.
    """
    if not state:
        return None
    try:
        file, phase = state.split()
        found = UnfinishedRotation(find_key_of_file(file), phase)
        _ = found.way
    except (ValueError, KeyError, StopIteration):
        raise RunFailed(
            f"/var/lib/infisical-rotation/state on the host says {state!r}, which this version of "
            "infisical-iac does not know: use the version that wrote it",
            code="run.unknown_state",
        ) from None
    return found


def refuse_former_targets(places: BackupPlaces) -> list[str]:
    """Return the names of the host's backup targets.

    Raises RunFailed if there are none, or if the host has backups in a repository that is no longer
    a target: it would keep the old password, which would be lost.
    """
    if not places.targets:
        raise RunFailed(
            "backups are not set up on the host: `infisical-iac apply` sets them up",
            code="run.no_backups",
        )
    if places.others:
        raise RunFailed(
            "the host has backups in a repository that no target names, so it would keep the old "
            "password, and nothing was changed: add it to backup_targets again and apply, or, if "
            f"nobody needs these backups, remove {', '.join(places.others)} on the host",
            code="run.former_target",
        )
    return [*places.targets]
