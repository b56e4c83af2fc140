"""Targets of backups, as the settings name them, and their credentials."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import field_validator, model_validator

from infisical_iac.core.errors import SettingsError, UserError
from infisical_iac.core.validation import SettingsModel, matching
from infisical_iac.core.wording import join_names

DIRECTORY = "/etc/infisical/backup"


class TargetKind:
    """A kind of place for backups. To add one, write a subclass, and add it to KINDS.

    CONTRIBUTING.md, "Adding a kind", lists what it needs in other files. The docstring of
    `BackupTarget.repository` names all kinds for the generated page. Above all, name the variables
    of its login in TARGET_LOGIN of agent/keys.py and in scripts/backup/forms.sh, and those that
    `configuration` returns in VARIABLES of agent/restic.py, which reads the target's file.

    Attributes:
        form: the pattern of its addresses, which restic gets as they are unless agent/restic.py
            rewrites them.
        example: an address, for sentences.
        on_host: whether it is on the host, so that each node of a cluster has its own.
        can_be_append_only: whether its server can keep root on the host from removing snapshots.
            The operator has to configure that server accordingly.
        uses_ssh: whether the host reaches it by its own SSH key.
        packages: the packages that are needed to reach it.
        login: its login, as variables of restic: an id or name, then the secret. The names of an
            operator's variables leave out the part before the first `_`, which is a program's name:
            INFISICAL_BACKUP_<TARGET>_REST_PASSWORD for RESTIC_REST_PASSWORD.
        more_login: further variables, which an operator may write into the file by hand.
        signs: the characters that values may have in addition to letters and digits; none needs
            quotes in the file or an escape in an address.
    """

    form: ClassVar[str]
    example: ClassVar[str]
    on_host: ClassVar[bool] = False
    can_be_append_only: ClassVar[bool] = False
    uses_ssh: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()
    login: ClassVar[tuple[str, ...]] = ()
    more_login: ClassVar[tuple[str, ...]] = ()
    signs: ClassVar[str] = "._~-"

    @classmethod
    def check_address(cls, address: str) -> None:
        """Raise ValueError for an address of the right form that can't be used."""

    @classmethod
    def check(cls, target: "BackupTarget") -> None:
        """Raise ValueError for a target with missing or superfluous fields."""
        if target.host_key or target.port != 22:
            raise ValueError(f"target {target.name!r} is not on SFTP: remove host_key and port")

    @classmethod
    def configuration(cls, target: "BackupTarget") -> dict[str, str]:
        """Return the variables in the target's file on the host besides its address."""
        return {}

    @classmethod
    def find_place(cls, target: "BackupTarget") -> tuple[str, str]:
        """Return the kind and place of the agent's `Repository`, which is asked for an answer."""
        raise NotImplementedError

    @classmethod
    def variables(cls, name: str) -> tuple[str, ...]:
        """Return the names of an operator's variables with the login of the target `name`."""
        part = name.replace("-", "_").upper()
        return tuple(
            f"INFISICAL_BACKUP_{part}_{each.partition('_')[2] or each}" for each in cls.login
        )


class DirectoryKind(TargetKind):
    """A directory on the host, or on a file system that is mounted there."""

    form = r"/[A-Za-z0-9._/@+-]+"
    example = "a directory such as /var/backups/infisical"
    on_host = True

    # Directories that other programs empty, replace or search.
    _TAKEN = (
        *("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp"),
        *("/var/cache", "/var/lib/docker", "/var/lib/infisical-backup"),
    )

    @classmethod
    def check_address(cls, address: str) -> None:
        if any(f"{address}/".startswith(f"{each}/") for each in cls._TAKEN):
            raise ValueError(
                f"{address!r} is a directory that other programs use: write {cls.example}"
            )

    @classmethod
    def find_place(cls, target: "BackupTarget") -> tuple[str, str]:
        return "directory", target.repository


class SftpKind(TargetKind):
    """A directory on a server that is reached by SFTP."""

    form = r"sftp:(?P<login>[A-Za-z0-9._-]+@[A-Za-z0-9.-]+):/?[A-Za-z0-9._/@+-]+"
    example = "sftp:user@host:path"
    uses_ssh = True
    packages = ("openssh-client",)

    _KEY = r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{64,}={0,2}"

    @classmethod
    def check(cls, target: "BackupTarget") -> None:
        if not re.fullmatch(cls._KEY, target.host_key):
            raise ValueError(
                f"target {target.name!r} needs a host_key: write the line that `ssh-keyscan -t "
                "ed25519 <host>` prints, without the host's name, and compare it with the key that "
                "the provider publishes"
            )

    @classmethod
    def configuration(cls, target: "BackupTarget") -> dict[str, str]:
        """Return the variable with the SSH command that reaches the target's server only."""
        login = re.fullmatch(cls.form, target.repository)
        assert login
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "20",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": target.name,
            "IdentitiesOnly": "yes",
            "ServerAliveInterval": "15",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{DIRECTORY}/known_hosts",
        }
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        to = ("-i", f"{DIRECTORY}/ssh_key", "-p", str(target.port), *given, login["login"])
        return {"SSH": shlex.join(["ssh", "-F", "none", *to, "-s", "sftp"])}

    @classmethod
    def find_place(cls, target: "BackupTarget") -> tuple[str, str]:
        login = re.fullmatch(cls.form, target.repository)
        assert login
        return "ssh", f"{login['login'].partition('@')[2]}:{target.port}"


class HttpKind(TargetKind):
    """A repository whose address is that of a web server, after the name of its kind."""

    @classmethod
    def find_place(cls, target: "BackupTarget") -> tuple[str, str]:
        return "http", target.repository.partition(":")[2]


class S3Kind(HttpKind):
    """A bucket, such as one of Hetzner Object Storage."""

    form = r"s3:https?://[A-Za-z0-9.-]+(:\d{1,5})?/[A-Za-z0-9._/-]+"
    example = "s3:https://host/bucket"
    can_be_append_only = True
    login = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    more_login = ("AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION")
    signs = "/+=._~-"


class RestKind(HttpKind):
    """A repository of restic's own rest-server."""

    # Credentials must not be sent unencrypted.
    form = (
        r"rest:(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?/[A-Za-z0-9._/-]*"
    )
    example = "rest:https://host/path"
    can_be_append_only = True
    login = ("RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD")


KINDS: tuple[type[TargetKind], ...] = (DirectoryKind, SftpKind, S3Kind, RestKind)


class BackupTarget(SettingsModel):
    """One restic repository."""

    example: ClassVar = {"name": "local", "repository": "/var/backups/infisical"}

    # The host has other files with these names in the directory of the targets' files.
    name: Annotated[
        str,
        matching(r"[a-z][a-z0-9-]{0,31}", "must be 1 to 32 small letters, digits and hyphens"),
        matching("(?!(backup|webhook)$).*", "is taken: choose another name"),
    ]
    """Name in messages and in files on the host."""

    repository: str
    """Address: a directory on the host, `sftp:user@host:path`, `s3:https://host/bucket` or
    `rest:https://host/path`.
    """

    host_key: str = ""
    """For SFTP: the server's public key, such as `ssh-ed25519 AAAA…`. Required for it."""

    port: int = 22
    """For SFTP: the server's port."""

    append_only: bool = False
    """The host adds snapshots and never removes one; [remove old ones from
    elsewhere](../operate/backup.md#append-only-targets).
    """

    @field_validator("repository")
    @classmethod
    def _repository_is_of_a_known_kind(cls, value: str) -> str:
        kind = kind_of(value)
        if kind is None or ".." in value:
            examples = join_names((each.example for each in KINDS), "or")
            raise ValueError(f"{value!r} is not a place for a repository: write {examples}")
        kind.check_address(value)
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        self.kind.check(self)
        if self.append_only and not self.kind.can_be_append_only:
            able = join_names((each.example for each in KINDS if each.can_be_append_only), "or")
            raise ValueError(
                f"target {self.name!r} can't be append_only, because root on the host can remove "
                f"what is there: use a server that can refuse that, at an address such as {able}"
            )
        if not 1 <= self.port <= 65535:
            raise ValueError(f"target {self.name!r} has port {self.port}: choose 1 to 65535")
        return self

    @property
    def kind(self) -> type[TargetKind]:
        """Return the kind of the target."""
        kind = kind_of(self.repository)
        assert kind
        return kind

    @property
    def login_file(self) -> str:
        """Return the path of the file on the host with the target's credentials."""
        return f"{DIRECTORY}/{self.name}.env"

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the names of the operator's variables with the target's credentials."""
        return self.kind.variables(self.name)


def remote_prefixes() -> str:
    """Return the beginnings of addresses off the host, such as `sftp:, s3: or rest:`."""
    remote = (each.example for each in KINDS if not each.on_host)
    return join_names((f"{each.partition(':')[0]}:" for each in remote), "or")


def kind_of(address: str) -> type[TargetKind] | None:
    """Return the kind of target that an address belongs to; None for an unknown kind."""
    return next((each for each in KINDS if re.fullmatch(each.form, address)), None)


class Keep(SettingsModel):
    """The numbers of days, weeks and months whose last snapshot is kept."""

    example: ClassVar = {"daily": 7}

    daily: int = 0
    """Number of days: the last snapshot of each stays."""

    weekly: int = 0
    """Number of weeks: the last snapshot of each stays."""

    monthly: int = 0
    """Number of months: the last snapshot of each stays."""

    @model_validator(mode="after")
    def _keeps_at_least_one(self) -> Self:
        numbers = self.model_dump().values()
        if min(numbers) < 0 or not any(numbers):
            raise ValueError("must keep at least one snapshot; write numbers of 0 or more")
        return self


def choose_targets(targets: Sequence[BackupTarget], name: str | None) -> list[BackupTarget]:
    """Return the target with a name, or all without a name. Raises UserError if there is none."""
    chosen = [each for each in targets if name in (None, each.name)]
    if not chosen:
        names = ", ".join(each.name for each in targets)
        raise UserError(f"there is no backup target {name!r}: the settings have {names}")
    return chosen


def render_logins(
    targets: Iterable[BackupTarget], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the credential files, by path, of the targets whose variables are set.

    Raises SettingsError if only some variables of a target are set, or one has invalid characters.
    """
    files = {}
    for target in targets:
        values = [environment.get(name, "") for name in target.variables]
        if not any(values):
            continue
        for name, value in zip(target.variables, values, strict=True):
            if not re.fullmatch(f"[A-Za-z0-9{target.kind.signs}]{{3,256}}", value):
                raise SettingsError(
                    f"{name} is not set, or has a value that can't be used: set it to a value of "
                    f"letters, digits and {target.kind.signs}",
                    code="settings.unusable_credentials",
                )
        pairs = zip(target.kind.login, values, strict=True)
        files[target.login_file] = "".join(f"{name}={value}\n" for name, value in pairs)
    return files


def refuse_missing(targets: Iterable[BackupTarget], there: Iterable[str]) -> None:
    """Raise SettingsError for a target whose credential file is not among the paths `there`."""
    for target in targets:
        if target.kind.login and target.login_file not in there:
            raise SettingsError(
                f"the backup target {target.name!r} has no credentials on the host yet: set "
                f"{join_names(target.variables)} for one run",
                code="settings.no_credentials",
            )
