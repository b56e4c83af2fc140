"""Where backups go, as the settings name it, and what is logged in with there."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from infisical_iac.core.errors import UserError

DIRECTORY = "/etc/infisical/backup"

_PATH = r"/[A-Za-z0-9._/@+-]+"
_SFTP = r"sftp:(?P<login>[A-Za-z0-9._-]+@[A-Za-z0-9.-]+):/?[A-Za-z0-9._/@+-]+"
_S3 = r"s3:https?://[A-Za-z0-9.-]+(:\d{1,5})?/[A-Za-z0-9._/-]+"
# What the host logs in with there must not pass in clear.
_REST = r"rest:(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?/[A-Za-z0-9._/-]*"
_KEY = r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{64,}={0,2}"
# What is emptied, replaced or searched by others.
_TAKEN = (
    *("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp"),
    *("/var/cache", "/var/lib/docker", "/var/lib/infisical-backup"),
)

Kind = Literal["directory", "sftp", "s3", "rest"]


class BackupTarget(BaseModel):
    """One repository of restic.

    Attributes:
        name: what messages and the host's files call it.
        repository: a directory on the host, `sftp:user@host:path`, `s3:https://host/bucket` or
            `rest:https://host/path`, which is restic's own rest-server.
        host_key: of SFTP, the server's public key, such as `ssh-ed25519 AAAA…`.
        port: of SFTP.
        append_only: whether the host may add snapshots and never remove one; old ones are then
            removed from elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    repository: str
    host_key: str = ""
    port: int = 22
    append_only: bool = False

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
            raise ValueError(f"{value!r} must be 1 to 32 small letters, digits and hyphens")
        # The host's files of a target lie beside these.
        if value in ("backup", "webhook"):
            raise ValueError(f"{value!r} is taken: choose another name")
        return value

    @field_validator("repository")
    @classmethod
    def _repository_is_of_a_known_kind(cls, value: str) -> str:
        if not re.fullmatch(rf"{_PATH}|{_SFTP}|{_S3}|{_REST}", value) or ".." in value:
            raise ValueError(
                f"{value!r} is no place for a repository: write a directory such as "
                "/var/backups/infisical, sftp:user@host:path, s3:https://host/bucket or "
                "rest:https://host/path"
            )
        if any(f"{value}/".startswith(f"{each}/") for each in _TAKEN):
            raise ValueError(
                f"{value!r} is no safe place: write a directory such as /var/backups/infisical"
            )
        return value

    @model_validator(mode="after")
    def _sftp_is_complete(self) -> Self:
        if self.kind == "sftp" and not re.fullmatch(_KEY, self.host_key):
            raise ValueError(
                f"target {self.name!r} needs host_key, the line that `ssh-keyscan -t ed25519 "
                "<host>` prints without the host's name, compared with what the provider publishes"
            )
        if self.kind != "sftp" and (self.host_key or self.port != 22):
            raise ValueError(f"target {self.name!r} is no SFTP: remove host_key and port")
        if self.append_only and self.kind in ("directory", "sftp"):
            raise ValueError(
                f"target {self.name!r} can't be append_only: root on the host can remove what is "
                "in a directory, and over SFTP; use restic's rest-server, or a bucket with object "
                "lock"
            )
        if not 1 <= self.port <= 65535:
            raise ValueError(f"target {self.name!r} has port {self.port}: choose 1 to 65535")
        return self

    @property
    def kind(self) -> Kind:
        """Return what kind of place it is."""
        match self.repository.partition(":")[0]:
            case "sftp" | "s3" | "rest" as scheme:
                return scheme
        return "directory"

    @property
    def logs_in(self) -> bool:
        """Return whether it needs credentials that the operator brings."""
        return self.kind in ("s3", "rest")

    @property
    def known_host(self) -> str:
        """The line of known_hosts for its server, which goes by the target's name."""
        return f"{self.name} {self.host_key}\n"

    @property
    def ssh(self) -> str:
        """The command that reaches its server, and no other."""
        login = re.fullmatch(_SFTP, self.repository)
        assert login
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "20",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": self.name,
            "IdentitiesOnly": "yes",
            "ServerAliveInterval": "15",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{DIRECTORY}/known_hosts",
        }
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        key = ("-i", f"{DIRECTORY}/ssh_key")
        return shlex.join(
            ["ssh", "-F", "none", *key, "-p", str(self.port), *given, login["login"], "-s", "sftp"]
        )


class Keep(BaseModel):
    """Hold how many snapshots stay: the last one of so many days, weeks and months."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @model_validator(mode="after")
    def _something_stays(self) -> Self:
        if min(self.numbers.values()) < 0 or not any(self.numbers.values()):
            raise ValueError("must keep at least one, in numbers of 0 or more")
        return self

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers by the period."""
        return {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}


# What each kind of target logs in with: the parts of the names of the operator's variables, and
# what comes before them in the file on the host.
_PARTS = {
    "s3": ("AWS_", ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")),
    "rest": ("RESTIC_", ("REST_USERNAME", "REST_PASSWORD")),
}
# Signs that need no quotes in the file, and none in an address.
_VALUES = {"s3": r"[A-Za-z0-9/+=._~-]{3,256}", "rest": r"[A-Za-z0-9._~-]{3,256}"}


class TargetLoginError(UserError):
    """Refuse what was given for a target: it can't be what it logs in with, or is missing."""


def path(target: BackupTarget) -> str:
    """The file on the host that holds what a target logs in with."""
    return f"{DIRECTORY}/{target.name}.env"


def variables(target: BackupTarget) -> tuple[str, ...]:
    """The environment's variables that bring it: an id or name, then the secret."""
    name = target.name.replace("-", "_").upper()
    return tuple(f"INFISICAL_BACKUP_{name}_{part}" for part in _PARTS[target.kind][1])


def given(targets: Iterable[BackupTarget], environment: Mapping[str, str]) -> dict[str, str]:
    """The texts of the files, by path, for those targets whose credentials are given.

    Raises TargetLoginError for one that is half given or has signs that no key has.
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
                raise TargetLoginError(
                    f"{name} is not set, or holds what can't be used: set it to a value of "
                    f"letters, digits and {signs}"
                )
        prefix, parts = _PARTS[target.kind]
        lines = [f"{prefix}{part}={value}\n" for part, value in zip(parts, values, strict=True)]
        files[path(target)] = "".join(lines)
    return files


def refuse_missing(targets: Iterable[BackupTarget], there: Iterable[str]) -> None:
    """Raise TargetLoginError for a target whose file is needed and not among those `there`."""
    for target in targets:
        if target.logs_in and path(target) not in there:
            raise TargetLoginError(
                f"the backup target {target.name!r} has no credentials on the host yet: set "
                f"{' and '.join(variables(target))} for one run"
            )
