"""Keep a person's login in the system's keyring, or in a sealed file where there is none.

The keyring is used by the system's own programs. Both languages find each other's logins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from . import files
from .errors import ConfigError
from .refusals import is_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VERSION = 1
_SERVICE: Final = "infisical-config"
_KEY_BYTES = 32
# Seconds: a locked keyring asks for its password in a window.
_PATIENCE = 60
# `security -i` reads lines of at most so many characters.
_LONGEST_LINE = 4096
# Seconds after which a lock was left by a process that has ended.
_LOCK_AGE = 30


@dataclass(frozen=True)
class Login:
    """A person's login at an Infisical.

    Attributes:
        organization: its name.
        refresh: the cookie that renews the token; empty after a login in a browser.
    """

    address: str
    email: str
    organization: str
    token: str = field(repr=False)
    refresh: str = field(repr=False)


class _Tool(Protocol):
    """A keyring of the system."""

    name: str

    def find(self, address: str) -> str | None: ...
    def keep(self, address: str, text: str) -> bool: ...
    def forget(self, address: str) -> bool: ...


class Logins:
    """The logins that a user of this machine has."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME") or Path.home())
        self._environ = environ
        if os.name == "nt":
            config, state = home / "AppData/Roaming", home / "AppData/Local"
            names = ("APPDATA", "LOCALAPPDATA")
        else:
            config, state = home / ".config", home / ".local/state"
            names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
        self._config = Path(environ.get(names[0]) or config, _SERVICE)
        self._key_file = Path(environ.get(names[1]) or state, _SERVICE, "key")

    def find(self, address: str) -> Login | None:
        """Return the login at an address, if there is one.

        Raises ConfigError `not_configured` for a file that others may have written or read.
        """
        file = self._file(address)
        tool = None if file.exists() else self._tool()
        text = self._open(file, address) if file.exists() else tool and tool.find(address)
        try:
            found: Any = json.loads(text or "")
        except ValueError:
            return None
        if not isinstance(found, dict) or found.pop("version", None) != _VERSION:
            return None
        texts = [found.get(name) for name in Login.__dataclass_fields__]
        if not all(isinstance(each, str) for each in texts):
            return None
        login = Login(*map(str, texts))
        return login if login.address == address and login.email and login.token else None

    def keep(self, login: Login) -> str:
        """Keep a login instead of the one before; return in words where it is.

        Raises ConfigError `not_configured` if it can't be kept.
        """
        text = json.dumps({"version": _VERSION, **asdict(login)})
        file = self._file(login.address)
        tool = self._tool()
        if tool and tool.keep(login.address, text):
            file.unlink(missing_ok=True)
            return tool.name
        from .sealed_text import seal_text

        self._write(file, seal_text(text, self._key(), login.address))
        return str(file)

    def forget(self, address: str) -> bool:
        """Forget the login at an address; return whether it is gone from where it was."""
        file = self._file(address)
        tool = self._tool()
        is_gone = tool.forget(address) if tool else True
        if file.exists():
            file.unlink(missing_ok=True)
            return True
        return is_gone

    def place(self, address: str) -> str:
        """Return in words where the login at an address is kept."""
        file = self._file(address)
        tool = None if file.exists() else self._tool()
        return tool.name if tool else str(file)

    @contextmanager
    def locked(self, address: str) -> Iterator[None]:
        """Keep other processes from renewing the login at an address."""
        lock = Path(f"{self._file(address)}.lock")
        self._make_directory(lock.parent)
        end = time.monotonic() + _LOCK_AGE
        while time.monotonic() < end:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError:
                with suppress(OSError):
                    if time.time() - lock.stat().st_mtime > _LOCK_AGE:
                        lock.unlink()
                time.sleep(0.05)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)

    def _file(self, address: str) -> Path:
        return self._config / f"{sha256(address.encode()).hexdigest()[:16]}.login"

    def _open(self, file: Path, address: str) -> str | None:
        from .sealed_text import open_text

        key, text = files.read_private(self._key_file), files.read_private(file)
        if not key or not text:
            return None
        try:
            return open_text(text, bytes.fromhex(key.decode().strip()), address)
        except ValueError:
            return None

    def _key(self) -> bytes:
        """Return the key of all files; make it if it is missing."""
        with suppress(ValueError):
            known = bytes.fromhex((files.read_private(self._key_file) or b"").decode().strip())
            if len(known) == _KEY_BYTES:
                return known
        key = os.urandom(_KEY_BYTES)
        self._write(self._key_file, f"{key.hex()}\n")
        return key

    def _write(self, file: Path, text: str) -> None:
        """Write a file as a whole; only this user may read it."""
        import tempfile

        self._make_directory(file.parent)
        try:
            handle, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            try:
                with open(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.replace(new, file)
            except OSError:
                os.unlink(new)
                raise
        except OSError as error:
            raise _unwritable(file, error) from None

    def _make_directory(self, path: Path) -> None:
        try:
            own = is_own(path)
        except OSError as error:
            raise _unwritable(path, error) from None
        if not own:
            message = f"{path} is open to other users: run `chmod 700 {path}`"
            raise ConfigError("not_configured", message)

    def _tool(self) -> _Tool | None:
        environ = self._environ
        if environ.get("INFISICAL_KEYRING") == "file":
            return None
        if sys.platform == "darwin":
            return MacKeychain(environ)
        runtime = environ.get("XDG_RUNTIME_DIR")
        has_bus = environ.get("DBUS_SESSION_BUS_ADDRESS") or (
            runtime and Path(runtime, "bus").exists()
        )
        return SecretService(environ) if sys.platform == "linux" and has_bus else None


class SecretService:
    """The keyring of Linux desktops: GNOME Keyring, KWallet, KeePassXC."""

    name = "the system's keyring (Secret Service)"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, address: str) -> str | None:
        """Return the text for an address, if there is one."""
        return _decode(_run(self._environ, ["secret-tool", "lookup", *_attributes(address)]))

    def keep(self, address: str, text: str) -> bool:
        """Keep a text; return whether it worked."""
        label = f"--label=Infisical login at {address}"
        command = ["secret-tool", "store", label, *_attributes(address)]
        return _run(self._environ, command, _encode(text)) is not None

    def forget(self, address: str) -> bool:
        """Delete the text for an address; return False if the keyring refuses, as a locked one."""
        return _run(self._environ, ["secret-tool", "clear", *_attributes(address)]) is not None


class MacKeychain:
    """The login keychain of macOS."""

    name = "the keychain"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, address: str) -> str | None:
        """Return the text for an address, if there is one."""
        item = ("-s", _SERVICE, "-a", address)
        return _decode(_run(self._environ, ["security", "find-generic-password", *item, "-w"]))

    def keep(self, address: str, text: str) -> bool:
        """Keep a text; return whether it worked. As an argument, others could see it."""
        item = f'-U -s {_SERVICE} -a "{address}" -w {_encode(text)}'
        line = f"add-generic-password {item}\n"
        if len(line) > _LONGEST_LINE or any(each in address for each in '"\\'):
            return False
        is_kept = _run(self._environ, ["security", "-i"], line) is not None
        return is_kept and self.find(address) == text

    def forget(self, address: str) -> bool:
        """Delete the text for an address; return False if the keychain refuses."""
        item = ("-s", _SERVICE, "-a", address)
        command = ["security", "delete-generic-password", *item]
        return _run(self._environ, command) is not None


def _attributes(address: str) -> tuple[str, ...]:
    return ("service", _SERVICE, "address", address)


def _encode(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode()).decode()


def _decode(found: str | None) -> str | None:
    from base64 import b64decode

    try:
        return b64decode(found).decode() if found else None
    except ValueError:
        return None


def _run(environ: Mapping[str, str], command: list[str], text: str = "") -> str | None:
    """Return the output of a program; None if it failed or is not there."""
    try:
        ended = subprocess.run(
            command,
            env=dict(environ),
            input=text,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if ended.returncode else ended.stdout.strip()


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "not_configured",
        f"the login can't be kept in {file} ({error.strerror}): check its directory",
    )
