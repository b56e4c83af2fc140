"""Make keys and passwords on the host, once, and read the files for a recovery kit.

Only a rotation replaces a key that exists. The derived file .env has the stack's keys for Compose,
so that compose.yaml needs no secret.
"""

import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from os import chown
from pathlib import Path

from infisical_iac.agent.database import find_database
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.files import hold, make_folder, remove, write
from infisical_iac.agent.runner import Failure, Runner, action, observation

ROOT = "/etc/infisical"
_KEYS = f"{ROOT}/keys"
ENCRYPTION_KEY = "keys/encryption_key"
# A change of these needs no new recovery kit, because `apply` re-creates lost service credentials.
_CREDENTIALS = "credentials/"
STACK_KEYS = ("encryption_key", "auth_secret", "postgres_password", "redis_password")
ALL_KEYS = (*STACK_KEYS, "restic_password", "kit_signing_key")
# The hexadecimal digits of new keys; a rotation makes new encryption keys of 64.
_DIGITS = {"encryption_key": 32, "auth_secret": 64, "kit_signing_key": 64, "admin_password": 48}
_DIGITS_OF_OTHERS = 48
_SAMPLES = re.compile("^(6c1fe4e4|5lrMXKK)", re.MULTILINE)
_GIVEN = re.compile("given_[a-z0-9_]*")
_METRICS = re.compile("metrics_[a-z_]*")
# Keys that Compose reads on some hosts only.
_OF_COMPOSE = re.compile("edge_[a-z_]*|metrics_redis_password")

# The variables that backup targets log in with: those of the kinds in backup/target.py.
TARGET_LOGIN = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"),
)
_SECRET = r"INFISICAL_CLIENT_ID=[A-Za-z0-9-]+\nINFISICAL_CLIENT_SECRET=[A-Za-z0-9._~+/=-]+\n"
_TIME = "[0-9TZ:-]{20}"
# The files of /etc/infisical that a recovery kit may have, and the forms of their texts.
FORMS = {
    "keys/encryption_key": r"[A-Za-z0-9+/=._-]{32}\n",
    "keys/auth_secret": r"[A-Za-z0-9+/=._-]{16,}\n",
    "keys/kit_signing_key": r"[0-9a-f]{64}\n",
    "keys/edge_secret": r"[A-Za-z0-9._-]{16,}\n",
    "keys/cluster_ca_key": r"[A-Za-z0-9+/=]{100,400}\n",
    "keys/swarm_unlock_key": r"SWMKEY-1-[A-Za-z0-9+/=_-]+\n",
    "keys/(postgres|redis|restic|replication|patroni|metrics_postgres|metrics_redis)_password": (
        r"[A-Za-z0-9._-]{16,}\n"
    ),
    "keys/given_[a-z0-9_]+": r"(([^\n\\]|\\[^\n\\'])+\n)+",
    r"admin\.env": (
        r"(#[^\n]*\n)*INFISICAL_ADMIN_EMAIL=[^\n]+\n(#[^\n]*\n)*INFISICAL_ADMIN_PASSWORD=[^\n]+\n"
    ),
    r"deployer\.env": rf"(# client secret [A-Za-z0-9-]+\n)?{_SECRET}",
    r"credentials/[A-Za-z0-9][A-Za-z0-9._-]*\.env": (
        r"# client secret [A-Za-z0-9-]+ sha256 [0-9a-f]{16}\n"
        rf"(# ends {_TIME}, made {_TIME}\n)?"
        rf"(# replaces [A-Za-z0-9-]+( [A-Za-z0-9-]+)* until ({_TIME}|it is delivered)\n)?"
        rf"{_SECRET}(INFISICAL_ENVIRONMENT=[a-z0-9-]+\n)?NODE_ENV=[a-z0-9-]+\n"
    ),
    r"backup/[a-z][a-z0-9-]*\.env": (
        rf"(#[^\n]*\n|(export )?({'|'.join(TARGET_LOGIN)})="
        r"""([A-Za-z0-9/+=._~:@%,^-]+|'[^'\n]+'|"[^"$`\\\n]+")\n)+"""
    ),
    "backup/ssh_key": (
        r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+"
        r"-----END ([A-Z]+ )?PRIVATE KEY-----\n"
    ),
    r"backup/ssh_key\.pub": (
        r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( [^\n]*)?\n"
    ),
}
# No such file may have control characters: a terminal or a shell may obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@cache
def form_of(path: str) -> re.Pattern[str] | None:
    """Return the form of the text at a path below /etc/infisical; None if no kit has it."""
    found = (form for pattern, form in FORMS.items() if re.fullmatch(pattern, path))
    form = next(found, None)
    return None if form is None else re.compile(form)


def has_form(path: str, text: str) -> bool:
    """Return whether a kit may have the text at a path. The final newline may be missing."""
    form = form_of(path)
    # A lone surrogate can't be encoded in UTF-8.
    if form is None or _CONTROL.search(text) or any("\ud800" <= each <= "\udfff" for each in text):
        return False
    return bool(form.fullmatch(f"{text.removesuffix(chr(10))}\n"))


def key_fingerprint(runner: Runner) -> str:
    """Return a value that identifies the encryption key and reveals nothing of it."""
    key = (runner.text(f"{_KEYS}/encryption_key") or "").replace("\n", "")
    return sha256(f"infisical-iac encryption key {key}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class KeysState:
    """The names of keys and files that need repair, by reason.

    Attributes:
        database: whether there is a database that was encrypted with these keys.
        replicas: whether that database is a cluster's.
        repositories: whether there are backups made with their password.
        surplus: secrets of the user, and passwords for metrics, that no setting uses; they need no
            repair.
        admin_email: the address of the administrator whose password is stored; empty if no
            password is stored.
    """

    database: bool = False
    replicas: bool = False
    repositories: bool = False
    missing: frozenset[str] = frozenset()
    sample: frozenset[str] = frozenset()
    malformed: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    surplus: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    admin_email: str = ""

    @property
    def is_complete(self) -> bool:
        """Return whether no key has to be created or repaired."""
        return not (self.missing or self.sample or self.malformed or self.open or self.stale)


@observation
def check(runner: Runner, *, more: Sequence[str] = ()) -> KeysState:
    """Return the state of the keys; nothing secret.

    Args:
        more: the names of keys that only some hosts have: those of a cluster, those of a kind of
            ingress, the passwords for metrics, and secrets that the user gave.
    """
    names = (*ALL_KEYS, *more)
    texts = {name: runner.text(f"{_KEYS}/{name}") for name in names}
    missing = {name for name, text in texts.items() if not text}
    sample = {name for name, text in texts.items() if text and _SAMPLES.search(text)}
    malformed = {
        name for name, text in texts.items() if text and not has_form(f"keys/{name}", text)
    }
    admin = runner.text(f"{ROOT}/admin.env") or ""
    kept = [*_names(runner, _GIVEN), *_names(runner, _METRICS)]
    has_replicas = runner.path("/var/lib/docker/volumes/infisical_patroni").is_dir()
    return KeysState(
        database=has_replicas or runner.path("/var/lib/docker/volumes/infisical_postgres").is_dir(),
        replicas=has_replicas,
        repositories=runner.path("/var/lib/infisical-backup/repositories").is_dir(),
        missing=frozenset(missing if admin else {*missing, "admin.env"}),
        sample=frozenset(sample),
        malformed=frozenset(malformed - sample),
        open=frozenset(path for path in _private(runner, names) if _is_open(runner.path(path))),
        surplus=frozenset(name for name in kept if name not in names),
        stale=frozenset()
        if runner.text(f"{ROOT}/.env") == _env_text(runner)
        else frozenset({".env"}),
        admin_email="".join(re.findall("(?m)^INFISICAL_ADMIN_EMAIL=(.*)$", admin)[:1]),
    )


def _names(runner: Runner, pattern: re.Pattern[str]) -> list[str]:
    """Return the names of the keys on the host that match."""
    folder = runner.path(_KEYS)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(each.name for each in found if pattern.fullmatch(each.name))


def _private(runner: Runner, names: Sequence[str]) -> Iterator[str]:
    """Yield the paths that only root may read: the directories, then the files."""
    yield from (ROOT, _KEYS, f"{ROOT}/credentials", f"{ROOT}/backup", f"{ROOT}/.env")
    yield from (f"{_KEYS}/{name}" for name in dict.fromkeys((*names, *_names(runner, _GIVEN))))
    yield from (f"{ROOT}/{name}.env" for name in ("admin", "deployer", "canary"))
    credentials = sorted(runner.path(f"{ROOT}/credentials").glob("*.env"))
    yield from (f"{ROOT}/credentials/{each.name}" for each in credentials)


def _is_open(path: Path) -> bool:
    """Return whether somebody else may read a file or directory; False without one."""
    try:
        found = path.lstat()
    except OSError:
        return False
    # The type of the file and its permissions.
    is_private = found.st_mode == (0o40700 if path.is_dir() else 0o100600)
    return not is_private or (found.st_uid, found.st_gid) != (0, 0)


def _variable_of(name: str) -> str:
    return name.removeprefix("given_").upper()


def _env_text(runner: Runner) -> str:
    lines = []
    for name in (*STACK_KEYS, *_names(runner, _OF_COMPOSE)):
        text = (runner.text(f"{_KEYS}/{name}") or "").rstrip("\n")
        lines.append(f"{_variable_of(name)}={text}\n")
    # Compose takes a text in such quotes literally, but for \' and \\, which no form allows.
    for name in _names(runner, _GIVEN):
        text = (runner.text(f"{_KEYS}/{name}") or "").rstrip("\n").replace("'", "\\'")
        lines.append(f"{_variable_of(name)}='{text}'\n")
    return "".join(lines)


@action
def derive(runner: Runner) -> None:
    """Write the derived file."""
    write(runner.path(f"{ROOT}/.env"), _env_text(runner).encode())


@action
def forget(runner: Runner, *, names: Sequence[str]) -> None:
    """Remove secrets that the user gave, and write the derived file."""
    for name in names:
        remove(runner.path(f"{_KEYS}/{name}"))
    derive(runner)


@action
def make(
    runner: Runner,
    *,
    admin_email: str,
    admin_password: str,
    more: Sequence[str],
    given: Mapping[str, str],
) -> None:
    """Make missing keys, repair modes, and write the derived file.

    Args:
        admin_password: the administrator's password; it is made if it is empty.
        more: as for `check`.
        given: the secrets that the user gave, by the names of their keys.
    """
    names = (*ALL_KEYS, *more)
    for folder in (_KEYS, f"{ROOT}/credentials", f"{ROOT}/backup"):
        make_folder(runner.path(folder))
    with hold(runner.path(f"{ROOT}/lock"), 120, f"another run holds {ROOT}/lock"):
        for name, value in given.items():
            write(runner.path(f"{_KEYS}/{name}"), f"{value}\n".encode())
        for name in names:
            if not name.startswith("given_") and not runner.text(f"{_KEYS}/{name}"):
                write(runner.path(f"{_KEYS}/{name}"), _make_key(name).encode())
        derive(runner)
        if not runner.text(f"{ROOT}/admin.env"):
            password = admin_password or _make_key("admin_password")
            lines = f"INFISICAL_ADMIN_EMAIL={admin_email}\nINFISICAL_ADMIN_PASSWORD={password}\n"
            write(runner.path(f"{ROOT}/admin.env"), lines.encode())
        for path in filter(Path.exists, map(runner.path, _private(runner, names))):
            chown(path, 0, 0)
            path.chmod(0o700 if path.is_dir() else 0o600)


def _make_key(name: str) -> str:
    return secrets.token_hex(_DIGITS.get(name, _DIGITS_OF_OTHERS) // 2)


@dataclass(frozen=True)
class KitContents:
    """The files for a kit, by path below /etc/infisical, and values of the host, by name."""

    files: dict[str, str] = field(repr=False)
    values: dict[str, str]


@observation
def kit_contents(runner: Runner) -> KitContents:
    """Return the files for a kit. Raises RuntimeError with a Failure for a file without text."""
    files = {}
    for path in _kit_paths(runner):
        try:
            files[path] = runner.path(f"{ROOT}/{path}").read_bytes().decode()
        except UnicodeDecodeError:
            raise RuntimeError(
                Failure(
                    "command",
                    f"{ROOT}/{path} is not a text file",
                    "restore it, or remove it if it is not yours",
                )
            ) from None
    values = {"host": socket.gethostname()}
    with suppress(RuntimeError):
        if container := find_container(runner, "infisical"):
            values["infisical_id"] = container.image_id
        query = "SELECT count(*) FROM infisical_migrations"
        values["migrations"] = "".join(find_database(runner).sql(query, seconds=20))
    return KitContents(files, values)


def _kit_paths(runner: Runner) -> list[str]:
    root = runner.path(ROOT)
    patterns = ("keys/*", "*.env", "credentials/*.env", "backup/*")
    found = (each for pattern in patterns for each in sorted(root.glob(pattern)))
    paths = (str(each.relative_to(root)) for each in found if each.is_file())
    return [path for path in paths if form_of(path)]


@dataclass(frozen=True)
class KitFingerprints:
    """The record of the last kit as it was written, and the fingerprint of each file now."""

    record: str | None = None
    files: dict[str, str] = field(default_factory=dict)


@observation
def kit_fingerprints(runner: Runner) -> KitFingerprints:
    """Return the record and the fingerprints; nothing secret."""
    key = runner.text(f"{ROOT}/{ENCRYPTION_KEY}") or ""
    texts = ((path, runner.text(f"{ROOT}/{path}") or "") for path in _kit_paths(runner))
    files = {path: kit_fingerprint(path, text, key) for path, text in texts}
    return KitFingerprints(runner.text(f"{ROOT}/recovery-kit.json"), files)


def kit_fingerprint(path: str, text: str, key: str) -> str:
    """Return the fingerprint of a file for the record of a recovery kit.

    Args:
        path: the path of the file below /etc/infisical.
        key: the encryption key, which keeps others from guessing the text by its fingerprint.
    """
    return sha256(f"infisical-iac {path} {key.strip()}\n{text}".encode()).hexdigest()[:16]


def list_changed(kit: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the paths of the files that a kit lacks, or has with another text.

    With another encryption key, only that one, because all fingerprints change with it.

    Args:
        kit, now: the fingerprint of each file in the kit and on the host, by path.
    """
    changed = sorted(path for path, each in now.items() if kit.get(path) != each)
    return [ENCRYPTION_KEY] if ENCRYPTION_KEY in changed else changed


def name_due(changed: Sequence[str]) -> str:
    """Return the first names of the changed files that need a new kit; empty if none does."""
    due = [path for path in changed if not path.startswith(_CREDENTIALS)]
    more = f" and {len(due) - 3} more" if len(due) > 3 else ""
    return f"{', '.join(due[:3])}{more}"
